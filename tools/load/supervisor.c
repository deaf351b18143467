/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader during the load: starts everybody, then waits, kills, replaces and
 * stops processes until the run is over.
 *
 * When to kill. A quarter of the victims is due at a random instant after they
 * were forked, whatever they are doing then (connecting, attaching). The others
 * at a random instant after they began to work. Instants are not rounded to the
 * leader's own rhythm: it sleeps until the next one is due.
 *
 * With --stand-still: all are at work for a time, then all members of the first
 * group are stopped for the same time, and then all go on again for a while.
 *
 * Consumers are killed only while another member of their group is at work, so
 * that the group does not end with its last member.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tools/load/event.h"
#include "tools/load/report.h"

#define TICK_NS     INT64_C(2000000)
#define START_NS    INT64_C(60000000000)
#define END_NS      INT64_C(30000000000)
#define EARLY_NS    UINT64_C(4000000)
#define PRODUCER_NS UINT64_C(2000000)
#define CONSUMER_NS UINT64_C(5000000)
#define STOPPED_NS  UINT64_C(20000000)
#define PROGRESS_NS INT64_C(500000000)
#define STALL_NS    INT64_C(20000000000)
#define AFTER_NS    INT64_C(500000000)
#define NEVER       INT64_MAX

/* A place as the leader sees it. */
struct child {
	struct load_place *place;
	int64_t due_ns; /* when to kill it. NEVER: not decided, or not at all */
	int64_t cont_ns; /* when to continue it. NEVER: it is not stopped */
	uint32_t index;
	uint32_t life;
	bool consumer;
	bool doomed; /* killed by us, not yet reaped */
};

struct supervisor {
	struct load_run *run;
	struct child *children; /* producers, then consumers */
	uint32_t count;
	uint32_t alive_producers;
	uint32_t lives; /* of consumers, given out */
	uint64_t kills_left;
	uint64_t kills_consumers_left;
	uint64_t stops_left;
	int64_t next_stop_ns;
	int64_t next_progress_ns;
	int64_t next_look_ns;
	int64_t stalled_at_ns; /* when a stall will have lasted too long */
	uint64_t published;
	uint64_t random;
	struct load_broker_faults *broker; /* NULL: it is not killed */
	struct load_instances *instances;  /* NULL: none is lost */
	struct load_neighbour *neighbour;
	unsigned int phase; /* of standing still: 1 at work, 2 still, 3 over */
	int64_t next_phase_ns; /* NEVER: not with --stand-still */
};

static uint64_t roll(struct supervisor *s, uint64_t below)
{
	s->random = load_mix(s->random + UINT64_C(0x9e3779b97f4a7c15),
			     UINT64_C(0xbf58476d1ce4e5b9));
	return s->random % below;
}

static uint32_t state_of(const struct child *c)
{
	/* ORDER load_place.state (acquire): see load_place_failed(). */
	return tpi_load_acquire(&c->place->state);
}

/* Sleeps even when a signal has asked to stop: others are to end first. */
static void nap(int64_t ns)
{
	const struct timespec t = {.tv_nsec = ns};

	nanosleep(&t, NULL);
}

/* ---- starting ------------------------------------------------------------------ */

static uint64_t *budget_of(struct supervisor *s, const struct child *c)
{
	return c->consumer ? &s->kills_consumers_left : &s->kills_left;
}

static void start_child(struct supervisor *s, struct child *c)
{
	struct load_run *run = s->run;
	pid_t pid;

	c->due_ns = NEVER;
	c->cont_ns = NEVER;
	c->doomed = false;
	if (c->consumer)
		c->life = s->lives++;
	c->place->state = LOAD_STARTING;
	pid = c->consumer ? load_fork(run, load_consumer,
				      LOAD_CONSUMER(c->index, c->life))
			  : load_fork(run, load_producer, c->index);
	if (pid < 0) {
		load_fail(run, "fork: %s", strerror(-pid));
		return;
	}
	c->place->pid = pid;
	s->alive_producers += !c->consumer;
	if (!c->consumer && *budget_of(s, c) && roll(s, 4) == 0)
		c->due_ns = tpi_monotonic_ns() + (int64_t)roll(s, EARLY_NS);
}

static bool all_running(const struct supervisor *s, bool consumers)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->children[i].consumer == consumers &&
		    state_of(&s->children[i]) == LOAD_STARTING)
			return false;
	return true;
}

/* ---- the dead -------------------------------------------------------------------- */

static struct child *child_of(struct supervisor *s, pid_t pid)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->children[i].place->pid == pid)
			return &s->children[i];
	return NULL;
}

static void bury_victim(struct supervisor *s, struct child *c)
{
	if (c->consumer) {
		s->run->scoreboard->life_killed[c->life] = 1;
		s->run->kills_consumers++;
	} else {
		s->run->kills++;
		c->place->incarnation++;
	}
	start_child(s, c);
}

static void bury(struct supervisor *s, struct child *c, int status)
{
	s->alive_producers -= !c->consumer;
	c->place->pid = 0;
	c->due_ns = NEVER;
	c->cont_ns = NEVER;
	if (c->doomed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		bury_victim(s, c);
		return;
	}
	/* Killed when it was ending anyway: that was no kill. */
	if (c->doomed)
		++*budget_of(s, c);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return;
	if (WIFSIGNALED(status))
		load_fail(s->run, "%s %u was killed by signal %d",
			  c->consumer ? "consumer" : "producer", c->index,
			  WTERMSIG(status));
	else
		load_fail(s->run, "%s %u: %s",
			  c->consumer ? "consumer" : "producer", c->index,
			  state_of(c) == LOAD_FAILED ? c->place->why
						     : "it ended early");
}

/* A broker that may be killed leaves processes that are ours then. */
static void bury_broker(struct supervisor *s, pid_t pid)
{
	struct load_run *run = s->run;

	if (!load_broker_dies(&run->options))
		load_fail(run, "the broker's host ended");
	else if (s->broker && load_broker_faults_ended(s->broker, pid))
		load_fail(run, "the process that attaches ended early");
	else if (run->host->pid == pid)
		run->host->pid = 0;
}

static void reap(struct supervisor *s)
{
	struct child *c;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		c = child_of(s, pid);
		if (c)
			bury(s, c, status);
		else if (s->neighbour &&
			 load_neighbour_ended(s->neighbour, pid))
			load_fail(s->run, "the neighbour ended early");
		else
			bury_broker(s, pid);
	}
}

/* ---- faults ------------------------------------------------------------------------ */

/* Is another member of this consumer's group at work? */
static bool group_lives_on(const struct supervisor *s, const struct child *c)
{
	uint32_t members = s->run->scoreboard->shape.members;
	uint32_t first = s->run->scoreboard->shape.producers +
			 c->index / members * members;

	for (uint32_t i = first; i < first + members; i++)
		if (&s->children[i] != c && !s->children[i].doomed &&
		    s->children[i].cont_ns == NEVER &&
		    state_of(&s->children[i]) == LOAD_RUNNING)
			return true;
	return false;
}

static void decide_when(struct supervisor *s, struct child *c, int64_t now)
{
	if (c->due_ns != NEVER || c->doomed || !*budget_of(s, c) ||
	    state_of(c) != LOAD_RUNNING)
		return;
	c->due_ns =
		now + (int64_t)roll(s, c->consumer ? CONSUMER_NS : PRODUCER_NS);
}

static void kill_if_due(struct supervisor *s, struct child *c, int64_t now)
{
	if (c->due_ns > now || c->doomed || !c->place->pid)
		return;
	if (!*budget_of(s, c)) {
		c->due_ns = NEVER;
		return;
	}
	if (c->consumer && !group_lives_on(s, c)) {
		c->due_ns = now + TICK_NS;
		return;
	}
	kill(c->place->pid, SIGKILL);
	--*budget_of(s, c);
	c->doomed = true;
}

static void stop_one(struct supervisor *s, int64_t now)
{
	struct child *c = &s->children[roll(s, s->count)];

	if (!s->stops_left || s->next_stop_ns > now)
		return;
	s->next_stop_ns = now + (int64_t)roll(s, STOPPED_NS);
	if (c->cont_ns != NEVER || c->doomed || !c->place->pid ||
	    state_of(c) != LOAD_RUNNING)
		return;
	kill(c->place->pid, SIGSTOP);
	c->cont_ns = now + 1 + (int64_t)roll(s, STOPPED_NS);
	s->stops_left--;
	s->run->stops++;
}

static void continue_if_due(struct child *c, int64_t now)
{
	if (c->cont_ns > now)
		return;
	c->cont_ns = NEVER;
	if (c->place->pid)
		kill(c->place->pid, SIGCONT);
}

/* Stops or continues all members of the first group. */
static void signal_first_group(struct supervisor *s, int signal)
{
	const struct load_shape *shape = &s->run->scoreboard->shape;

	for (uint32_t i = 0; i < shape->members; i++) {
		struct child *c = &s->children[shape->producers + i];

		if (!c->place->pid)
			continue;
		kill(c->place->pid, signal);
		c->cont_ns = NEVER;
		s->run->stops += signal == SIGSTOP;
	}
}

static void stand_still(struct supervisor *s, int64_t now)
{
	int64_t still_ns = s->run->options.still_ns;

	if (s->next_phase_ns > now)
		return;
	if (s->phase++ == 1) {
		load_neighbour_phase(s->neighbour, 1);
		signal_first_group(s, SIGSTOP);
		s->next_phase_ns = now + still_ns;
		return;
	}
	load_neighbour_phase(s->neighbour, 2);
	signal_first_group(s, SIGCONT);
	s->next_phase_ns = NEVER;
	/* They are to be seen at work again. */
	if (s->run->options.duration_ns < now + AFTER_NS - s->run->started_ns)
		s->run->options.duration_ns =
			now + AFTER_NS - s->run->started_ns;
	s->stalled_at_ns = 0;
}

static int64_t do_what_is_due(struct supervisor *s, int64_t now)
{
	int64_t next = now + TICK_NS;

	stop_one(s, now);
	stand_still(s, now);
	if (s->next_phase_ns < next)
		next = s->next_phase_ns;
	if (s->broker) {
		int64_t due = load_broker_faults_due(s->broker, now);

		if (due < next)
			next = due;
	}
	if (s->instances) {
		int64_t due = load_instances_due(s->instances, now);

		if (due < next)
			next = due;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		struct child *c = &s->children[i];

		decide_when(s, c, now);
		kill_if_due(s, c, now);
		continue_if_due(c, now);
		if (!c->doomed && c->due_ns < next)
			next = c->due_ns;
		if (c->cont_ns < next)
			next = c->cont_ns;
	}
	return next;
}

/* ---- the course -------------------------------------------------------------------- */

static void show_progress(struct supervisor *s, int64_t now)
{
	const struct load_run *run = s->run;
	double seconds = (double)(now - run->started_ns) / 1e9;

	if (run->options.json || !isatty(STDERR_FILENO) ||
	    s->next_progress_ns > now)
		return;
	s->next_progress_ns = now + PROGRESS_NS;
	fprintf(stderr, "\r%6.1f s  %llu events  %llu kills  %llu stops\033[K",
		seconds,
		(unsigned long long)(s->published / run->options.groups),
		(unsigned long long)(run->kills + run->kills_consumers),
		(unsigned long long)run->stops);
}

/* A lane that does not move any more would keep a run from its end. */
static void watch_for_stall(struct supervisor *s, int64_t now)
{
	struct load_ledger_sum sum;
	int64_t patience = STALL_NS;

	if (s->next_look_ns > now)
		return;
	s->next_look_ns = now + PROGRESS_NS;
	patience += s->run->options.still_ns;
	if (s->run->options.rate)
		patience += INT64_C(3000000000) / (int64_t)s->run->options.rate;
	load_sum_ledgers(s->run, &sum);
	if (sum.published != s->published || !s->stalled_at_ns)
		s->stalled_at_ns = now + patience;
	s->published = sum.published;
	if (now > s->stalled_at_ns)
		load_fail(s->run, "no event was published for %lld s",
			  (long long)(patience / 1000000000));
}

static bool faults_left(const struct supervisor *s)
{
	return s->kills_left || s->kills_consumers_left || s->stops_left ||
	       (s->broker && load_broker_faults_left(s->broker)) ||
	       (s->instances && load_instances_left(s->instances)) ||
	       s->next_phase_ns != NEVER;
}

static bool someone_doomed(const struct supervisor *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->children[i].doomed)
			return true;
	return false;
}

static bool is_over(const struct supervisor *s, int64_t now)
{
	const struct load_options *o = &s->run->options;

	if (s->run->failed || tpi_stop_signal() ||
	    tpi_load_relaxed(&s->run->scoreboard->exhausted))
		return true;
	if (!s->alive_producers)
		return true;
	if (someone_doomed(s) || faults_left(s))
		return false;
	if (o->duration_ns)
		return now >= s->run->started_ns + o->duration_ns;
	/* Without a time, events end it, or else the last of the faults. */
	return !o->events;
}

/* Waits until a condition on all processes of a kind holds, or the run fails. */
static void wait_for_start(struct supervisor *s, bool consumers)
{
	int64_t until = tpi_monotonic_ns() + START_NS;

	while (!s->run->failed && !tpi_stop_signal() &&
	       !all_running(s, consumers)) {
		if (tpi_monotonic_ns() > until) {
			load_fail(s->run, "%s do not start",
				  consumers ? "consumers" : "producers");
			return;
		}
		nap(TICK_NS / 2);
		reap(s);
	}
}

static void start_all(struct supervisor *s, bool consumers)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->children[i].consumer == consumers)
			start_child(s, &s->children[i]);
	wait_for_start(s, consumers);
}

/* Everybody is awake and told to stop. Those who do not are noted and killed. */
static void stop_producers(struct supervisor *s)
{
	int64_t until = tpi_monotonic_ns() + END_NS;

	tpi_store_relaxed(&s->run->scoreboard->stop, 1);
	for (uint32_t i = 0; i < s->count; i++)
		continue_if_due(&s->children[i], NEVER);
	while (s->alive_producers && tpi_monotonic_ns() < until) {
		nap(TICK_NS / 4);
		reap(s);
	}
	for (uint32_t i = 0; i < s->run->scoreboard->shape.producers; i++) {
		struct child *c = &s->children[i];

		if (!c->place->pid)
			continue;
		s->run->stuck++;
		load_fail(s->run, "producer %u does not stop", i);
		kill(c->place->pid, SIGKILL);
		waitpid(c->place->pid, NULL, 0);
		c->place->pid = 0;
	}
}

static int make_children(struct supervisor *s)
{
	struct load_scoreboard *scoreboard = s->run->scoreboard;
	uint32_t producers = scoreboard->shape.producers;

	s->count = producers + scoreboard->consumers;
	s->children = calloc(s->count, sizeof(*s->children));
	if (!s->children)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->count; i++) {
		struct child *c = &s->children[i];

		c->consumer = i >= producers;
		c->index = c->consumer ? i - producers : i;
		c->place = c->consumer ? &scoreboard->consumer[c->index]
				       : &scoreboard->producer[c->index];
	}
	return 0;
}

/* The channel beside begins, if there is one, and the first phase. */
static void begin_neighbour(struct supervisor *s)
{
	struct load_run *run = s->run;

	s->next_phase_ns = NEVER;
	if (!run->options.still_ns || run->failed)
		return;
	s->neighbour = load_neighbour_start(run);
	if (!s->neighbour)
		return;
	s->phase = 1;
	s->next_phase_ns = tpi_monotonic_ns() + run->options.still_ns;
	load_neighbour_phase(s->neighbour, 0);
}

static void begin_faults(struct supervisor *s)
{
	struct load_run *run = s->run;

	begin_neighbour(s);
	if (!run->failed && run->options.kills_instance)
		s->instances = load_instances_start(run);
	else if (!run->failed && load_broker_dies(&run->options))
		s->broker = load_broker_faults_start(run);
	/* From here on they may be killed. */
	s->kills_left = run->options.kills;
	s->kills_consumers_left = run->options.kills_consumers;
	s->stops_left = run->options.stops;
}

static void finish_faults(struct supervisor *s, struct load_result *result)
{
	struct load_run *run = s->run;

	if (s->neighbour)
		load_neighbour_finish(run, s->neighbour, &result->neighbour);
	if (s->broker)
		load_broker_faults_finish(run, s->broker, &result->broker);
	if (s->instances)
		load_instances_finish(s->instances, &result->instances);
}

void load_supervise(struct load_run *run, struct load_result *result)
{
	struct supervisor s = {
		.run = run,
		.random = run->options.seed,
	};
	int64_t next;

	if (make_children(&s)) {
		load_fail(run, "out of memory");
		return;
	}
	start_all(&s, true);
	if (!run->failed)
		start_all(&s, false);
	begin_faults(&s);
	run->started_ns = tpi_monotonic_ns();
	tpi_store_relaxed(&run->scoreboard->go, 1);
	while (!is_over(&s, tpi_monotonic_ns())) {
		next = do_what_is_due(&s, tpi_monotonic_ns());
		if (!faults_left(&s) && run->options.duration_ns &&
		    next > run->started_ns + run->options.duration_ns)
			next = run->started_ns + run->options.duration_ns;
		tpi_sleep_until(next);
		reap(&s);
		watch_for_stall(&s, tpi_monotonic_ns());
		show_progress(&s, tpi_monotonic_ns());
	}
	run->ended_ns = tpi_monotonic_ns();
	if (s.phase == 2)
		signal_first_group(&s, SIGCONT);
	stop_producers(&s);
	finish_faults(&s, result);
	if (!run->options.json && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	free(s.children);
}
