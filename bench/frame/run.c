/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of a run: questions and their cases. The turns of a case are in
 * turns.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "bench/frame/turns.h"
#include "tools/common/tool.h"

static unsigned int count_figures(const struct bench_case *c)
{
	unsigned int n = 0;

	while (n < BENCH_FIGURES_MAX && c->figures[n].name)
		n++;
	return n;
}

/* ---- one question ------------------------------------------------------------- */

/* It could not be set up: none of its cases can be asked. */
static void none_runs(struct bench_question_result *q, int err)
{
	for (unsigned int i = 0; i < q->case_count; i++)
		for (unsigned int j = 0; j < q->cases[i].subjects; j++) {
			struct bench_outcome *s = &q->cases[i].subject[j];

			bench_is_out(s, q->cases[i].of,
				     err != BENCH_ABSENT && s->of->peer->kind ==
								    BENCH_TAPIO
					     ? BENCH_FAILED
					     : BENCH_NOT_HERE,
				     q->why);
		}
}

static void run_cases(struct bench_course *course,
		      struct bench_question_result *q)
{
	const struct bench_options *o = course->options;

	bench_machine_state_take(&q->before, o->cpus, o->quick);
	for (unsigned int i = 0; i < q->case_count && !tpi_stop_signal(); i++)
		bench_case_run(course, q, &q->cases[i]);
	bench_machine_state_take(&q->after, o->cpus, o->quick);
}

static void run_question(struct bench_course *course,
			 struct bench_question_result *q)
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

static void prepare_case(struct bench_course *course,
			 struct bench_case_result *result,
			 const struct bench_case *c)
{
	const struct bench_options *o = course->options;

	result->of = c;
	result->figures = count_figures(c);
	result->turns = o->turns;
	for (unsigned int i = 0; i < BENCH_SUBJECTS_MAX && c->subjects[i]; i++)
		if (bench_subject_selected(o, c, i))
			result->subject[result->subjects++].of = c->subjects[i];
	course->steps +=
		(uint64_t)result->subjects * (o->turns + (o->quick ? 0 : 1));
}

/* False: out of memory. */
static bool prepare_question(struct bench_course *course,
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

static int prepare(struct bench_course *course)
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
	struct bench_course course = {.options = options, .results = results};
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
