/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The promise of each policy, whatever its consumers do: members that are
 * stopped (SIGSTOP), slow, dying (SIGKILL) or joining, 1 to 16 groups, a
 * thousand members and groups that come and go under load, and a flood of bulk
 * events beside critical ones. Each time the ledger of the group must balance,
 * and must say the same as the consumers' own counts.
 *
 * The group under test is durable, so that its ledger outlives its members, and
 * its consumers are child processes that write what they saw to shared memory: a
 * byte per event before it is released, so that what the dead had not released
 * may come again, and nothing may be missing.
 *
 * TAPIO_LONG=1: a minute where seconds would do, and ten times as many events.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "lib/memory/layout.h"
#include "tests/unit/client_fixture.h"

#define SOURCES   2
#define EACH_MAX  400000
#define VIEWS     64
#define BLOCKS    256
#define LAG       100
#define MEMBERS   2
#define GROUPS    16
#define VISITS    (CHECK_SANITIZED ? 200 : 1000) /* of members, and of groups */
#define MS        INT64_C(1000000)
#define GIVE_UP_S 100

#define CONFIG                                                           \
	"channel t { stamp = \"none\" full = \"%s\" wait = \"2ms\"\n"    \
	"groups_max = 20\n"                                              \
	"class main { block = 64\n blocks = 256\n side_blocks = 256 } }" \
	"channel u { stamp = \"none\"\n"                                 \
	"class main { block = 64\n blocks = 256\n side_blocks = 256 } }"

struct body {
	uint32_t source;
	uint32_t number;
};

/* The events that one consumer has seen. It alone writes it, after each
 * release. */
struct witness {
	uint64_t released; /* events that were whole */
	uint64_t thrown; /* events that were overwritten while they were read */
	uint64_t gaps;   /* positions in gap records */
	uint32_t done;   /* it has ended by itself */
};

struct shared {
	uint32_t finish;  /* consumers: no more will come */
	uint32_t pausing; /* a consumer has just stopped itself */
	struct witness witness[GROUPS + MEMBERS];
	uint8_t seen[GROUPS][SOURCES][EACH_MAX]; /* how often, at most 255 */
};
static struct shared *shared;

static uint32_t each; /* events of a source */
static struct tapio_producer *p;

/* ---- producers ---------------------------------------------------------------- */

struct source {
	pthread_t thread;
	uint32_t index;
	uint64_t accepted;
	uint64_t refused; /* tries */
};
static struct source sources[SOURCES];

static void *produce(void *arg)
{
	struct source *s = arg;
	struct body body = {.source = s->index};
	int err;

	while (body.number < each) {
		err = tapio_output(p, TAG, &body, sizeof(body));
		if (err) {
			ck_assert(err == -EAGAIN || err == -ETIMEDOUT);
			s->refused++;
			sched_yield();
			continue;
		}
		body.number++;
		s->accepted++;
	}
	return NULL;
}

static void start_sources(void)
{
	for (uint32_t i = 0; i < SOURCES; i++) {
		sources[i] = (struct source){.index = i};
		pthread_create(&sources[i].thread, NULL, produce, &sources[i]);
	}
}

static uint64_t join_sources(void)
{
	uint64_t refused = 0;

	for (uint32_t i = 0; i < SOURCES; i++) {
		pthread_join(sources[i].thread, NULL);
		ck_assert_uint_eq(sources[i].accepted, each);
		refused += sources[i].refused;
	}
	ck_assert_uint_eq(channel_stats(p).dropped, refused);
	return refused;
}

/* ---- consumers ------------------------------------------------------------------ */

enum behaviour {
	STEADY,
	STOPPED, /* by itself, once. Somebody continues it */
	SLOW,
};

struct reader {
	const char *group;
	uint32_t policy;
	uint32_t lag;
	uint32_t index; /* of its witness */
	uint32_t seen;  /* of its group's map */
	enum behaviour behaviour;
};

static void mark(uint8_t *seen, uint32_t *wrong, const struct tapio_view *v)
{
	const struct body *body = v->data;
	uint32_t source = body->source, number = body->number;

	if (v->length != sizeof(*body) || source >= SOURCES ||
	    number >= EACH_MAX) {
		(*wrong)++;
		return;
	}
	seen += source * EACH_MAX + number;
	if (*seen < UINT8_MAX)
		++*seen;
}

/*
 * Copies what is whole. Marks it before it releases, if no producer can
 * overwrite it, else after, when the release must count what was not.
 */
static int take(struct tapio_consumer *c, const struct reader *r,
		const struct tapio_view *views, int n)
{
	struct witness *w = &shared->witness[r->index];
	uint8_t *seen = shared->seen[r->seen][0];
	struct body copies[VIEWS];
	struct tapio_view copy[VIEWS];
	uint32_t wrong = 0;
	uint64_t gaps = 0, events = 0, spoilt = 0;
	int64_t vain;

	for (int i = 0; i < n; i++) {
		if (views[i].flags & TAPIO_VIEW_GAP) {
			gaps += ((const struct tapio_gap *)views[i].data)
					->count;
			continue;
		}
		copy[events] = views[i];
		memcpy(&copies[events], views[i].data, sizeof(*copies));
		copy[events].data = &copies[events];
		if (tapio_view_intact(c, &views[i]))
			events++;
		else
			spoilt++;
	}
	if (r->policy == TAPIO_GROUP_LOSSLESS)
		for (uint64_t i = 0; i < events; i++)
			mark(seen, &wrong, &copy[i]);
	vain = tapio_release(c);
	if (vain < 0 || (uint64_t)vain != spoilt)
		return 1;
	if (r->policy != TAPIO_GROUP_LOSSLESS)
		for (uint64_t i = 0; i < events; i++)
			mark(seen, &wrong, &copy[i]);
	w->gaps += gaps;
	w->thrown += (uint64_t)vain;
	w->released += events;
	return wrong ? 2 : 0;
}

/* The life of a consumer. Returns its exit status. */
static int consume(const struct reader *r)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = r->group,
		.policy = r->policy,
		.lag = r->lag,
		.durable = 1,
	};
	struct tapio_view views[VIEWS];
	struct witness *w = &shared->witness[r->index];
	struct tapio_consumer *c;
	uint32_t batches = 0;
	int n, err = tapio_consumer_open(&c, "t", &options);

	if (err)
		return 3;
	tpi_store_release(&w->done, 2); /* attached */
	while (!tpi_load_acquire(&shared->finish)) {
		n = tapio_poll(c, views, VIEWS, 20 * MS);
		if (n < 0 && n != -EINTR)
			return 4;
		if (n <= 0)
			continue;
		if (r->behaviour == STOPPED && ++batches == 1) {
			/* With a batch in its hands. */
			tpi_store_release(&shared->pausing, 1);
			raise(SIGSTOP);
		}
		if (r->behaviour == SLOW)
			nap_ms(1);
		err = take(c, r, views, n);
		if (err)
			return err;
	}
	tapio_consumer_close(c);
	tpi_store_release(&w->done, 1);
	return 0;
}

static pid_t fork_reader(const struct reader *r)
{
	struct witness *w = &shared->witness[r->index];
	pid_t pid;

	tpi_store_relaxed(&w->done, 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(consume(r));
	while (tpi_load_acquire(&w->done) != 2)
		nap_ms(1);
	return pid;
}

/* ---- the account ------------------------------------------------------------------ */

/* The slot of a group, by its name, or -1. */
static int slot_of(const char *group)
{
	for (int i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (TAPIO_SLOT_STATE(
			    tpi_load_acquire(&p->now->client.groups[i].slot)) ==
			    TAPIO_SLOT_ACTIVE &&
		    !strcmp(p->now->client.groups[i].name, group))
			return i;
	return -1;
}

/* The group's ledger over all lanes. Each of them must balance. */
static struct tpi_ledger ledger_of(const char *group)
{
	struct tpi_ledger one, sum = {0};
	int slot = slot_of(group);

	ck_assert_int_ge(slot, 0);
	for (uint32_t i = 0; i < p->now->emit.lane_count; i++) {
		ck_assert_int_eq(
			tpi_ledger_read(
				&p->now->emit.lanes[i],
				&p->now->client.groups[slot],
				&p->now->client.cursors[slot].cursors[i], &one),
			0);
		ck_assert_msg(!one.faults, "lane %u: faults 0x%x", i,
			      one.faults);
		ck_assert_uint_eq(one.published, one.delivered + one.skipped +
							 one.lost +
							 one.in_flight);
		sum.published += one.published;
		sum.delivered += one.delivered;
		sum.skipped += one.skipped;
		sum.lost += one.lost;
		sum.in_flight += one.in_flight;
	}
	return sum;
}

static void wait_drained(const char *group)
{
	time_t until = time(NULL) + GIVE_UP_S;

	while (ledger_of(group).in_flight) {
		ck_assert_msg(time(NULL) < until, "%s is never drained", group);
		nap_ms(5);
	}
}

static void finish(const pid_t *pids, int count)
{
	tpi_store_release(&shared->finish, 1);
	for (int i = 0; i < count; i++)
		ck_assert(child_ok(pids[i]));
}

/* Every event was seen: exactly once, or at least once. */
static void assert_all_seen(uint32_t map, bool once)
{
	for (uint32_t s = 0; s < SOURCES; s++)
		for (uint32_t i = 0; i < each; i++) {
			uint8_t n = shared->seen[map][s][i];

			if (!n || (once && n != 1))
				ck_abort_msg("event %u of %u came %u times", i,
					     s, n);
		}
}

static void assert_none_twice(uint32_t map)
{
	for (uint32_t s = 0; s < SOURCES; s++)
		for (uint32_t i = 0; i < each; i++)
			ck_assert_uint_le(shared->seen[map][s][i], 1);
}

static struct witness add_up(void)
{
	struct witness sum = {0};

	for (int i = 0; i < GROUPS + MEMBERS; i++) {
		sum.released += shared->witness[i].released;
		sum.thrown += shared->witness[i].thrown;
		sum.gaps += shared->witness[i].gaps;
	}
	return sum;
}

static bool long_run(void)
{
	const char *value = getenv("TAPIO_LONG");

	return value && *value && strcmp(value, "0") != 0;
}

static void set_up_full(const char *full)
{
	char config[512];

	each = long_run() ? EACH_MAX : CHECK_SANITIZED ? 5000 : 20000;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	snprintf(config, sizeof(config), CONFIG, full);
	rig_start(config);
	p = rig_producer();
}

static void set_up(void)
{
	set_up_full("drop");
}

static void set_up_waiting(void)
{
	set_up_full("wait");
}

static void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
	munmap(shared, sizeof(*shared));
}

/* ---- policies ------------------------------------------------------------------------ */

static const struct policy {
	uint32_t policy;
	uint32_t lag;
} policies[] = {
	{TAPIO_GROUP_LOSSLESS, 0},
	{TAPIO_GROUP_UNTIL, 0},
	{TAPIO_GROUP_UNTIL, LAG},
	{TAPIO_GROUP_LOSSY, 0},
};
#define POLICIES 4

static struct reader reader_of(int policy, uint32_t index)
{
	return (struct reader){
		.group = "g",
		.policy = policies[policy].policy,
		.lag = policies[policy].lag,
		.index = index,
	};
}

/* The ledger says what the consumers have seen, and that is all there was. */
static void assert_account(int policy, bool killed)
{
	bool lossless = policies[policy].policy == TAPIO_GROUP_LOSSLESS;
	struct tpi_ledger ledger = ledger_of("g");
	struct witness sum = add_up();

	ck_assert_uint_eq(ledger.published, (uint64_t)each * SOURCES);
	ck_assert_uint_eq(ledger.skipped, 0);
	ck_assert_uint_eq(ledger.in_flight, 0);
	if (lossless) {
		ck_assert_uint_eq(ledger.lost, 0);
		assert_all_seen(0, !killed);
	}
	if (killed)
		return; /* it may have died between release and its notes */
	ck_assert_uint_eq(ledger.delivered, sum.released);
	ck_assert_uint_eq(ledger.lost, sum.gaps + sum.thrown);
	assert_none_twice(0);
}

START_TEST(a_stopped_consumer_costs_what_its_policy_says)
{
	struct reader r = reader_of(_i, 0);
	int status;
	pid_t pid;

	r.behaviour = STOPPED;
	pid = fork_reader(&r);
	start_sources();
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	nap_ms(300);
	kill(pid, SIGCONT);
	join_sources();
	wait_drained("g");
	finish(&pid, 1);
	assert_account(_i, false);
}
END_TEST

START_TEST(a_slow_consumer_costs_what_its_policy_says)
{
	struct reader r = reader_of(_i, 0);
	pid_t pid;

	r.behaviour = SLOW;
	pid = fork_reader(&r);
	start_sources();
	join_sources();
	wait_drained("g");
	finish(&pid, 1);
	assert_account(_i, false);
}
END_TEST

START_TEST(a_dying_consumer_costs_what_its_policy_says)
{
	struct reader r[MEMBERS] = {reader_of(_i, 0), reader_of(_i, 1)};
	pid_t pids[MEMBERS];
	int status;

	r[0].behaviour = STOPPED; /* dies there, with a batch in its hands */
	for (int i = 0; i < MEMBERS; i++)
		pids[i] = fork_reader(&r[i]);
	start_sources();
	/* Perhaps all lanes that are busy are the other's. */
	for (int ms = 0; ms < 300 && !tpi_load_acquire(&shared->pausing); ms++)
		nap_ms(1);
	kill(pids[0], SIGKILL);
	ck_assert_int_eq(waitpid(pids[0], &status, 0), pids[0]);
	join_sources();
	wait_drained("g");
	finish(&pids[1], 1);
	assert_account(_i, true);
}
END_TEST

START_TEST(a_joining_consumer_costs_nothing)
{
	struct reader r[MEMBERS] = {reader_of(_i, 0), reader_of(_i, 1)};
	pid_t pids[MEMBERS];

	pids[0] = fork_reader(&r[0]);
	start_sources();
	nap_ms(20);
	pids[1] = fork_reader(&r[1]);
	join_sources();
	wait_drained("g");
	finish(pids, MEMBERS);
	assert_account(_i, false);
}
END_TEST

/* ---- groups ---------------------------------------------------------------------------- */

static const int group_counts[] = {1, 2, 4, 16};

START_TEST(every_group_gets_every_event_once)
{
	int count = group_counts[_i];
	char names[GROUPS][16];
	pid_t pids[GROUPS];

	for (int i = 0; i < count; i++) {
		struct reader r = {.group = names[i],
				   .policy = TAPIO_GROUP_LOSSLESS,
				   .index = (uint32_t)i,
				   .seen = (uint32_t)i};

		snprintf(names[i], sizeof(names[i]), "g%d", i);
		pids[i] = fork_reader(&r);
	}
	each /= 4;
	start_sources();
	join_sources();
	for (int i = 0; i < count; i++)
		wait_drained(names[i]);
	finish(pids, count);
	for (int i = 0; i < count; i++) {
		ck_assert_uint_eq(ledger_of(names[i]).delivered,
				  (uint64_t)each * SOURCES);
		assert_all_seen((uint32_t)i, true);
	}
}
END_TEST

/* A durable group without members holds what its last member had not read. */
START_TEST(a_durable_group_goes_on_where_its_last_member_left)
{
	struct reader r = reader_of(0, 0);
	pid_t pid = fork_reader(&r);

	each = 50; /* while it has no member it holds half a lane, no more */
	finish(&pid, 1);
	start_sources();
	join_sources();
	ck_assert_uint_eq(ledger_of("g").in_flight, 50 * SOURCES);
	shared->finish = 0;
	pid = fork_reader(&r);
	wait_drained("g");
	finish(&pid, 1);
	assert_account(0, false);
}
END_TEST

/* ---- coming and going -------------------------------------------------------------------- */

/* Threads of this process. The load goes on until they have had enough. */
static void *produce_on(void *arg)
{
	struct source *s = arg;
	struct body body = {.source = s->index};

	while (!tpi_load_acquire(&shared->finish)) {
		if (tapio_output(p, TAG, &body, sizeof(body))) {
			s->refused++;
			sched_yield();
			continue;
		}
		body.number++;
		s->accepted++;
	}
	return NULL;
}

/* One member or group: reads a little, leaves. Returns how many it released. */
static uint64_t visit(const char *group, bool alone)
{
	struct tapio_consumer *c = rig_consumer(group, TAPIO_GROUP_LOSSLESS);
	struct tapio_view views[VIEWS];
	struct tpi_ledger ledger;
	uint64_t got = 0;

	for (int i = 0; i < 3; i++) {
		unsigned int n = look(c, views, VIEWS);

		got += n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ledger = ledger_of(group);
	ck_assert_uint_eq(ledger.lost, 0);
	if (alone)
		ck_assert_uint_eq(ledger.delivered, got);
	tapio_consumer_close(c);
	return got;
}

START_TEST(a_thousand_members_and_groups_come_and_go_under_load)
{
	struct tapio_consumer *resident;
	uint64_t delivered = 0, accepted = 0, attaches, closes;

	resident = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (uint32_t i = 0; i < SOURCES; i++) {
		sources[i] = (struct source){.index = i};
		pthread_create(&sources[i].thread, NULL, produce_on,
			       &sources[i]);
	}
	attaches = tpi_load_relaxed(&p->now->client.catalog.broker->attaches);
	closes = tpi_load_relaxed(&p->now->client.catalog.broker->closes);
	for (int i = 0; i < VISITS; i++) {
		delivered += visit("g", false);
		delivered += drain(resident);
		visit("passing", true);
		delivered += drain(resident);
	}
	/* Each of them, a member and a group's only one, came and went. */
	ck_assert_uint_eq(
		tpi_load_relaxed(&p->now->client.catalog.broker->attaches),
		attaches + 2 * VISITS);
	ck_assert_uint_eq(
		tpi_load_relaxed(&p->now->client.catalog.broker->closes),
		closes + 2 * VISITS);
	tpi_store_release(&shared->finish, 1);
	for (uint32_t i = 0; i < SOURCES; i++) {
		pthread_join(sources[i].thread, NULL);
		accepted += sources[i].accepted;
	}
	do { /* free lanes are taken by and by */
		delivered += drain(resident);
		nap_ms(5);
	} while (ledger_of("g").in_flight);
	ck_assert_uint_gt(accepted, 0);
	ck_assert_uint_eq(delivered, accepted);
	assert_ledger(resident, accepted, 0, 0);
	tapio_consumer_close(resident);
}
END_TEST

/* ---- one stops, others do not notice ----------------------------------------------------- */

/* Output to the other channel while the first one is held. All must arrive. */
static uint64_t load_other_channel(int64_t ns)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_producer *other;
	struct tapio_consumer *c;
	uint64_t sent = 0, got = 0;
	int64_t until = tpi_now_ns() + ns;

	ck_assert_int_eq(tapio_producer_open(&other, "u", &rig.options), 0);
	ck_assert_int_eq(tapio_consumer_open(&c, "u", &options), 0);
	while (tpi_now_ns() < until) {
		for (int i = 0; i < 64; i++) {
			ck_assert_int_eq(
				tapio_output(other, TAG, &sent, sizeof(sent)),
				0);
			sent++;
		}
		got += drain(c);
	}
	ck_assert_uint_eq(got, sent);
	ck_assert_uint_eq(channel_stats(other).dropped, 0);
	assert_ledger(c, sent, 0, 0);
	tapio_consumer_close(c);
	tapio_producer_close(other);
	return sent;
}

/*
 * The only member of a lossless group stands still: producers are refused, at
 * once or when they have waited, and each refusal is counted. A lossy group gets
 * what is accepted. The other channel has nothing to do with it.
 */
START_TEST(a_stopped_lossless_group_holds_its_producers_and_nobody_else)
{
	struct reader r = reader_of(0, 0), lossy = reader_of(3, 1);
	int64_t ns = (long_run() ? 60000 : 500) * MS;
	unsigned int cause = _i ? TAPIO_DROP_TIMEOUT : TAPIO_DROP_FULL;
	uint64_t before, during, refused;
	struct tpi_ledger ledger;
	pid_t pids[2];
	int status;

	r.behaviour = STOPPED;
	lossy.group = "lossy";
	lossy.seen = 1;
	before = load_other_channel(ns);
	pids[0] = fork_reader(&r);
	pids[1] = fork_reader(&lossy);
	start_sources();
	ck_assert_int_eq(waitpid(pids[0], &status, WUNTRACED), pids[0]);
	during = load_other_channel(ns);
	ck_assert_uint_gt(ledger_of("g").in_flight, 0);
	kill(pids[0], SIGCONT);
	refused = join_sources();
	ck_assert_uint_gt(refused, 0);
	ck_assert_uint_eq(dropped(p, cause), refused);
	wait_drained("g");
	wait_drained("lossy");
	finish(pids, 2);
	ck_assert_uint_eq(ledger_of("g").delivered, (uint64_t)each * SOURCES);
	ck_assert_uint_eq(ledger_of("g").lost, 0);
	assert_all_seen(0, true);
	ledger = ledger_of("lossy");
	ck_assert_uint_eq(ledger.delivered, shared->witness[1].released);
	ck_assert_uint_eq(ledger.lost,
			  shared->witness[1].gaps + shared->witness[1].thrown);
	printf("other channel: %.0f events/s before, %.0f while it stood\n",
	       (double)before * 1e9 / (double)ns,
	       (double)during * 1e9 / (double)ns);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("delivery");
	TCase *t = tcase_create("drop");

	tcase_set_timeout(t, 150);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, a_stopped_consumer_costs_what_its_policy_says, 0,
			    POLICIES);
	tcase_add_loop_test(t, a_slow_consumer_costs_what_its_policy_says, 0,
			    POLICIES);
	tcase_add_loop_test(t, a_dying_consumer_costs_what_its_policy_says, 0,
			    POLICIES);
	tcase_add_loop_test(t, a_joining_consumer_costs_nothing, 0, POLICIES);
	tcase_add_loop_test(t, every_group_gets_every_event_once, 0, 4);
	tcase_add_test(t, a_durable_group_goes_on_where_its_last_member_left);
	tcase_add_test(t, a_thousand_members_and_groups_come_and_go_under_load);
	tcase_add_loop_test(
		t, a_stopped_lossless_group_holds_its_producers_and_nobody_else,
		0, 1);
	suite_add_tcase(suite, t);
	t = tcase_create("wait");
	tcase_set_timeout(t, 150);
	tcase_add_checked_fixture(t, set_up_waiting, tear_down);
	tcase_add_loop_test(t, a_slow_consumer_costs_what_its_policy_says, 0,
			    1);
	tcase_add_loop_test(
		t, a_stopped_lossless_group_holds_its_producers_and_nobody_else,
		1, 2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
