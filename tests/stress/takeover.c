/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storms over a group whose members fall asleep, with SIGSTOP at any instruction, for
 * longer than it takes to relieve them, and come back in the middle of what they were
 * doing. Three priorities, a filter, events that it refuses and discards with a period
 * that does not divide the ring, and members that merge beside members that do not.
 * One more member has opened, and never polls while the storm lasts.
 *
 *  killed   takeover = 150 ms. Members are killed as well. What a member has released
 *           with the lease in its hands never comes again.
 *  never    takeover = never, and no kills. Lanes are taken over only from members
 *           that hold no events, after a second. No event comes twice, at all.
 *
 * Afterwards each event that passes the filter was delivered, and each that does not
 * was skipped, once in the ledger of its lane: nothing is lost, and nothing is
 * unexplained.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/unit/client_fixture.h"

#define SOURCES    2
#define MEMBERS    3
#define CLASSES    3
#define EACH_MAX   2000000
#define PACE       20 /* events of a source, and then a nap of a millisecond */
#define PERIOD     3  /* of what passes. The ring has 64 blocks */
#define OTHER_TYPE 7
#define MS         INT64_C(1000000)
#define GIVE_UP_NS (100000 * MS)

#define CONFIG                                                          \
	"channel t { stamp = tsc\n"                                     \
	" class low  { block = 64\n blocks = 64\n side_blocks = 64 }\n" \
	" class mid  { block = 64\n blocks = 64\n side_blocks = 64\n"   \
	"  priority = 1 }\n"                                            \
	" class high { block = 64\n blocks = 64\n side_blocks = 64\n"   \
	"  priority = 2 }\n"                                            \
	" group killed { policy = lossless takeover = 150ms }\n"        \
	" group never { policy = lossless takeover = never } }\n"

struct body {
	uint32_t source;
	uint32_t number;
	uint64_t check;
};

static const struct storm {
	const char *group;
	int64_t stop_ns; /* at least. Twice as long at most */
	int64_t lasts_ns;
	bool kills;
} storms[] = {
	{"killed", 200 * MS, 12000 * MS, true},
	{"never", 1200 * MS, 16000 * MS, false},
};

/* A byte of each event that passes. */
#define CAME  UINT8_C(1) /* to any member */
#define FINAL UINT8_C(2) /* it was released for good */

static struct shared {
	uint32_t stop;   /* producers */
	uint32_t finish; /* members */
	uint32_t twice;  /* events that came again though they must not */
	uint32_t again;  /* that came again as they may */
	uint32_t broken; /* views that were not what was sent */
	uint32_t relieved;
	uint32_t looks[MEMBERS];
	uint32_t sent[SOURCES]; /* that pass */
	uint32_t chaff[SOURCES];
	uint8_t fates[SOURCES][EACH_MAX];
} * shared;

/* ---- producers ------------------------------------------------------------------- */

static int emit_one(struct tapio_producer *p, uint32_t source, uint32_t n)
{
	uint32_t klass = n / 7 % CLASSES, kind = n % PERIOD;
	struct body body = {source, shared->sent[source], 0};
	struct tapio_reservation r;
	int err;

	body.check =
		((uint64_t)source << 32 | body.number) * 0x9e3779b97f4a7c15;
	if (kind == 1) {
		err = tapio_reserve(p, TAPIO_TAG_CLASS(100, 5, klass), 8, &r);
		return err ? err : tapio_discard(p, &r);
	}
	return tapio_output(p,
			    TAPIO_TAG_CLASS(kind ? OTHER_TYPE : 100, 5, klass),
			    &body, sizeof(body));
}

static void *produce(void *arg)
{
	uint32_t source = (uint32_t)(uintptr_t)arg, n;
	struct tapio_producer *p;
	int err;

	pin((int)source % cpu_count());
	p = rig_producer();
	for (n = 0; !tpi_load_relaxed(&shared->stop);) {
		err = emit_one(p, source, n);
		if (err) {
			ck_assert_msg(err == -EAGAIN || err == -ENOBUFS,
				      "emitting: %s", strerror(-err));
			nap_ms(1);
			continue;
		}
		if (n % PERIOD)
			shared->chaff[source]++;
		else if (++shared->sent[source] == EACH_MAX)
			break;
		if (!(++n % PACE))
			nap_ms(1);
	}
	tapio_producer_close(p);
	return NULL;
}

/* ---- a member ---------------------------------------------------------------------- */

static void count(uint32_t *what)
{
	tpi_add_relaxed(what, 1);
}

/*
 * One event in our hands. It is marked only if it was whole up to now. If the lease is
 * ours now, it was so since the poll, and what another member had released for good
 * cannot have come.
 */
static uint8_t *mark(struct tapio_consumer *c, const struct tapio_view *view)
{
	struct tpi_track *t = &c->now->tracks[view->lane];
	struct body body;
	uint8_t *fate, was;

	memcpy(&body, view->data, sizeof(body));
	if (!tapio_view_intact(c, view)) {
		if (t->leased && tpi_lease_held(t))
			count(&shared->broken);
		return NULL;
	}
	if (view->type != 100 || view->length != sizeof(body) ||
	    body.source >= SOURCES || body.number >= EACH_MAX ||
	    body.check != ((uint64_t)body.source << 32 | body.number) *
				  0x9e3779b97f4a7c15) {
		count(&shared->broken);
		return NULL;
	}
	fate = &shared->fates[body.source][body.number];
	was = tpi_or_relaxed(fate, CAME);
	if (was & FINAL && t->leased && tpi_lease_held(t))
		count(&shared->twice);
	else if (was & CAME)
		count(&shared->again);
	return fate;
}

static void finalize(uint8_t *fate)
{
	if (tpi_or_relaxed(fate, FINAL) & FINAL)
		count(&shared->twice);
}

/*
 * After the release. A lane whose lease is ours now was ours when head was stored, and
 * so was one that we have given away.
 */
static void note_released(struct tapio_consumer *c,
			  const struct tapio_view *views, uint8_t **fates,
			  int n, uint64_t relieved)
{
	tpi_fence_full();
	for (int i = 0; i < n; i++) {
		struct tpi_track *t = &c->now->tracks[views[i].lane];

		if (fates[i] && (t->leased ? tpi_lease_held(t)
					   : c->now->relieved == relieved))
			finalize(fates[i]);
	}
	tpi_add_relaxed(&shared->relieved,
			(uint32_t)(c->now->relieved - relieved));
}

static struct tapio_consumer *open_member(const struct storm *storm, int index)
{
	static const uint16_t types[] = {100};
	struct tapio_consumer_options options = {
		.group = storm->group,
		.types = types,
		.type_count = 1,
		.merge_ns = index % 2 ? 1000000 : 0,
	};

	return rig_open(&options);
}

static void consume(const struct storm *storm, int index)
{
	struct tapio_consumer *c = open_member(storm, index);
	struct tapio_view views[40];
	uint8_t *fates[40];
	uint64_t relieved;
	int n, i;

	while (!tpi_load_relaxed(&shared->finish)) {
		relieved = c->now->relieved;
		n = tapio_poll(c, views, 40, 5 * MS);
		if (n < 0 && n != -EINTR)
			_exit(1);
		for (i = 0; i < n; i++)
			fates[i] = mark(c, &views[i]);
		if (++shared->looks[index] % 16 == 0)
			nap_ms(1); /* with events in its hands */
		if (tapio_release(c) < 0)
			_exit(1);
		note_released(c, views, fates, n, relieved);
	}
	tapio_consumer_close(c);
	_exit(0);
}

/* ---- the storm ----------------------------------------------------------------------- */

struct child {
	pid_t pid;
	int64_t cont_ns; /* when it wakes up, or 0 */
};
static struct child children[MEMBERS];
static uint32_t kills, stops;

static uint32_t roll(uint32_t below)
{
	static uint32_t state = 1;

	state = state * 1664525 + 1013904223;
	return (state >> 8) % below;
}

static void start(const struct storm *storm, int index)
{
	children[index] = (struct child){.pid = fork()};
	ck_assert_int_ge(children[index].pid, 0);
	if (!children[index].pid)
		consume(storm, index);
}

static int awake(void)
{
	int i, n = 0;

	for (i = 0; i < MEMBERS; i++)
		n += !children[i].cont_ns;
	return n;
}

static void wake_up(struct child *child)
{
	kill(child->pid, SIGCONT);
	child->cont_ns = 0;
}

/* One of them, and never the last one that is awake. */
static void strike(const struct storm *storm, int64_t now)
{
	int index = (int)roll(MEMBERS);
	struct child *child = &children[index];

	if (storm->kills && !roll(4) && (child->cont_ns || awake() > 1)) {
		kill(child->pid, SIGKILL);
		ck_assert_int_eq(waitpid(child->pid, NULL, 0), child->pid);
		start(storm, index);
		kills++;
	} else if (!child->cont_ns && awake() > 1) {
		kill(child->pid, SIGSTOP);
		child->cont_ns = now + storm->stop_ns +
				 roll((uint32_t)(storm->stop_ns / MS)) * MS;
		stops++;
	}
}

static void rage(const struct storm *storm)
{
	int64_t end = tpi_now_ns() + storm->lasts_ns, now;
	int i;

	while ((now = tpi_now_ns()) < end) {
		for (i = 0; i < MEMBERS; i++)
			if (children[i].cont_ns && children[i].cont_ns < now)
				wake_up(&children[i]);
		strike(storm, now);
		nap_ms(5 + roll(60));
	}
	for (i = 0; i < MEMBERS; i++)
		wake_up(&children[i]);
}

/* Until the group has read all that was sent. */
static void wait_for_all(struct tapio_consumer *c)
{
	int64_t end = tpi_now_ns() + GIVE_UP_NS;

	while (group_stats(c).in_flight) {
		ck_assert_msg(tpi_now_ns() < end, "%lu are still in flight",
			      (unsigned long)group_stats(c).in_flight);
		nap_ms(5);
	}
}

static void end_members(void)
{
	tpi_store_relaxed(&shared->finish, 1);
	for (int i = 0; i < MEMBERS; i++)
		ck_assert(child_ok(children[i].pid));
}

static uint32_t takeovers(const struct tapio_consumer *c)
{
	uint32_t i, sum = 0;

	for (i = 0; i < c->now->lane_count; i++)
		sum += tpi_load_relaxed(&c->now->tracks[i].cursor->takeovers);
	return sum;
}

static bool is_alone(const struct tapio_shm_cursor *cursor)
{
	for (uint32_t k = 0; k < TAPIO_CELLS; k++)
		if (k != tpi_lease_cell(cursor->lease) &&
		    cursor->cells[k].owner & (TAPIO_CELL_GIVEN | UINT32_MAX))
			return false;
	return true;
}

/* No cell is left behind, once the broker has reaped the dead. */
static void wait_for_cells(const struct tapio_consumer *c)
{
	int64_t end = tpi_now_ns() + GIVE_UP_NS;

	for (uint32_t i = 0; i < c->now->lane_count; i++)
		while (!is_alone(c->now->tracks[i].cursor)) {
			ck_assert_msg(tpi_now_ns() < end,
				      "lane %u: a cell is left in use", i);
			nap_ms(5);
		}
}

static void assert_fates(void)
{
	for (int s = 0; s < SOURCES; s++)
		for (uint32_t i = 0; i < shared->sent[s]; i++)
			ck_assert_msg(shared->fates[s][i] & CAME,
				      "event %u of source %d did not come", i,
				      s);
	ck_assert_uint_eq(shared->broken, 0);
	ck_assert_uint_eq(shared->twice, 0);
}

static void report(const struct storm *storm, uint32_t taken)
{
	printf("%s: %u and %u events, %u kills, %u stops, %u takeovers, %u "
	       "noticed, %u events again\n",
	       storm->group, shared->sent[0], shared->sent[1], kills, stops,
	       taken, shared->relieved, shared->again);
}

START_TEST(members_that_sleep_and_wake_up_lose_nothing_and_repeat_nothing)
{
	const struct storm *storm = &storms[_i];
	pthread_t sources[SOURCES];
	struct tapio_consumer *idle;
	uint32_t taken;
	int i;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	rig_start(CONFIG);
	idle = open_member(storm, 0);
	for (i = 0; i < MEMBERS; i++)
		start(storm, i);
	for (i = 0; i < SOURCES; i++)
		ck_assert_int_eq(pthread_create(&sources[i], NULL, produce,
						(void *)(uintptr_t)i),
				 0);
	rage(storm);
	tpi_store_relaxed(&shared->stop, 1);
	for (i = 0; i < SOURCES; i++)
		pthread_join(sources[i], NULL);
	wait_for_all(idle);
	end_members();
	taken = takeovers(idle);
	report(storm, taken);
	ck_assert_uint_eq(drain(idle), 0);
	wait_for_cells(idle);
	assert_fates();
	if (!storm->kills)
		ck_assert_uint_eq(shared->again, 0);
	assert_ledger(idle, shared->sent[0] + shared->sent[1],
		      shared->chaff[0] + shared->chaff[1], 0);
	tapio_consumer_close(idle);
	ck_assert_uint_gt(taken, 0);
	rig_stop();
	munmap(shared, sizeof(*shared));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("takeover");
	TCase *t = tcase_create("storms");

	tcase_set_timeout(t, 280);
	tcase_add_loop_test(
		t,
		members_that_sleep_and_wake_up_lose_nothing_and_repeat_nothing,
		0, 2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
