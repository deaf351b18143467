/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL of the broker at every testpoint of making a channel and of giving one back, by a
 * reload and by a successor whose file has changed, and of successors that find it half
 * done. A producer and a reader of another channel work on meanwhile. After each death
 *
 *	a channel that the file of the next broker names is there, whole, and can be used
 *	one that it does not name is gone, with every record and every descriptor
 *	the keeper has as many descriptors as that state has, and the budget as many bytes
 *	the rest of the memory is the same instance
 *
 * and at the end each event that was accepted on the other channel has arrived once.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "tests/fault/adopt_world.h"
#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"

#define CLASS                                                        \
	"class main { block = 64\n blocks = 64\n side_blocks = 64\n" \
	"side_lanes = 8 }\n"
#define U "channel u { stamp = \"none\"\n" CLASS "}\n"
#define N "channel n { stamp = \"none\"\n group g { }\n" CLASS "}\n"
#define I                                        \
	"channel i { isolation = process\n"      \
	"producers_max = 2\n stamp = \"none\"\n" \
	"class main { block = 64\n blocks = 64 } }\n"
/* The size of a segment depends on the kind of its pages. */
#define RULES                                                              \
	"hugepages = never\n"                                              \
	"allow anybody { any = true role = {produce, consume, inspect, \n" \
	"lossless, durable} }\n"
#define WITHOUT U RULES
#define WITH    N U I RULES

static pid_t producer_pid;
static struct tapio_consumer *reader;
static struct peer eye;

static void connect_options(void)
{
	rig_use(world->socket);
}

/* ---- the living ----------------------------------------------------------------------- */

static void emit_for_ever(void)
{
	struct tapio_producer *p;
	uint32_t n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tapio_producer_open(&p, "u", &rig.options))
		_exit(1);
	while (!tpi_load_acquire(&world->stop) && n < WORLD_NUMBERS) {
		if (!tapio_output(p, TAG, &n, sizeof(n)))
			tpi_store_release(&world->accepted, ++n);
		usleep(200);
	}
	_exit(0);
}

static void read_on(void)
{
	struct tapio_view views[64];
	uint32_t number;
	unsigned int n;

	while ((n = look(reader, views, 64))) {
		for (unsigned int i = 0; i < n; i++) {
			memcpy(&number, views[i].data, sizeof(number));
			world->seen[number]++;
		}
		ck_assert_int_eq(tapio_release(reader), 0);
	}
}

static void start_living(void)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "r",
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	int err = tapio_consumer_open(&reader, "u", &options);

	ck_assert_msg(!err, "%s: %s", strerror(-err), rig.error);
	producer_pid = fork();
	ck_assert_int_ge(producer_pid, 0);
	if (!producer_pid)
		emit_for_ever();
	while (!tpi_load_acquire(&world->accepted))
		nap_ms(1);
}

static void end_living(void)
{
	tpi_store_release(&world->stop, 1);
	ck_assert(child_ok(producer_pid));
	read_on();
	ck_assert_uint_gt(world->accepted, 0);
	for (uint32_t i = 0; i < world->accepted; i++)
		ck_assert_uint_eq(world->seen[i], 1);
	tapio_consumer_close(reader);
}

/* ---- what there is ---------------------------------------------------------------------- */

/* Of one of the two configurations. */
struct means {
	uint64_t used_bytes;
	uint32_t records;
	uint32_t kept; /* descriptors of memory */
};
static struct means of_without, of_with;
static uint8_t instance[16];

static struct means look_at_means(void)
{
	const struct tpi_catalog *catalog = &eye.catalog;
	struct means m = {
		.used_bytes = tpi_load_relaxed(&catalog->broker->used_bytes)};

	for (uint32_t i = 0; i < catalog->segment_count; i++)
		m.records += tpi_load_relaxed(&catalog->segments[i].ready) != 0;
	world_flush();
	for (uint32_t i = 0; i < world_kept_count; i++)
		m.kept += world_kept[i].key.kind == TPI_KEEP_SEGMENT;
	return m;
}

static bool is_there(const char *name)
{
	struct tapio_shm_channel info;

	for (uint32_t i = 0; i < eye.catalog.channel_count; i++)
		if (!tpi_channel_look(&eye.catalog, i, &info, NULL, 0) &&
		    !strcmp(info.name, name))
			return true;
	return false;
}

/* Each record that is READY is of a channel that is, and no place is of two channels. */
static void check_entries(void)
{
	const struct tpi_catalog *catalog = &eye.catalog;
	uint32_t next = 0;

	for (uint32_t i = 1; i < catalog->segment_count; i++) {
		const struct tapio_shm_segment *s = &catalog->segments[i];

		if (!s->ready) {
			ck_assert_uint_eq(s->kind, 0);
			continue;
		}
		ck_assert_uint_eq(s->channel, (i - 1) / TAPIO_CHANNEL_RECORDS);
		ck_assert(tpi_channel_exists(catalog, s->channel));
	}
	for (uint32_t i = 0; i < catalog->channel_count; i++) {
		if (!tpi_channel_exists(catalog, i))
			continue;
		/* The lowest free ones are taken, in this test in one order. */
		ck_assert_uint_eq(catalog->channels[i].first_place, next);
		next += catalog->channels[i].lane_count;
	}
}

static void use(const char *channel, const char *group)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = group,
	};
	struct tapio_consumer *c;
	struct tapio_producer *p;
	uint64_t got = 0;
	int err = tapio_consumer_open(&c, channel, &options);

	ck_assert_msg(!err, "%s: %s", strerror(-err), rig.error);
	err = tapio_producer_open(&p, channel, &rig.options);
	ck_assert_msg(!err, "%s: %s", strerror(-err), rig.error);
	for (uint32_t n = 0; n < 10; n++)
		ck_assert_int_eq(tapio_output(p, TAG, &n, sizeof(n)), 0);
	/* Memory of an isolated producer is read when the broker has answered. */
	for (int i = 0; i < 60000 && (got += drain(c)) < 10; i++)
		nap_ms(1);
	ck_assert_uint_eq(got, 10);
	tapio_producer_close(p);
	tapio_consumer_close(c);
}

static bool is_same(const struct means *a, const struct means *b)
{
	return a->used_bytes == b->used_bytes && a->records == b->records &&
	       a->kept == b->kept;
}

/* A channel that is not named may need a tick of the broker to go. */
static void settle(bool with)
{
	const struct means *wanted = with ? &of_with : &of_without;
	struct means now = look_at_means();

	for (int i = 0; i < 20000 && !is_same(&now, wanted); i++) {
		nap_ms(1);
		now = look_at_means();
	}
	ck_assert_uint_eq(now.used_bytes, wanted->used_bytes);
	ck_assert_uint_eq(now.records, wanted->records);
	ck_assert_uint_eq(now.kept, wanted->kept);
	ck_assert_int_eq(is_there("n"), with);
	ck_assert_int_eq(is_there("i"), with);
	ck_assert(is_there("u"));
	check_entries();
	ck_assert_mem_eq(instance, eye.catalog.instance, sizeof(instance));
}

static void open_eye(void)
{
	peer_connect_to(&eye, world->socket);
	ck_assert_int_eq(peer_hello(&eye), 0);
}

/* ---- steps -------------------------------------------------------------------------------- */

/* True: it has answered. */
static bool reload(const char *text)
{
	world->next = text;
	world->said[0] = 0;
	world_tell('r');
	return world->said[0];
}

static void must_be(bool with)
{
	if (is_there("n") != with)
		ck_assert_msg(reload(with ? WITH : WITHOUT), "no answer");
	settle(with);
}

static void begin(void)
{
	world_begin(WITHOUT);
	connect_options();
	ck_assert_msg(world_start(), "%s", world->error);
	open_eye();
	memcpy(instance, eye.catalog.instance, sizeof(instance));
	of_without = look_at_means();
	ck_assert(reload(WITH));
	of_with = look_at_means();
	ck_assert_uint_eq(of_with.kept,
			  of_without.kept + 1 + 3 + 2 * TAPIO_GROUP_SLOTS);
	ck_assert(reload(WITHOUT));
	settle(false);
	start_living();
}

static void end(void)
{
	end_living();
	peer_close(&eye);
	world_stop();
	ck_assert_uint_eq(world_kept_count, 0);
}

/* The next broker serves, with that file. */
static void succeed(bool with)
{
	world->config = with ? WITH : WITHOUT;
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert_msg(!world_said("is not taken over"), "%s", world->log);
	peer_close(&eye);
	open_eye();
	settle(with);
	if (with) {
		use("n", "g");
		use("i", NULL);
	}
	read_on();
}

/* It may have died at its next tick. Its sockets close before its pidfd says so. */
static bool lives(void)
{
	return world_tell('?');
}

/* Dies where none has died yet. False: it did not. */
static bool die_in_reload(bool with)
{
	bool answered;

	tpi_store_relaxed(&world->fresh, 1);
	answered = reload(with ? WITH : WITHOUT);
	tpi_store_relaxed(&world->fresh, 0);
	if (answered && lives())
		return false;
	printf("reload to %s: %s\n", with ? "more" : "less", world->died_at);
	world_died();
	return true;
}

static bool die_at_start(bool with)
{
	bool serves;

	world_kill();
	world->config = with ? WITH : WITHOUT;
	tpi_store_relaxed(&world->fresh, 1);
	serves = world_start();
	tpi_store_relaxed(&world->fresh, 0);
	if (serves && lives()) {
		peer_close(&eye);
		open_eye();
		return false;
	}
	if (serves)
		world_died();
	ck_assert_msg(world->died_at[0], "%s", world->error);
	printf("start with %s: %s\n", with ? "more" : "less", world->died_at);
	return true;
}

static const struct way {
	bool with;             /* makes, else gives back */
	bool start;            /* at a start, else by a reload */
	const char *points[8]; /* it MUST have died at these */
} ways[] = {
	{true,
	 false,
	 {"channel.written", "registry.noted", "registry.kept",
	  "channel.shown"}},
	{false,
	 false,
	 {"channel.removed", "channel.ended", "channel.hidden",
	  "channel.cleared", "channel.emptied", "channel.dropped",
	  "channel.gone"}},
	{true,
	 true,
	 {"channel.written", "registry.noted", "registry.kept",
	  "channel.shown"}},
	{false, true, {"channel.removed"}},
};
#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

static bool died_at(const char *point)
{
	for (int i = 0; i < WORLD_POINTS; i++)
		if (!strcmp(world->names[i], point))
			return world->deaths[i][0];
	return false;
}

START_TEST(each_step_is_completed_or_undone_by_the_next_broker)
{
	const struct way *way = &ways[_i];
	uint32_t deaths = 0;

	begin();
	must_be(!way->with);
	while (way->start ? die_at_start(way->with)
			  : die_in_reload(way->with)) {
		/* The file may have changed back meanwhile. */
		succeed(deaths % 2 ? way->with : !way->with);
		must_be(!way->with);
		deaths++;
	}
	settle(way->with);
	for (int i = 0; way->points[i]; i++)
		ck_assert_msg(died_at(way->points[i]), "%s", way->points[i]);
	printf("%u deaths\n", deaths);
	fflush(stdout);
	end();
}
END_TEST

/* A broker dies in the middle of either, and its successors in their taking over. */
START_TEST(a_successor_that_dies_leaves_it_to_the_next_one)
{
	bool with = _i;
	uint32_t n, deaths = 0;
	bool serves = false;

	begin();
	for (n = 1; !serves; n++) {
		must_be(!with);
		tpi_store_relaxed(&world->countdown, 3 + 7 * n % 61);
		(void)reload(with ? WITH : WITHOUT);
		tpi_store_relaxed(&world->countdown, 0);
		world_kill();
		world->config = n % 2 ? WITH : WITHOUT;
		tpi_store_relaxed(&world->fresh, 1);
		serves = world_start();
		tpi_store_relaxed(&world->fresh, 0);
		if (serves && !lives()) {
			serves = false;
			world_died();
		}
		if (!serves) {
			ck_assert_msg(world->died_at[0], "%s", world->error);
			printf("%u: %s\n", n, world->died_at);
			deaths++;
			succeed(n / 2 % 2);
		} else {
			peer_close(&eye);
			open_eye();
		}
	}
	printf("%u deaths of successors\n", deaths);
	fflush(stdout);
	ck_assert_uint_ge(deaths, 10);
	end();
}
END_TEST

/* All of a new channel is kept, or there is none: a successor would miss it. */
START_TEST(a_keeper_without_room_refuses_a_new_channel)
{
	begin();
	tpi_store_relaxed(&world->full, 1);
	ck_assert(reload(WITH));
	ck_assert_ptr_nonnull(
		strstr(world->said, "the keeper does not take a descriptor"));
	tpi_store_relaxed(&world->full, 0);
	settle(false);
	ck_assert(reload(WITH));
	settle(true);
	use("n", "g");
	world_kill();
	succeed(true);
	end();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("reconcile_killed");

	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t,
			    each_step_is_completed_or_undone_by_the_next_broker,
			    0, WAYS);
	tcase_add_loop_test(t, a_successor_that_dies_leaves_it_to_the_next_one,
			    0, 2);
	tcase_add_test(t, a_keeper_without_room_refuses_a_new_channel);
	return check_run_case("reconcile_killed", t);
}
