/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of a run: questions, cases, turns, subjects.
 *
 * The subjects of a case take turns, and each turn begins with another one, so
 * that none always comes after the same neighbour. Before the turns that count
 * each has one to warm up, with fewer events. A subject that is absent or fails
 * is not asked again in this case, and the others go on without it.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/frame.h"
#include "tools/common/tool.h"

/* Of the events of a turn, to warm up with. */
#define WARM_SHARE 4
#define QUICK_MAX  1000 /* events, where a case does not say */

/*
 * Unless told how many turns to take, a case ends when it has had this long,
 * but for the least that makes a median. Half an hour is too long to wait for
 * figures.
 */
#define CASE_NS     UINT64_C(1000000000)
#define TURNS_LEAST 3

struct course {
	const struct bench_options *options;
	struct bench_results *results;
	uint64_t steps; /* measurements of all selected cases */
	uint64_t done;
};

static unsigned int count_subjects(const struct bench_case *c)
{
	unsigned int n = 0;

	while (n < BENCH_SUBJECTS_MAX && c->subjects[n])
		n++;
	return n;
}

static unsigned int count_figures(const struct bench_case *c)
{
	unsigned int n = 0;

	while (n < BENCH_FIGURES_MAX && c->figures[n].name)
		n++;
	return n;
}

/* ---- one measurement ---------------------------------------------------------- */

static const char *const kinds[] = {"Tapio", "peer", "floor"};

static void is_out(struct bench_outcome *s, const struct bench_case *c,
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
static void measure(struct course *course, struct bench_case_result *result,
		    struct bench_outcome *s, int turn)
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
		is_out(s, run.of, BENCH_NOT_HERE, bench_why_taken());
	else if (err && !tpi_stop_signal())
		is_out(s, run.of, BENCH_FAILED, bench_why_taken());
	else if (!err && !are_figures(figures, result->figures))
		is_out(s, run.of, BENCH_FAILED, "a figure that is no number");
	if (err || s->state != BENCH_OK || turn < 0)
		return;
	for (unsigned int i = 0; i < result->figures; i++)
		s->turns[i][turn] = figures[i];
}

/* ---- one case ----------------------------------------------------------------- */

static bool is_ready(struct bench_case_result *result, struct bench_outcome *s)
{
	const char *why;

	if (s->state == BENCH_NOT_RUN) {
		s->state = BENCH_OK;
		bench_why_taken();
		if (bench_peer_start(s->of->peer, &why))
			is_out(s, result->of, BENCH_NOT_HERE, why);
	}
	return s->state == BENCH_OK;
}

static void take_turn(struct course *course, struct bench_case_result *result,
		      int turn)
{
	const unsigned int n = result->subjects;
	const unsigned int first = turn < 0 ? 0 : (unsigned int)turn % n;

	for (unsigned int i = 0; i < n && !tpi_stop_signal(); i++) {
		struct bench_outcome *s = &result->subject[(first + i) % n];

		bench_progress((double)course->done / (double)course->steps,
			       result->of->name, s->of,
			       turn < 0 ? 0 : (unsigned int)turn + 1,
			       result->turns);
		course->done++;
		if (is_ready(result, s))
			measure(course, result, s, turn);
	}
}

/* Turns that count, as many as there is time for. */
static void take_turns(struct course *course, struct bench_case_result *result)
{
	const struct bench_options *o = course->options;
	const uint64_t begun_ns = bench_now_ns();
	unsigned int turn = 0;

	while (turn < o->turns) {
		take_turn(course, result, (int)turn++);
		if (!o->all_turns && turn >= TURNS_LEAST &&
		    bench_now_ns() - begun_ns > CASE_NS)
			break;
	}
	course->done += (uint64_t)(o->turns - turn) * result->subjects;
	result->turns = turn;
}

static void run_case(struct course *course, struct bench_case_result *result)
{
	if (!course->options->quick)
		take_turn(course, result, -1);
	take_turns(course, result);
	bench_progress_clear();
	if (course->options->table && !tpi_stop_signal())
		bench_table_case(course->options, result);
}

/* ---- one question ------------------------------------------------------------- */

/* It could not be set up: none of its cases can be asked. */
static void none_runs(struct bench_question_result *q, int err)
{
	for (unsigned int i = 0; i < q->case_count; i++)
		for (unsigned int j = 0; j < q->cases[i].subjects; j++) {
			struct bench_outcome *s = &q->cases[i].subject[j];

			is_out(s, q->cases[i].of,
			       err != BENCH_ABSENT &&
					       s->of->peer->kind == BENCH_TAPIO
				       ? BENCH_FAILED
				       : BENCH_NOT_HERE,
			       q->why);
		}
}

static void run_cases(struct course *course, struct bench_question_result *q)
{
	const struct bench_options *o = course->options;

	bench_machine_state_take(&q->before, o->cpus, o->quick);
	for (unsigned int i = 0; i < q->case_count && !tpi_stop_signal(); i++)
		run_case(course, &q->cases[i]);
	bench_machine_state_take(&q->after, o->cpus, o->quick);
}

static void run_question(struct course *course, struct bench_question_result *q)
{
	const bool shown = course->options->table;
	int err = 0;

	if (shown)
		bench_table_question(q);
	bench_why_taken();
	if (q->of->set_up)
		err = q->of->set_up();
	if (err) {
		snprintf(q->why, sizeof(q->why), "%s", bench_why_taken());
		none_runs(q, err);
	} else {
		run_cases(course, q);
		if (q->of->tear_down)
			q->of->tear_down();
	}
	if (shown && !tpi_stop_signal())
		bench_table_question_end(q);
}

/* ---- all ---------------------------------------------------------------------- */

static void prepare_case(struct course *course,
			 struct bench_case_result *result,
			 const struct bench_case *c)
{
	const struct bench_options *o = course->options;

	result->of = c;
	result->figures = count_figures(c);
	result->subjects = count_subjects(c);
	result->turns = o->turns;
	for (unsigned int i = 0; i < result->subjects; i++)
		result->subject[i].of = c->subjects[i];
	course->steps +=
		(uint64_t)result->subjects * (o->turns + (o->quick ? 0 : 1));
}

/* False: out of memory. */
static bool prepare_question(struct course *course,
			     const struct bench_question *question)
{
	struct bench_question_result *q =
		&course->results->questions[course->results->question_count];
	unsigned int selected = 0;

	for (const struct bench_case *c = question->cases; c->name; c++)
		selected += bench_selected(course->options, question, c);
	if (!selected)
		return true;
	q->of = question;
	q->cases = calloc(selected, sizeof(*q->cases));
	if (!q->cases)
		return false;
	course->results->question_count++;
	for (const struct bench_case *c = question->cases; c->name; c++)
		if (bench_selected(course->options, question, c))
			prepare_case(course, &q->cases[q->case_count++], c);
	return true;
}

static int prepare(struct course *course)
{
	const struct bench_question *const *all = bench_questions();
	size_t count = 0;

	while (all[count])
		count++;
	course->results->questions =
		calloc(count + 1, sizeof(*course->results->questions));
	if (!course->results->questions)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (!prepare_question(course, all[i]))
			return -ENOMEM;
	return 0;
}

int bench_turns(const struct bench_options *options,
		struct bench_results *results)
{
	struct course course = {.options = options, .results = results};
	const uint64_t begun_ns = bench_now_ns();
	int err = prepare(&course);

	for (unsigned int i = 0; !err && i < results->question_count; i++) {
		run_question(&course, &results->questions[i]);
		if (tpi_stop_signal())
			err = -EINTR;
	}
	bench_progress_clear();
	bench_peers_stop();
	results->seconds = (double)(bench_now_ns() - begun_ns) / 1e9;
	return err;
}

void bench_results_free(struct bench_results *results)
{
	for (unsigned int i = 0; i < results->question_count; i++)
		free(results->questions[i].cases);
	free(results->questions);
	results->questions = NULL;
}
