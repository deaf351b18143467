/* SPDX-License-Identifier: Apache-2.0 */
/* Goals as text: reached, missed with the numbers, or why that cannot be said. */
#include <string.h>

#include "bench/frame/frame.h"

/*
 * A ratio in the way that a goal is written. "1.5 x the floor" is Tapio's figure
 * over the other's. "4 x ahead of the best peer", where less is better, is a limit
 * of 0.25, and turned round.
 */
static void ratio_text(const struct bench_goal *goal, bool more_is_better,
		       const struct bench_judgement *j, char *text,
		       size_t bytes)
{
	const bool turned = !more_is_better && goal->limit <= 1;
	char times[32], name[192];

	bench_subject_name(j->against, name, sizeof(name));
	if (goal->plus)
		snprintf(name + strlen(name), sizeof(name) - strlen(name),
			 " + %s", goal->plus);
	if (!turned)
		snprintf(text, bytes, "%s %s",
			 bench_times(j->value, times, sizeof(times)), name);
	else if (j->value <= 1)
		snprintf(text, bytes, "%s ahead of %s",
			 bench_times(1 / j->value, times, sizeof(times)), name);
	else
		snprintf(text, bytes, "%s is ahead by %s", name,
			 bench_times(j->value, times, sizeof(times)));
}

static void value_text(const struct bench_case_result *result,
		       const struct bench_goal *goal,
		       const struct bench_judgement *j, char *text,
		       size_t bytes)
{
	const struct bench_figure *f = &result->of->figures[goal->figure];
	struct bench_scale s;
	char number[32];

	if (j->verdict == BENCH_OPEN) {
		snprintf(text, bytes, "%s", j->why);
	} else if (goal->kind != BENCH_GOAL_VALUE) {
		ratio_text(goal, f->more_is_better, j, text, bytes);
	} else {
		s = bench_scale(f->unit, j->value);
		bench_number(j->value * s.factor, number, sizeof(number));
		snprintf(text, bytes, "%s %s%s%s%s", number, s.unit,
			 goal->of ? " (" : "", goal->of ? goal->of : "",
			 goal->of ? ")" : "");
	}
}

void bench_goals_show(const struct bench_case_result *result, bool missed_only)
{
	static const struct {
		const char *word;
		enum bench_style style;
	} verdicts[] = {
		[BENCH_REACHED] = {"goal reached", BENCH_GOOD},
		[BENCH_MISSED] = {"goal MISSED ", BENCH_BAD},
		[BENCH_OPEN] = {"goal open   ", BENCH_DIM},
	};
	char text[512], value[224], note[256];

	for (unsigned int i = 0; i < bench_goal_count(result->of); i++) {
		const struct bench_goal *goal = &result->of->goals[i];
		struct bench_judgement j = bench_judge(result, goal);

		if (missed_only && j.verdict != BENCH_MISSED)
			continue;
		value_text(result, goal, &j, value, sizeof(value));
		bench_note(result, goal, &j, note, sizeof(note));
		snprintf(text, sizeof(text), "%s: %s%s%s%s", goal->text, value,
			 *note ? " (" : "", note, *note ? ")" : "");
		printf("    %s%s%s  ", bench_style(verdicts[j.verdict].style),
		       verdicts[j.verdict].word, bench_style(BENCH_PLAIN));
		bench_wrapped(text, 18);
	}
}
