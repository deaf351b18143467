/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verdict over a run, from the scoreboard alone.
 *
 * For every group, with A the ids that were accepted and D those in doubt:
 *
 *	A is a subset of what was delivered, and that a subset of A + D. An id
 *	of D that one group got, every group got.
 *
 * The second line holds because publishing is one store: an event is there for
 * all groups or for none.
 */
#include <string.h>

#include "tools/load/check.h"
#include "tools/load/event.h"

/* The bits [from, to) of a word, both counted from the word's first id. */
static uint64_t bits_between(uint64_t from, uint64_t to, uint64_t word)
{
	uint64_t low = word * 64, mask;

	if (to <= low || from >= low + 64 || from >= to)
		return 0;
	mask = to >= low + 64 ? UINT64_MAX : (UINT64_C(1) << (to - low)) - 1;
	if (from > low)
		mask &= UINT64_MAX << (from - low);
	return mask;
}

/* Counts which ids of one word a group may miss and may have. */
static void judge_word(const struct load_scoreboard *scoreboard, uint64_t index,
		       uint64_t must, uint64_t may, struct load_verdicts *v)
{
	uint32_t groups = scoreboard->shape.groups;
	uint64_t any = 0, got;

	for (uint32_t g = 0; g < groups; g++)
		any |= load_bits(scoreboard, g)[index] & may;
	v->accepted += (uint64_t)__builtin_popcountll(must);
	v->in_doubt += (uint64_t)__builtin_popcountll(may);
	v->sent += (uint64_t)__builtin_popcountll(must | any);
	for (uint32_t g = 0; g < groups; g++) {
		got = load_bits(scoreboard, g)[index];
		v->received +=
			(uint64_t)__builtin_popcountll(got & (must | may));
		v->missing_of[g] +=
			(uint64_t)__builtin_popcountll((must | any) & ~got);
		v->corrupt +=
			(uint64_t)__builtin_popcountll(got & ~(must | may));
	}
}

static void judge_span(const struct load_scoreboard *scoreboard, uint64_t n,
		       struct load_verdicts *v)
{
	const struct load_span *span = &scoreboard->spans[n];
	uint64_t accepted = span->accepted, intent = span->intent;
	uint64_t sent = v->sent, received = v->received;

	for (uint64_t w = 0; w < LOAD_SPAN_EVENTS / 64; w++)
		judge_word(scoreboard, n * (LOAD_SPAN_EVENTS / 64) + w,
			   bits_between(0, accepted, w),
			   bits_between(accepted, intent, w), v);
	v->got += v->received - received;
	if (LOAD_PRODUCER_INDEX(span->producer) != scoreboard->shape.producers)
		return;
	v->probed += v->sent - sent;
	v->sent = sent;
	v->received = received;
}

static void add_counts(const struct load_scoreboard *scoreboard,
		       struct load_verdicts *v)
{
	for (uint32_t i = 0; i < scoreboard->consumers; i++) {
		const struct load_counts *c = &scoreboard->counts[i];

		v->corrupt += c->corrupt;
		v->duplicated += c->duplicated;
		v->redelivered += c->redelivered;
		v->disordered += c->disordered;
		v->foreign += c->foreign;
		v->gaps += c->gaps;
	}
	/* After a consumer that is not dead nothing may come twice. */
	for (uint32_t life = 0; life < scoreboard->life_count; life++) {
		if (scoreboard->life_killed[life])
			continue;
		v->duplicated += scoreboard->redelivered[life];
		v->redelivered -= scoreboard->redelivered[life];
	}
}

void load_judge(const struct load_scoreboard *scoreboard,
		const uint64_t *overrun, struct load_verdicts *v)
{
	uint64_t spans = scoreboard->next_span;

	memset(v, 0, sizeof(*v));
	if (spans > scoreboard->span_count)
		spans = scoreboard->span_count;
	for (uint64_t n = 0; n < spans; n++)
		judge_span(scoreboard, n, v);
	add_counts(scoreboard, v);
	for (uint32_t g = 0; g < scoreboard->shape.groups; g++) {
		v->overrun += overrun[g];
		v->missing += v->missing_of[g];
		if (v->missing_of[g] > overrun[g])
			v->lost += v->missing_of[g] - overrun[g];
	}
}
