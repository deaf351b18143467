/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a sequence that an event completes.
 *
 * It goes from the event back: the last event of the sequence is the one at hand, the one before
 * is the latest that fits, and so on; of the steps that an event can be, the last one comes
 * first. So the first sequence that is found is the one that the guide defines.
 *
 * A condition may refer to earlier steps, which are chosen later. It is tested as soon as a
 * choice is made, where what is not chosen yet is "maybe". A condition that is false whatever
 * comes ends that branch.
 */
#include <string.h>

#include "tools/correlate/state.h"

/* Choices of one search. Conditions that fail late could take as many as there are chains. */
#define BUDGET 65536

struct search {
	struct tpi_corr *corr;
	const struct tpi_rule *rule;
	const struct tpi_key *key;
	struct tpi_chain *chain;
	uint32_t budget;
	uint8_t maybe; /* steps of the chain with conditions to test */
};

/* Whether no condition of the chain is false, with steps from `from` on known. */
static bool holds(const struct search *s, unsigned int from)
{
	struct tpi_match match = {
		.chain = s->chain->raws,
		.from = from,
		.pods = true,
		.regex_errors =
			&s->corr->states[s->key->rule].stats.regex_errors,
	};

	for (unsigned int step = from; step < s->rule->step_count; step++) {
		if (!(s->maybe >> step & 1))
			continue;
		match.raw = s->chain->raws[step];
		match.pod = s->chain->copies[step]->pod;
		if (tpi_match(s->rule->steps[step].nodes[match.raw->slot],
			      &match) == TPI_FALSE)
			return false;
	}
	return true;
}

static void choose(struct search *s, unsigned int step,
		   const struct tpi_copy *copy, uint8_t maybe)
{
	s->chain->copies[step] = copy;
	s->chain->raws[step] = copy ? &copy->raw : NULL;
	s->maybe &= (uint8_t) ~(1u << step);
	if (copy)
		s->maybe |= (uint8_t)(maybe & 1u << step);
}

/* Finds `left` more events for steps below `below`, among the first `count` items. */
static bool find_before(struct search *s, uint32_t count, unsigned int below,
			unsigned int left)
{
	if (!left)
		return holds(s, 0);
	while (count-- >= left) {
		const struct tpi_item *item = tpi_key_item(s->key, count);

		for (unsigned int step = below; step-- >= left;) {
			if (!(item->steps >> step & 1))
				continue;
			if (!s->budget || !--s->budget)
				return false;
			choose(s, step, item->copy, item->maybe);
			if (holds(s, step) &&
			    find_before(s, count, step, left - 1))
				return true;
			choose(s, step, NULL, 0);
		}
	}
	return false;
}

bool tpi_sequence_find(struct tpi_corr *corr, const struct tpi_rule *rule,
		       struct tpi_key *key, const struct tpi_hit *hit,
		       struct tpi_chain *chain)
{
	struct search s = {.corr = corr,
			   .rule = rule,
			   .key = key,
			   .chain = chain,
			   .budget = BUDGET};
	bool found = false;

	memset(chain, 0, sizeof(*chain));
	for (unsigned int step = rule->step_count;
	     !found && step-- >= rule->need;) {
		if (!(hit->steps >> step & 1))
			continue;
		choose(&s, step, hit->copy, hit->maybe);
		found = holds(&s, step) &&
			find_before(&s, key->count, step, rule->need - 1);
		if (!found)
			choose(&s, step, NULL, 0);
	}
	if (!found && !s.budget)
		corr->states[key->rule].stats.exhausted++;
	return found;
}
