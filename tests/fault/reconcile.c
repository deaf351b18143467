/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels that come and go by a reload, while others are in use. A new one is there at
 * once, one that is removed is drained first, and a refusal changes nothing. What a channel
 * has taken is given back: memory, descriptors, mappings, and its entry.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "lib/base/atomic.h"
#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"
#include "tests/starts.h"

#define ROUNDS 500
#define UNREAD 960

/* The size of a segment depends on the kind of its pages. */
#define GLOBALS "budget = 128M\nhugepages = never\n"
#define T       RIG_CONFIG
/* Half a lane is more than UNREAD. */
#define N_CLASS                                                    \
	"class main { block = 64\n blocks = 2048\n side_blocks = " \
	"2048\n side_lanes = 8 }\n"
#define N                                        \
	"channel n { stamp = \"none\"\n" N_CLASS \
	"group d { policy = lossless } }\n"
/* The same name, and half as large. */
#define N_SMALL                                                            \
	"channel n { stamp = \"none\"\n class main { block = 64\n blocks " \
	"= 1024\n side_blocks = 1024\n side_lanes = 8 } }\n"

static char said[512];
static struct peer eye; /* it has the catalog, and no attachment */

static void begin(const char *config)
{
	rig.broker = broker_start(config);
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = tapio_broker_socket(rig.broker),
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
	peer_connect_to(&eye, rig.options.socket);
	ck_assert_int_eq(peer_hello(&eye), 0);
}

static void end(void)
{
	peer_close(&eye);
	rig_stop();
}

static int reload(const char *text)
{
	return tapio_broker_reload(rig.broker, text, said, sizeof(said));
}

static void must_reload(const char *text)
{
	int err = reload(text);

	ck_assert_msg(!err, "%s: %s", strerror(-err), said);
}

/* ---- what there is ------------------------------------------------------------------ */

/* Of files with that word in their names. */
static int count_maps(const char *word)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, word) != NULL;
	fclose(maps);
	return count;
}

/* Of the broker and the clients in this process. */
struct means {
	uint64_t used_bytes;
	uint32_t channels;
	uint32_t records;
	int fds;
	int maps;
};

static struct means look_at_means(void)
{
	const struct tpi_catalog *catalog = &eye.catalog;
	struct means m = {0};

	wait_for_known_starts(catalog);
	m.used_bytes = tpi_load_relaxed(&catalog->broker->used_bytes);
	m.fds = rig_open_fds();
	m.maps = count_maps("/memfd:tapio-");
	for (uint32_t i = 0; i < catalog->channel_count; i++)
		m.channels += tpi_channel_exists(catalog, i);
	for (uint32_t i = 0; i < catalog->segment_count; i++)
		m.records += tpi_load_relaxed(&catalog->segments[i].ready) != 0;
	return m;
}

/* The broker closes a connection some time after its client has. */
static void same_means(const struct means *a)
{
	struct means b = look_at_means();

	for (int i = 0; i < 60000 && (a->fds != b.fds || a->maps != b.maps);
	     i++) {
		nap_ms(1);
		b = look_at_means();
	}
	ck_assert_uint_eq(a->used_bytes, b.used_bytes);
	ck_assert_uint_eq(a->channels, b.channels);
	ck_assert_uint_eq(a->records, b.records);
	ck_assert_int_eq(a->fds, b.fds);
	ck_assert_int_eq(a->maps, b.maps);
}

/* The entry of a channel, or the number of entries. */
static uint32_t entry(const char *name)
{
	struct tapio_shm_channel info;
	uint32_t i;

	for (i = 0; i < eye.catalog.channel_count; i++)
		if (tpi_channel_exists(&eye.catalog, i) &&
		    !tpi_channel_look(&eye.catalog, i, &info, NULL, 0) &&
		    !strcmp(info.name, name))
			break;
	return i;
}

static bool is_there(const char *name)
{
	return entry(name) < eye.catalog.channel_count;
}

static uint32_t state_of(const char *name)
{
	return tpi_load_relaxed(&eye.catalog.channels[entry(name)].state);
}

/* The log has it when all is given back. */
static void wait_gone(const char *name)
{
	char line[128];

	snprintf(line, sizeof(line), "channel \"%s\" is drained", name);
	for (int i = 0; i < 60000 && !broker_said(line); i++)
		nap_ms(1);
	ck_assert(broker_said(line));
	ck_assert(!is_there(name));
}

/* ---- clients ---------------------------------------------------------------------------- */

static int try_producer(struct tapio_producer **p, const char *channel)
{
	rig.error[0] = 0;
	return tapio_producer_open(p, channel, &rig.options);
}

static int try_consumer(struct tapio_consumer **c, const char *channel,
			const char *group)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = group,
	};

	rig.error[0] = 0;
	return tapio_consumer_open(c, channel, &options);
}

static struct tapio_producer *producer_of(const char *channel)
{
	struct tapio_producer *p;
	int err = try_producer(&p, channel);

	ck_assert_msg(!err, "%s: %s", strerror(-err), rig.error);
	return p;
}

static struct tapio_consumer *consumer_of(const char *channel,
					  const char *group)
{
	struct tapio_consumer *c;
	int err = try_consumer(&c, channel, group);

	ck_assert_msg(!err, "%s: %s", strerror(-err), rig.error);
	return c;
}

static void emit(struct tapio_producer *p, uint32_t count)
{
	for (uint32_t n = 0; n < count; n++)
		ck_assert_int_eq(tapio_output(p, TAG, &n, sizeof(n)), 0);
}

/* Ten events through a channel, as its clients would. */
static void use(const char *channel, const char *group)
{
	struct tapio_consumer *c = consumer_of(channel, group);
	struct tapio_producer *p = producer_of(channel);

	pin(0);
	emit(p, 10);
	ck_assert_uint_eq(drain(c), 10);
	tapio_producer_close(p);
	tapio_consumer_close(c);
}

/* ---- it comes ------------------------------------------------------------------------------ */

START_TEST(a_new_channel_is_there_at_once_with_its_groups)
{
	struct tapio_producer *old;
	struct tapio_consumer *reader;

	begin(GLOBALS T);
	old = producer_of("t");
	reader = consumer_of("t", "r");
	ck_assert(!is_there("n"));
	must_reload(GLOBALS N T);
	ck_assert_ptr_nonnull(strstr(said, "channels: 1 made, 0 removed"));
	ck_assert_uint_eq(state_of("n"), TAPIO_CHANNEL_SERVED);
	/* The order of the file plays no part. */
	ck_assert_uint_eq(entry("t"), 0);
	use("n", "d");
	/* Those that were there have noticed nothing. */
	emit(old, 10);
	ck_assert_uint_eq(drain(reader), 10);
	ck_assert_int_eq(tapio_producer_connected(old), 1);
	tapio_consumer_close(reader);
	tapio_producer_close(old);
	end();
}
END_TEST

static uint32_t done;

static void *produce(void *arg)
{
	struct tapio_producer *p = arg;
	uint64_t accepted = 0;

	/* Relaxed: it ends a loop. */
	while (!tpi_load_relaxed(&done)) {
		accepted += !tapio_output(p, TAG, &accepted, sizeof(accepted));
		usleep(50);
	}
	return (void *)(uintptr_t)accepted;
}

START_TEST(a_channel_that_comes_and_goes_500_times_leaves_nothing)
{
	struct tapio_consumer *reader;
	struct tapio_producer *p;
	struct means before;
	uint64_t read = 0;
	pthread_t thread;
	void *accepted;

	begin(GLOBALS T);
	/* Also memory of the allocators that stays. */
	must_reload(GLOBALS T N);
	use("n", "d");
	must_reload(GLOBALS T);
	reader = rig_consumer("r", TAPIO_GROUP_LOSSLESS);
	p = producer_of("t");
	before = look_at_means();
	ck_assert_int_eq(pthread_create(&thread, NULL, produce, p), 0);
	for (int i = 0; i < ROUNDS; i++) {
		must_reload(GLOBALS T N);
		if (i % 50 == 0)
			use("n", "d");
		must_reload(GLOBALS T);
		ck_assert_msg(!is_there("n"), "round %d", i);
		read += drain(reader);
	}
	/* Relaxed: the join orders the rest. */
	tpi_store_relaxed(&done, 1);
	ck_assert_int_eq(pthread_join(thread, &accepted), 0);
	read += drain(reader);
	ck_assert_uint_gt(read, 0);
	ck_assert_uint_eq(read, (uintptr_t)accepted);
	same_means(&before);
	/* One entry served them all, and each was another one. */
	ck_assert_uint_eq(eye.catalog.channels[1].epoch, ROUNDS + 1);
	ck_assert_uint_eq(eye.catalog.channels[2].epoch, 0);
	tapio_producer_close(p);
	tapio_consumer_close(reader);
	end();
}
END_TEST

/* ---- it goes --------------------------------------------------------------------------------- */

START_TEST(a_removed_channel_keeps_its_producers_and_takes_no_new_ones)
{
	struct tapio_consumer *reader, *more, *none;
	struct tapio_producer *p, *other;
	struct means before;

	begin(GLOBALS T);
	before = look_at_means();
	must_reload(GLOBALS T N);
	p = producer_of("n");
	reader = consumer_of("n", "r");
	must_reload(GLOBALS T);
	ck_assert_ptr_nonnull(strstr(said, "channels: 0 made, 1 removed"));
	ck_assert(broker_said("channel \"n\" was removed from the "
			      "configuration"));
	ck_assert_uint_eq(state_of("n"), TAPIO_CHANNEL_REMOVED);
	ck_assert_int_eq(tapio_producer_connected(p), 1);
	ck_assert_int_eq(tapio_producer_broker(p), TAPIO_LINK_REMOVED);
	ck_assert_ptr_nonnull(strstr(tapio_producer_error(p), "was removed"));
	/* It goes on, and so does its reader, whose group may grow. */
	more = consumer_of("n", "r");
	pin(0);
	emit(p, 10);
	ck_assert_uint_eq(drain(reader) + drain(more), 10);
	ck_assert_int_eq(try_producer(&other, "n"), -ESHUTDOWN);
	ck_assert_ptr_nonnull(strstr(rig.error, "put it back and reload"));
	ck_assert_int_eq(try_consumer(&none, "n", "new"), -ESHUTDOWN);
	ck_assert_ptr_nonnull(strstr(rig.error, "only groups that exist"));
	ck_assert_int_eq(try_consumer(&none, "n", NULL), -ESHUTDOWN);
	/* Another reload says nothing of it. */
	must_reload(GLOBALS T);
	ck_assert_ptr_nonnull(strstr(said, "channels: 0 made, 0 removed"));
	tapio_consumer_close(more);
	tapio_consumer_close(reader);
	ck_assert(is_there("n"));
	tapio_producer_close(p);
	wait_gone("n");
	same_means(&before);
	/* Its name is free, for another size. */
	must_reload(GLOBALS T N_SMALL);
	use("n", NULL);
	end();
}
END_TEST

START_TEST(what_a_durable_group_has_not_read_is_drained_first)
{
	struct tapio_consumer *reader;
	struct tapio_producer *p;
	struct means before;

	begin(GLOBALS T);
	before = look_at_means();
	must_reload(GLOBALS T N);
	p = producer_of("n");
	pin(0);
	emit(p, UNREAD);
	tapio_producer_close(p);
	must_reload(GLOBALS T);
	ck_assert(broker_said("0 attached, 960 unread events of 1 durable "
			      "group"));
	/* The broker looks at it each second. */
	nap_ms(2500);
	ck_assert_uint_eq(state_of("n"), TAPIO_CHANNEL_REMOVED);
	reader = consumer_of("n", "d");
	ck_assert_uint_eq(drain(reader), UNREAD);
	assert_ledger(reader, UNREAD, 0, 0);
	tapio_consumer_close(reader);
	wait_gone("n");
	same_means(&before);
	end();
}
END_TEST

START_TEST(one_that_is_named_again_goes_on_as_it_was)
{
	struct tapio_consumer *reader;
	struct tapio_producer *p;

	begin(GLOBALS T N);
	p = producer_of("n");
	pin(0);
	emit(p, UNREAD);
	must_reload(GLOBALS T);
	ck_assert_int_eq(tapio_producer_connected(p), 1);
	ck_assert_int_eq(tapio_producer_broker(p), TAPIO_LINK_REMOVED);
	/* With another size it is refused, as any channel that is there. */
	ck_assert_int_eq(reload(GLOBALS T N_SMALL), -EBUSY);
	ck_assert_ptr_nonnull(strstr(said, "blocks: 2048 -> 1024"));
	ck_assert_uint_eq(state_of("n"), TAPIO_CHANNEL_REMOVED);
	must_reload(GLOBALS N T);
	ck_assert_ptr_nonnull(strstr(said, "0 removed, 1 taken back"));
	ck_assert_uint_eq(state_of("n"), TAPIO_CHANNEL_SERVED);
	ck_assert_int_eq(tapio_producer_connected(p), 1);
	ck_assert_str_eq(tapio_producer_error(p), "");
	reader = consumer_of("n", "d");
	ck_assert_uint_eq(drain(reader), UNREAD);
	tapio_consumer_close(reader);
	use("n", "d");
	tapio_producer_close(p);
	end();
}
END_TEST

/* Names of groups for a configuration: as many as there are slots. */
static const char *all_slots(void)
{
	static char text[4096];
	size_t used = 0;

	for (int i = 0; i < TAPIO_GROUP_SLOTS; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "group g%d {}\n", i);
	return text;
}

/* A refusal at each of its steps, with a channel in front that could be had. */
START_TEST(a_refusal_leaves_all_as_it_was)
{
	static char full[8192];
	struct tapio_consumer *reader;
	struct tapio_producer *p;
	struct means before;

	begin("channels_max = 3\n" GLOBALS T);
	reader = consumer_of("t", "r");
	p = producer_of("t");
	before = look_at_means();
	/* The budget. */
	ck_assert_int_eq(reload(GLOBALS T N
				"channel large { class main { block = "
				"65536\n blocks = 65536 } }\n"),
			 -ENOMEM);
	ck_assert_ptr_nonnull(strstr(said, "channel \"large\" wants "));
	ck_assert_ptr_nonnull(strstr(said, "bytes are used already"));
	same_means(&before);
	/* Its entries. */
	ck_assert_int_eq(reload(GLOBALS T N "channel o {" RIG_CLASS
					    "}\n channel p {" RIG_CLASS "}\n"),
			 -ENOSPC);
	ck_assert_ptr_nonnull(strstr(said, "room for 3 channels"));
	same_means(&before);
	/* Its places: lanes of all channels together. */
	ck_assert_int_eq(reload(GLOBALS T
				"channel n { class main { block = 64\n "
				"blocks = 64\n side_lanes = 500 } }\n"),
			 -ENOSPC);
	ck_assert_ptr_nonnull(strstr(said, "no run of so many"));
	same_means(&before);
	/* A group, after channels were made. A client has the last slot. */
	snprintf(full, sizeof(full),
		 GLOBALS N "channel t { stamp = \"none\"\n groups_max = 64\n"
			   "%s" RIG_CLASS "}\n",
		 all_slots());
	ck_assert_int_eq(reload(full), -EUSERS);
	same_means(&before);
	ck_assert_uint_eq(__builtin_popcountll(tpi_load_relaxed(
				  &eye.catalog.channels[entry("t")].active)),
			  1);
	ck_assert(broker_said("reload: refused, nothing has changed"));
	pin(0);
	emit(p, 10);
	ck_assert_uint_eq(drain(reader), 10);
	must_reload(GLOBALS T N);
	use("n", "d");
	tapio_producer_close(p);
	tapio_consumer_close(reader);
	end();
}
END_TEST

/* ---- clients that never let go ------------------------------------------------------------ */

static pid_t hold(const char *channel)
{
	struct peer peer;
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		peer_connect_to(&peer, rig.options.socket);
		if (peer_hello(&peer) ||
		    peer_attach(&peer, TAPIO_ROLE_INSPECT, channel, NULL, 0, 0,
				0) ||
		    write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/*
 * It costs what the channel did: its memory, which the budget counts, and one of the
 * entries. Others come and go meanwhile.
 */
START_TEST(a_client_that_holds_a_removed_channel_costs_no_more_than_that)
{
	struct means before, held;
	pid_t pid;

	begin("channels_max = 3\n" GLOBALS T);
	before = look_at_means();
	must_reload(GLOBALS T N);
	pid = hold("n");
	held = look_at_means();
	for (int i = 0; i < 20; i++) {
		must_reload(GLOBALS T);
		must_reload(GLOBALS T "channel o { " RIG_CLASS "}\n");
		ck_assert_int_eq(reload(GLOBALS T "channel o { " RIG_CLASS
						  "}\nchannel p { " RIG_CLASS
						  "}\n"),
				 -ENOSPC);
		ck_assert_ptr_nonnull(strstr(
			said, "room for 3 channels, and all are in use "
			      "(1 of them removed and not yet drained)"));
		must_reload(GLOBALS T);
		same_means(&held);
	}
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	wait_gone("n");
	same_means(&before);
	end();
}
END_TEST

/* Of the files that a client was given, and has passed on or kept. */
START_TEST(memory_that_somebody_kept_is_emptied)
{
	struct peer peer;
	struct stat st;
	int kept[2], count;

	begin(GLOBALS T N);
	peer_connect_to(&peer, rig.options.socket);
	ck_assert_int_eq(peer_hello(&peer), 0);
	ck_assert_int_eq(
		peer_attach(&peer, TAPIO_ROLE_CONSUME, "n", "d", 0, 0, 0), 0);
	count = (int)peer.fd_count;
	ck_assert_int_ge(count, 2);
	for (int i = 0; i < 2; i++) {
		/* A channel's segment, and the cursors. */
		kept[i] = dup(peer.fds[i ? count - 1 : 0]);
		ck_assert_int_eq(fstat(kept[i], &st), 0);
		ck_assert_int_gt(st.st_blocks, 0);
	}
	ck_assert_int_ge(peer_detach(&peer), 0);
	peer_close(&peer);
	must_reload(GLOBALS T);
	wait_gone("n");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fstat(kept[i], &st), 0);
		ck_assert_int_eq(st.st_blocks, 0);
		close(kept[i]);
	}
	end();
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("reconcile");

	tcase_set_timeout(c, 240);
	tcase_add_test(c, a_new_channel_is_there_at_once_with_its_groups);
	tcase_add_test(c,
		       a_channel_that_comes_and_goes_500_times_leaves_nothing);
	tcase_add_test(
		c, a_removed_channel_keeps_its_producers_and_takes_no_new_ones);
	tcase_add_test(c, what_a_durable_group_has_not_read_is_drained_first);
	tcase_add_test(c, one_that_is_named_again_goes_on_as_it_was);
	tcase_add_test(c, a_refusal_leaves_all_as_it_was);
	tcase_add_test(
		c,
		a_client_that_holds_a_removed_channel_costs_no_more_than_that);
	tcase_add_test(c, memory_that_somebody_kept_is_emptied);
	return check_run_case("reconcile", c);
}
