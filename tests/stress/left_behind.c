/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills of everything leave nothing behind. Producers, consumers of durable and other
 * groups, observers, clients that come and go, the broker and its keeper are killed at
 * random instants, one after the other. Afterwards these are as before:
 *
 *	descriptors of the broker and of the keeper, kind by kind
 *	the segments of the broker, their memory, and the huge pages of the machine
 *	files beside the socket, processes, records of attachments, groups
 *
 * The same broker grows by nothing while only clients die. And where keeper and broker die
 * at once, the next ones begin with other memory, and the old one is gone with its last
 * client. 10,000 kills with TAPIO_LONG=1.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "lib/base/atomic.h"
#include "lib/lane/wake.h"
#include "tests/check_main.h"
#include "tests/cli/daemon.h"
#include "tests/stress/belongings.h"
#include "tools/inspect/inspect.h"

#define KILLS      (CHECK_SANITIZED ? 300u : 3000u)
#define KILLS_LONG 10000u
#define BOTH_EACH  500 /* kills, then keeper and broker die at once */
#define BROKER_IN  24  /* one of so many kills is of the broker */
#define KEEPER_IN  96
#define ACTORS     8
#define PATIENCE   INT64_C(60000000000)
#define SETTLED    INT64_C(20000000000)
/* The allocator of a process may keep so much, however long it runs, and a sanitizer more. */
#define HEAP_KB (CHECK_SANITIZED ? 65536u : 256u)
#define CONFIG                                                         \
	"channel a { stamp = none\n groups_max = 16\n"                 \
	"class m { block = 1024\n blocks = 4096\n side_blocks = 256\n" \
	"side_lanes = 12 }}\n"                                         \
	"channel i { stamp = none\n isolation = process\n"             \
	"producers_max = 12\n class m { block = 64\n blocks = 64 }}\n"

static pid_t actors[ACTORS];
static uint32_t *at_work; /* by actor, shared */
static uint64_t dice = 20781;
static uint32_t kills_clients, kills_broker, kills_keeper, kills_both;
static struct segments ever;

static uint64_t roll(uint64_t below)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice % below;
}

static void nap_us(uint64_t us)
{
	nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

#define WAIT(x)                                                               \
	do {                                                                  \
		int64_t limit_ = tpi_now_ns() + PATIENCE;                     \
		while (!(x)) {                                                \
			ck_assert_msg(tpi_now_ns() < limit_, "in vain: " #x); \
			nap_us(1000);                                         \
		}                                                             \
	} while (0)

/* ---- actors -------------------------------------------------------------------------------- */

static struct tapio_options options(void)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = daemon_socket,
		.connect_ns = PATIENCE,
		.answer_ns = PATIENCE,
	};
}

static void produce(uint32_t me, const char *channel)
{
	struct tapio_options o = options();
	struct tapio_reservation r;
	struct tapio_producer *p;

	if (tapio_producer_open(&p, channel, &o))
		return;
	tpi_store_relaxed(&at_work[me], 1);
	for (int i = 0; i < 2000; i++) {
		tapio_output(p, TAPIO_TAG(1, 1) | TAPIO_NO_WAIT, &i, sizeof(i));
		if (!tapio_reserve(p, TAPIO_TAG(1, 1) | TAPIO_NO_WAIT, 8, &r) &&
		    i % 3)
			tapio_submit(p, &r);
	}
	tapio_producer_close(p);
}

static void consume(uint32_t me, const char *group, uint32_t durable)
{
	struct tapio_consumer_options o = {
		.size = sizeof(o),
		.broker = options(),
		.group = group,
		.policy = TAPIO_GROUP_UNTIL,
		.durable = durable,
	};
	struct tapio_view views[16];
	struct tapio_consumer *c;

	if (tapio_consumer_open(&c, "a", &o))
		return;
	tpi_store_relaxed(&at_work[me], 1);
	/* The descriptor has a thread. */
	if (me % 2)
		(void)tapio_fd(c);
	for (int i = 0; i < 200; i++)
		if (tapio_poll(c, views, 16, 1000000) >= 0)
			tapio_release(c);
	tapio_consumer_close(c);
}

static void observe(uint32_t me)
{
	struct tapio_observer_options o = {.size = sizeof(o),
					   .broker = options()};
	struct tapio_observer *observer;

	if (tapio_observer_open(&observer, "a", &o))
		return;
	tpi_store_relaxed(&at_work[me], 1);
	nap_us(2000);
	tapio_observer_close(observer);
}

static void act(uint32_t me, uint64_t seed)
{
	static const char *const groups[] = {"g0", "g1", "g2", NULL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dice = seed;
	for (;;) {
		switch (roll(5)) {
		case 0:
			produce(me, "a");
			break;
		case 1:
			produce(me, "i");
			break;
		case 2:
			consume(me, groups[roll(4)], 0);
			break;
		case 3:
			consume(me, roll(2) ? "d0" : "d1", 1);
			break;
		default:
			observe(me);
		}
	}
}

static void start_actor(uint32_t i)
{
	uint64_t seed = roll(UINT64_MAX) | 1;

	at_work[i] = 0;
	actors[i] = fork();
	ck_assert_int_ge(actors[i], 0);
	if (!actors[i])
		act(i, seed);
}

static void kill_actor(uint32_t i)
{
	kill(actors[i], SIGKILL);
	ck_assert_int_eq(waitpid(actors[i], NULL, 0), actors[i]);
	actors[i] = 0;
}

/* ---- tapiod -------------------------------------------------------------------------------- */

static pid_t one_called(const char *name)
{
	pid_t pids[4];

	return descendants(name, pids, 4) == 1 ? pids[0] : 0;
}

static pid_t broker(void)
{
	return one_called("tapiod");
}

static pid_t keeper(void)
{
	return one_called("tapiod-keeper");
}

/* Brokers and keepers whose parent has died are ours. */
static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static bool is_complete(void)
{
	reap();
	return broker() && keeper() && daemon_answers();
}

static void note_segments(void)
{
	pid_t pid = broker();

	if (pid)
		segments_add(&ever, pid, false);
}

static void start_tapiod(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		execl(TAPIO_BIN "/tapiod", "tapiod", "--socket", daemon_socket,
		      "--config", daemon_config, "--keeper", "process",
		      "--log-level", "error", (char *)NULL);
		_exit(127);
	}
	WAIT(is_complete());
	note_segments();
}

static bool is_gone(void)
{
	pid_t any;

	reap();
	return !descendants("tapiod", &any, 1) &&
	       !descendants("tapiod-keeper", &any, 1);
}

static void stop_tapiod(void)
{
	pid_t pid = keeper();

	if (pid)
		kill(pid, SIGTERM);
	WAIT(is_gone());
}

/* A client that opens after it has met a broker that serves. */
static void meet_broker(void)
{
	struct tapio_options o = options();
	struct tapio_producer *p;

	ck_assert_int_eq(tapio_producer_open(&p, "a", &o), 0);
	tapio_producer_close(p);
}

static void kill_tapiod(bool the_keeper)
{
	pid_t pid = 0;

	/* None, while the child of a broker is about to become a keeper. */
	WAIT(is_complete() && (pid = the_keeper ? keeper() : broker()));
	kill(pid, SIGKILL);
	WAIT(is_complete() && (the_keeper ? keeper() : broker()) != pid);
	/* The new keeper has the broker's word that it is the keeper of it. */
	meet_broker();
	note_segments();
	if (the_keeper)
		kills_keeper++;
	else
		kills_broker++;
}

/* ---- belongings --------------------------------------------------------------------------- */

struct belongings {
	struct descriptors of_broker, of_keeper;
	struct segments segments;
	uint64_t huge_free;
	bool others; /* some other process has huge pages, too */
	char *files;
	uint32_t processes; /* below this one */
	uint32_t attachments, groups;
};

static struct tpi_inspect *look_inside(void)
{
	const struct tpi_inspect_options o = {
		.socket = daemon_socket,
		.timeout_ns = PATIENCE,
	};
	struct tpi_inspect *inspect;
	char error[512] = "";

	ck_assert_msg(!tpi_inspect_open(&inspect, &o, error, sizeof(error)),
		      "%s", error);
	return inspect;
}

static void count_records(struct belongings *b)
{
	struct tpi_inspect *inspect = look_inside();
	const struct tpi_catalog *catalog = &inspect->catalog;

	b->attachments = b->groups = 0;
	for (uint32_t i = 2; i < catalog->attachment_count; i++)
		b->attachments +=
			tpi_load_acquire(&catalog->attachments[i].state) !=
			TAPIO_ATTACHMENT_FREE;
	for (uint32_t i = 0; i < catalog->channel_count * TAPIO_GROUP_SLOTS;
	     i++)
		b->groups +=
			TAPIO_SLOT_STATE(tpi_load_acquire(
				&catalog->groups[i].slot)) == TAPIO_SLOT_ACTIVE;
	tpi_inspect_close(inspect);
}

/* The look itself was a client a moment ago. */
static bool is_quiet(void)
{
	struct belongings b;

	count_records(&b);
	return b.attachments <= 1;
}

static void remove_durable(void)
{
	struct tapio_options o = options();

	(void)tapio_group_remove(&o, "a", "d0");
	(void)tapio_group_remove(&o, "a", "d1");
}

static void read_belongings(struct belongings *b)
{
	WAIT(is_quiet());
	remove_durable();
	WAIT(is_complete());
	count_records(b);
	/* Connections of those that looked end a moment later. */
	nap_us(300000);
	descriptors_read(&b->of_broker, broker());
	descriptors_read(&b->of_keeper, keeper());
	b->segments.count = 0;
	segments_add(&b->segments, broker(), true);
	segments_add(&b->segments, keeper(), true);
	b->others = others_use_huge_pages(broker());
	b->huge_free = proc_number("/proc/meminfo", "HugePages_Free");
	b->files = folder_names(daemon_directory);
	b->processes = one_called("tapiod") != 0;
	b->processes += one_called("tapiod-keeper") != 0;
}

static bool same_counts(const struct belongings *a, const struct belongings *b)
{
	return a->of_broker.count == b->of_broker.count &&
	       a->of_keeper.count == b->of_keeper.count &&
	       a->segments.count == b->segments.count;
}

/*
 * What the broker gives back at its next tick is still there a moment after the last kill.
 * What is left behind stays.
 */
static void read_settled(struct belongings *b, const struct belongings *before)
{
	int64_t limit = tpi_now_ns() + SETTLED;

	read_belongings(b);
	while (!same_counts(before, b) && tpi_now_ns() < limit) {
		free(b->files);
		read_belongings(b);
	}
}

static void print_belongings(const char *when, const struct belongings *b)
{
	printf("%s: %u descriptors of the broker, %u of the keeper; %u segments "
	       "of %llu + %llu KiB (huge); %llu huge pages free; %u "
	       "attachments, %u groups\n",
	       when, b->of_broker.count, b->of_keeper.count, b->segments.count,
	       (unsigned long long)segments_bytes(&b->segments, false) / 1024,
	       (unsigned long long)segments_bytes(&b->segments, true) / 1024,
	       (unsigned long long)b->huge_free, b->attachments, b->groups);
	fflush(stdout);
}

static void compare(const struct belongings *before,
		    const struct belongings *after)
{
	static struct segments found;
	const pid_t tapiod[] = {broker(), keeper()};

	ck_assert(descriptors_same(&before->of_broker, &after->of_broker,
				   "the broker"));
	ck_assert(descriptors_same(&before->of_keeper, &after->of_keeper,
				   "the keeper"));
	ck_assert_uint_eq(before->segments.count, after->segments.count);
	ck_assert_uint_eq(segments_bytes(&before->segments, true),
			  segments_bytes(&after->segments, true));
	ck_assert_uint_eq(segments_bytes(&before->segments, false),
			  segments_bytes(&after->segments, false));
	ck_assert_str_eq(before->files, after->files);
	ck_assert_uint_eq(before->processes, after->processes);
	ck_assert_uint_eq(before->attachments, after->attachments);
	ck_assert_uint_eq(before->groups, after->groups);
	found.count = 0;
	ck_assert_msg(!segments_search(&found, &ever, tapiod, 2),
		      "%u segments are had by other processes", found.count);
	if (before->others || after->others)
		puts("others use huge pages: what is free says nothing");
	else
		ck_assert_uint_eq(before->huge_free, after->huge_free);
}

/* ---- the storm ------------------------------------------------------------------------------- */

/* At a random instant of its first milliseconds, or of its work. */
static void kill_one(void)
{
	uint32_t i = (uint32_t)roll(ACTORS);

	for (int n = 0; roll(2) && n < 50 && !tpi_load_relaxed(&at_work[i]);
	     n++)
		nap_us(200);
	nap_us(roll(1500));
	kill_actor(i);
	start_actor(i);
	kills_clients++;
}

static void storm(uint32_t kills, bool clients_only)
{
	for (uint32_t i = 0; i < ACTORS; i++)
		start_actor(i);
	for (uint32_t i = 0; i < kills; i++) {
		if (!clients_only && !roll(KEEPER_IN))
			kill_tapiod(true);
		else if (!clients_only && !roll(BROKER_IN))
			kill_tapiod(false);
		else
			kill_one();
	}
	for (uint32_t i = 0; i < ACTORS; i++)
		kill_actor(i);
	kills_clients += ACTORS;
}

/* Every member of every kind once, so that all that is made when it is needed is there. */
static void warm_up(void)
{
	storm(200, true);
	kill_tapiod(true);
	kill_tapiod(false);
	WAIT(is_quiet());
}

static uint64_t heap_kb(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", broker());
	return proc_number(path, "RssAnon");
}

static uint32_t how_many(void)
{
	const char *text = getenv("TAPIO_LONG");

	return text && !strcmp(text, "1") ? KILLS_LONG : KILLS;
}

START_TEST(kills_leave_nothing_behind)
{
	static struct belongings before, between, after;
	uint32_t kills = how_many();
	int64_t begun = tpi_now_ns();
	uint64_t heap;
	pid_t same;

	start_tapiod();
	warm_up();
	read_belongings(&before);
	print_belongings("before", &before);
	storm(kills / 2, false);
	read_settled(&between, &before);
	print_belongings("between", &between);
	compare(&before, &between);
	/* A broker that lives on. */
	same = broker();
	storm(kills / 8, true);
	WAIT(is_quiet());
	heap = heap_kb();
	storm(kills - kills / 2 - kills / 8, true);
	read_settled(&after, &before);
	print_belongings("after", &after);
	compare(&before, &after);
	ck_assert_int_eq(broker(), same);
	printf("%u kills of clients, %u of the broker, %u of the keeper, in "
	       "%.1f s; the broker's own memory %llu KiB, then %llu KiB\n",
	       kills_clients, kills_broker, kills_keeper,
	       (double)(tpi_now_ns() - begun) / 1e9, (unsigned long long)heap,
	       (unsigned long long)heap_kb());
	fflush(stdout);
	ck_assert_uint_le(heap_kb(), heap + HEAP_KB);
	ck_assert_uint_gt(kills_broker, 0);
	ck_assert_uint_gt(kills_keeper, 0);
	free(before.files);
	free(between.files);
	free(after.files);
}
END_TEST

/* A producer of the instance that goes, and whether it still accepts events. */
static struct tapio_producer *old_producer(void)
{
	struct tapio_options o = options();
	struct tapio_producer *p;

	ck_assert_int_eq(tapio_producer_open(&p, "a", &o), 0);
	return p;
}

static void lose_both(void)
{
	pid_t last_broker = 0, last_keeper = 0;

	WAIT((last_broker = broker()) && (last_keeper = keeper()));
	kill(last_keeper, SIGSTOP);
	kill(last_broker, SIGKILL);
	kill(last_keeper, SIGKILL);
	WAIT(is_gone());
	kills_both++;
}

START_TEST(an_instance_is_gone_with_its_last_client)
{
	uint32_t rounds = how_many() / BOTH_EACH + 1;
	static struct segments old, found;

	for (uint32_t i = 0; i < rounds; i++) {
		struct tapio_producer *p;

		start_tapiod();
		p = old_producer();
		old.count = found.count = 0;
		segments_add(&old, broker(), true);
		lose_both();
		/* It has the memory, nobody else has. */
		ck_assert_uint_eq(segments_search(&found, &old, NULL, 0), 1);
		ck_assert_int_eq(
			tapio_output(p, TAPIO_TAG(1, 1), &i, sizeof(i)), 0);
		start_tapiod();
		tapio_producer_close(p);
		found.count = 0;
		ck_assert_uint_eq(segments_search(&found, &old, NULL, 0), 0);
		stop_tapiod();
	}
	printf("%u deaths of keeper and broker at once\n", kills_both);
}
END_TEST

static void set_up(void)
{
	FILE *file;

	daemon_set_up();
	file = fopen(daemon_config, "we");
	ck_assert_ptr_nonnull(file);
	fputs(CONFIG, file);
	fclose(file);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	at_work = mmap(NULL, ACTORS * sizeof(*at_work), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(at_work, MAP_FAILED);
}

/* After a failure, too: processes and files of the test are not left behind. */
static void tear_down(void)
{
	static struct segments found;

	stop_tapiod();
	ck_assert_uint_eq(segments_search(&found, &ever, NULL, 0), 0);
	daemon_tear_down();
}

int main(void)
{
	TCase *t = tcase_create("left behind");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, kills_leave_nothing_behind);
	tcase_add_test(t, an_instance_is_gone_with_its_last_client);
	return check_run_case("left behind", t);
}
