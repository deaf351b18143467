/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subjects of a case take turns, and each turn begins with another one, so
 * that none always comes after the same neighbour. Before the turns that count
 * each has one to warm up, with fewer events. A subject that is absent or fails
 * is not asked again in this case, and the others go on without it.
 *
 * Before each subject of a turn, and after the last one, a look is taken at where
 * the CPUs are (placement.c). With a placement that is wanted, a turn in which one
 * look says otherwise ends there and is thrown away, since the ratios of a turn
 * are those of one moment:
 *
 *	look until it is the wanted one  ->  turn  ->  all looks agree: it counts
 *	     ^ sleeping in between                     else: thrown away, again
 *
 * The time of a question that is slept or thrown away is bounded.
 */
#include <math.h>
#include <string.h>

#include "bench/frame/turns.h"
#include "tools/common/tool.h"

/* Of the events of a turn, to warm up with. */
#define WARM_SHARE 4
#define QUICK_MAX  1000 /* events, where a case does not say */

/*
 * Unless told how many turns to take, a case without goals ends when it has had
 * this long, but for the least that makes a median. Half an hour is too long to
 * wait for figures. A goal is judged by all of its turns.
 */
#define CASE_NS     UINT64_C(1000000000)
#define TURNS_LEAST 3

/* The looks of one turn. */
struct turn {
	double line_ns[BENCH_SUBJECTS_MAX + 1];
	unsigned int looks;
	enum bench_placement got;
};

/* ---- one measurement ---------------------------------------------------------- */

static const char *const kinds[] = {"Tapio", "peer", "floor"};

void bench_is_out(struct bench_outcome *s, const struct bench_case *c,
		  enum bench_state state, const char *why)
{
	char name[96];

	s->state = state;
	snprintf(s->why, sizeof(s->why), "%s", *why ? why : "no reason given");
	if (state != BENCH_FAILED)
		return;
	bench_progress_clear();
	tpi_say("%s: %s (%s) FAILED: %s", c->name,
		bench_subject_name(s->of, name, sizeof(name)),
		kinds[s->of->peer->kind], s->why);
}

static bool are_figures(const double *figures, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (!isfinite(figures[i]))
			return false;
	return true;
}

/* One turn of one subject. `turn` < 0: to warm up. */
static void measure(struct bench_course *course,
		    struct bench_case_result *result, struct bench_outcome *s,
		    int turn)
{
	const struct bench_options *o = course->options;
	struct bench_run run = {
		.of = result->of,
		.cpus = o->cpus,
		.cpu_count = o->cpu_count,
		.events = result->of->events,
		.quick = o->quick,
	};
	double figures[BENCH_FIGURES_MAX];
	int err;

	for (unsigned int i = 0; i < BENCH_FIGURES_MAX; i++)
		figures[i] = NAN;
	if (o->quick)
		run.events = result->of->quick_events ? result->of->quick_events
						      : QUICK_MAX;
	else if (turn < 0)
		run.events = run.events / WARM_SHARE + 1;
	bench_why_taken();
	err = s->of->run(&run, s->of, figures);
	if (err == BENCH_ABSENT)
		bench_is_out(s, run.of, BENCH_NOT_HERE, bench_why_taken());
	else if (err && !tpi_stop_signal())
		bench_is_out(s, run.of, BENCH_FAILED, bench_why_taken());
	else if (!err && !are_figures(figures, result->figures))
		bench_is_out(s, run.of, BENCH_FAILED,
			     "a figure that is no number");
	if (err || s->state != BENCH_OK || turn < 0)
		return;
	for (unsigned int i = 0; i < result->figures; i++)
		s->turns[i][turn] = figures[i];
}

static bool is_ready(struct bench_case_result *result, struct bench_outcome *s)
{
	const char *why;

	if (s->state == BENCH_NOT_RUN) {
		s->state = BENCH_OK;
		bench_why_taken();
		if (bench_peer_start(s->of->peer, &why))
			bench_is_out(s, result->of, BENCH_NOT_HERE, why);
	}
	return s->state == BENCH_OK;
}

/* ---- the placement -------------------------------------------------------------- */

static double look_once(const struct bench_options *o)
{
	return o->look ? o->look(o->cpus, o->quick)
		       : bench_line_look(o->cpus, o->quick);
}

static void look(const struct bench_options *o, struct turn *t)
{
	const double line_ns = look_once(o);

	t->line_ns[t->looks++] = line_ns;
	t->got = bench_placement_join(t->got, bench_placement_of(line_ns));
}

/* Was it a turn that counts, so far? One in which nothing was measured is. */
static bool counts(const struct bench_options *o, const struct turn *t)
{
	return !t->looks || bench_placement_keeps(o->placement, t->got);
}

/* Is there anybody to ask? Waiting for the others is waiting for nothing. */
static bool has_subjects(const struct bench_case_result *result)
{
	for (unsigned int i = 0; i < result->subjects; i++)
		if (result->subject[i].state == BENCH_NOT_RUN ||
		    result->subject[i].state == BENCH_OK)
			return true;
	return false;
}

static bool may_wait(const struct bench_options *o,
		     const struct bench_question_result *q,
		     const struct bench_case_result *result)
{
	return bench_placement_waits(o->placement,
				     q->placed.waited_s + q->placed.thrown_s +
					     result->placed.waited_s +
					     result->placed.thrown_s,
				     o->wait_s);
}

/* False: it did not come in time. */
static bool await_placement(const struct bench_options *o,
			    const struct bench_question_result *q,
			    struct bench_case_result *result)
{
	if (o->placement == BENCH_ANYWHERE || !has_subjects(result))
		return true;
	while (!tpi_stop_signal()) {
		if (bench_placement_keeps(o->placement,
					  bench_placement_of(look_once(o))))
			return true;
		if (!may_wait(o, q, result))
			return false;
		result->placed.waited_s += o->nap ? o->nap() : bench_line_nap();
	}
	return false;
}

/* ---- one case ----------------------------------------------------------------- */

/* `t` NULL: the turn to warm up. */
static void take_turn(struct bench_course *course,
		      struct bench_case_result *result, int turn,
		      struct turn *t)
{
	const struct bench_options *o = course->options;
	const unsigned int n = result->subjects;
	const unsigned int first = turn < 0 ? 0 : (unsigned int)turn % n;

	for (unsigned int i = 0; i < n && !tpi_stop_signal(); i++) {
		struct bench_outcome *s = &result->subject[(first + i) % n];

		bench_progress((double)course->done / (double)course->steps,
			       result->of->name, s->of,
			       turn < 0 ? 0 : (unsigned int)turn + 1, o->turns);
		course->done++;
		if (!is_ready(result, s))
			continue;
		if (t)
			look(o, t);
		if (t && !counts(o, t))
			return;
		measure(course, result, s, turn);
	}
	if (t && t->looks)
		look(o, t);
}

static void keep_turn(struct bench_case_result *result, unsigned int turn,
		      const struct turn *t)
{
	const struct bench_placed one = {.got = t->got, .kept = 1};

	bench_placed_add(&result->placed, &one);
	result->line_ns[turn] = bench_median(t->line_ns, t->looks);
}

static bool has_had_enough(const struct bench_options *o,
			   const struct bench_case_result *result,
			   unsigned int turns, uint64_t spent_ns)
{
	return !o->all_turns && !bench_goal_count(result->of) &&
	       turns >= TURNS_LEAST && spent_ns > CASE_NS;
}

/* Turns that count, as many as there is time for. */
static void take_turns(struct bench_course *course,
		       struct bench_question_result *q,
		       struct bench_case_result *result)
{
	const struct bench_options *o = course->options;
	const uint64_t done = course->done;
	unsigned int turn = 0;
	uint64_t kept_ns = 0;

	while (turn < o->turns && await_placement(o, q, result)) {
		const uint64_t begun_ns = bench_now_ns();
		struct turn t = {.looks = 0};
		uint64_t took_ns;

		take_turn(course, result, (int)turn, &t);
		took_ns = bench_now_ns() - begun_ns;
		course->done = done + (uint64_t)turn * result->subjects;
		if (counts(o, &t)) {
			keep_turn(result, turn++, &t);
			kept_ns += took_ns;
		} else {
			result->placed.thrown++;
			result->placed.thrown_s += (double)took_ns / 1e9;
		}
		if (has_had_enough(o, result, turn, kept_ns) ||
		    !may_wait(o, q, result))
			break;
	}
	course->done = done + (uint64_t)o->turns * result->subjects;
	result->turns = turn;
}

/* Too few turns for an answer: none of its subjects has a figure. */
static void leave_out(const struct bench_options *o,
		      struct bench_case_result *result)
{
	char why[BENCH_WHY_BYTES];

	snprintf(why, sizeof(why),
		 "the CPUs were not %s: %u turn%s of %u had them there, in the "
		 "%.0f s that a question may wait",
		 bench_placement_name(o->placement), result->turns,
		 result->turns == 1 ? "" : "s", o->turns, o->wait_s);
	for (unsigned int i = 0; i < result->subjects; i++) {
		struct bench_outcome *s = &result->subject[i];

		if (s->state == BENCH_NOT_RUN || s->state == BENCH_OK)
			bench_is_out(s, result->of, BENCH_NOT_HERE, why);
	}
	result->placed.short_cases = 1;
}

void bench_case_run(struct bench_course *course,
		    struct bench_question_result *q,
		    struct bench_case_result *result)
{
	const struct bench_options *o = course->options;
	const unsigned int least =
		o->turns < TURNS_LEAST ? o->turns : TURNS_LEAST;

	if (!o->quick && await_placement(o, q, result))
		take_turn(course, result, -1, NULL);
	take_turns(course, q, result);
	if (result->turns < least && has_subjects(result) && !tpi_stop_signal())
		leave_out(o, result);
	bench_placed_add(&q->placed, &result->placed);
	bench_progress_clear();
	if (o->table && !tpi_stop_signal())
		bench_table_case(o, result);
}
