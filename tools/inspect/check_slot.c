/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group slots: words that only the broker writes, and the bells.
 *
 *  word	One word: SURE.
 *  record	What the broker writes before the slot is ACTIVE, and not again while it is: SURE
 *	if the slot's word is the same before and after. A group that is not lossless keeps
 *	its policy. A lossless one is lossless or until.
 *  active, admitted, policy, members, epoch	Two words that the broker stores one after the other,
 *	so it may be stopped between them: LEFT. An evicted member's record is ALIVE until its
 *	process ends, with the slot that another group may have by now. So there may be more
 *	such records than members once a group was evicted.
 *  bell	`answered` is loaded before `armed`, which only grows, and is a value that `armed`
 *	had (wake.h, W5). A producer that is stopped between W2 and W5 may store an answer to
 *	the group before: LEFT, and the broker mends it once a second.
 */
#include <string.h>

#include "tools/inspect/check_inner.h"

#define FLAGS                                                  \
	(TAPIO_GROUP_FLAG_DURABLE | TAPIO_GROUP_FLAG_EVICTED | \
	 TAPIO_GROUP_FLAG_UNHEARD)

struct slot {
	struct tpi_checker *c;
	const struct tapio_shm_group *group;
	const struct tpi_inspect_channel *channel;
	struct tpi_where where;
	uint64_t word;
};

static bool is_active(uint64_t word)
{
	return TAPIO_SLOT_STATE(word) == TAPIO_SLOT_ACTIVE;
}

static bool word_is_sane(uint64_t word)
{
	uint32_t policy = TAPIO_SLOT_POLICY(word);

	if (!is_active(word))
		return TAPIO_SLOT_STATE(word) == TAPIO_SLOT_FREE;
	return policy >= TAPIO_GROUP_LOSSY && policy <= TAPIO_GROUP_LOSSLESS &&
	       TAPIO_SLOT_LAG(word) < TAPIO_BLOCKS_MAX;
}

static bool policy_follows(uint32_t made, uint32_t now)
{
	if (made == TAPIO_GROUP_LOSSLESS)
		return now == TAPIO_GROUP_LOSSLESS || now == TAPIO_GROUP_UNTIL;
	/* 0: by an older broker. */
	return !made || made == now;
}

static void check_record(struct slot *s)
{
	const struct tapio_shm_group *g = s->group;
	/* Relaxed: after the slot's acquire. */
	uint32_t made = tpi_load_relaxed(&g->policy);
	uint32_t flags = tpi_load_relaxed(&g->flags);
	bool ends = false, same;

	for (int i = 0; i < TAPIO_NAME_BYTES; i++)
		ends |= !tpi_load_relaxed(&g->name[i]);
	/* ORDER group.slot (load-load): the record before this look. Pairs with the
	 * broker's release: the record changes after the slot was FREE. */
	tpi_fence_load_load();
	same = tpi_load_relaxed(&g->slot) == s->word;
	tpi_check_that(
		s->c,
		!same || (ends && !(flags & ~FLAGS) &&
			  policy_follows(made, TAPIO_SLOT_POLICY(s->word))),
		TPI_SURE, TPI_RULE_SLOT_RECORD, &s->where, s->word,
		{"name_ends", ends}, {"flags", flags}, {"policy", made},
		{"in_force", TAPIO_SLOT_POLICY(s->word)});
}

static uint32_t count_members(const struct slot *s)
{
	const struct tpi_catalog *catalog = &s->c->inspect->catalog;
	uint32_t count = 0;

	for (uint32_t i = 1; i < catalog->attachment_count; i++) {
		const struct tapio_shm_attachment *a = &catalog->attachments[i];
		/* ORDER attachment.state (acquire): the record was filled
		 * before. Pairs with the broker's release. */
		uint32_t state = tpi_load_acquire(&a->state);

		count += state == TAPIO_ATTACHMENT_ALIVE &&
			 tpi_load_relaxed(&a->role) == TAPIO_ROLE_CONSUME &&
			 tpi_load_relaxed(&a->channel) == s->where.channel &&
			 tpi_load_relaxed(&a->group_slot) == s->where.slot;
	}
	return count;
}

static void check_members(struct slot *s)
{
	const struct tapio_shm_broker *b = s->c->inspect->catalog.broker;
	/* Relaxed, all of it: it must last. */
	uint32_t members = tpi_load_relaxed(&s->group->members);
	uint32_t made = tpi_load_relaxed(&s->group->policy);
	uint64_t evictions = tpi_load_relaxed(&b->evictions);
	uint32_t policy = TAPIO_SLOT_POLICY(s->word), count = count_members(s);

	tpi_check_that(s->c, members == count || (evictions && members < count),
		       TPI_LEFT, TPI_RULE_SLOT_MEMBERS, &s->where,
		       tpi_words(members, count, s->word, 0),
		       {"members", members}, {"attachments", count});
	tpi_check_that(s->c,
		       made != TAPIO_GROUP_LOSSLESS ||
			       (policy == TAPIO_GROUP_LOSSLESS) == !!members,
		       TPI_LEFT, TPI_RULE_SLOT_POLICY, &s->where,
		       tpi_words(members, made, s->word, 0), {"policy", made},
		       {"in_force", policy}, {"members", members});
}

static void check_epoch(struct slot *s)
{
	const struct tpi_catalog *catalog = &s->c->inspect->catalog;
	uint32_t epoch = tpi_load_relaxed(&s->group->epoch);
	struct tapio_shm_segment copy;

	for (uint32_t i = 0; i < catalog->segment_count; i++) {
		/* Cheap first. */
		if (tpi_load_relaxed(&catalog->segments[i].index) !=
			    s->where.slot ||
		    !tpi_inspect_segment(s->c->inspect, i, &copy) ||
		    copy.kind != TAPIO_SEGMENT_CURSORS ||
		    copy.channel != s->where.channel ||
		    copy.index != s->where.slot)
			continue;
		tpi_check_that(s->c, copy.epoch == epoch, TPI_LEFT,
			       TPI_RULE_SLOT_EPOCH, &s->where,
			       tpi_words(epoch, copy.epoch, 0, 0),
			       {"epoch", epoch}, {"segment_epoch", copy.epoch});
		return;
	}
}

static void check_bell(struct slot *s, const char *word, uint32_t answered,
		       uint32_t armed)
{
	tpi_check_that(s->c, (int32_t)(answered - armed) <= 0, TPI_LEFT,
		       TPI_RULE_SLOT_BELL, &s->where, answered,
		       {word, answered}, {"armed", armed});
}

static void check_bells(struct slot *s)
{
	const struct tapio_shm_doorbells *bells = s->channel->channel.doorbells;
	const struct tapio_shm_group_control *control =
		s->channel->cursors[s->where.slot].control;
	/* Acquire: each is loaded before the word that it answers. */
	uint32_t answered = tpi_load_acquire(&bells->answered[s->where.slot]);
	uint32_t armed = tpi_load_acquire(&control->armed);
	uint32_t room = tpi_load_acquire(&control->room_answered);

	check_bell(s, "answered", answered, armed);
	check_bell(s, "room_answered", room,
		   tpi_load_relaxed(&bells->room_armed));
}

static void check_active(struct slot *s)
{
	const struct tapio_shm_channel *shm =
		&s->c->inspect->catalog.channels[s->where.channel];
	bool bit = tpi_load_relaxed(&shm->active) >> s->where.slot & 1;
	/* Relaxed: it must last. */
	uint32_t admitted = tpi_load_relaxed(&s->group->admitted);

	tpi_check_that(s->c, bit == is_active(s->word), TPI_LEFT,
		       TPI_RULE_SLOT_ACTIVE, &s->where,
		       tpi_words(bit, s->word, 0, 0), {"active", bit},
		       {"state", TAPIO_SLOT_STATE(s->word)});
	if (is_active(s->word))
		tpi_check_that(
			s->c,
			(admitted & TAPIO_INCARNATION_MASK) ==
				TAPIO_SLOT_INCARNATION(s->word),
			TPI_LEFT, TPI_RULE_SLOT_ADMITTED, &s->where,
			tpi_words(admitted, s->word, 0, 0),
			{"admitted", admitted},
			{"incarnation", TAPIO_SLOT_INCARNATION(s->word)});
}

/* Whether the memory that we have is the group's. */
static bool is_had(struct slot *s)
{
	uint32_t epoch = tpi_load_relaxed(&s->group->epoch);
	uint32_t had = s->channel->epochs[s->where.slot];

	if (s->channel->cursors[s->where.slot].cursors && had == epoch)
		return true;
	s->c->report->stale = true;
	tpi_check_fail(s->c, TPI_UNREAD, TPI_RULE_SLOT_MISSING, &s->where,
		       tpi_words(epoch, had, 0, 0),
		       TPI_COUNTED({"epoch", epoch}, {"epoch_had", had}), NULL);
	return false;
}

void tpi_check_group_slot(struct tpi_checker *c, uint32_t channel,
			  uint32_t index)
{
	struct slot s = {
		.c = c,
		.group = &tpi_inspect_groups(c->inspect, channel)[index],
		.channel = &c->inspect->channels[channel],
		.where = TPI_NOWHERE,
	};

	s.where.channel = channel;
	s.where.slot = index;
	/* ORDER group.slot (acquire): the record was written before it. Pairs with the
	 * broker's release. */
	s.word = tpi_load_acquire(&s.group->slot);
	tpi_check_that(c, word_is_sane(s.word), TPI_SURE, TPI_RULE_SLOT_WORD,
		       &s.where, s.word, {"state", TAPIO_SLOT_STATE(s.word)},
		       {"policy", TAPIO_SLOT_POLICY(s.word)},
		       {"lag", TAPIO_SLOT_LAG(s.word)});
	if (!word_is_sane(s.word))
		return;
	check_active(&s);
	check_epoch(&s);
	if (!is_active(s.word))
		return;
	c->report->groups++;
	check_record(&s);
	check_members(&s);
	if (!is_had(&s))
		return;
	check_bells(&s);
	for (uint32_t i = 0; i < s.channel->channel.lane_count; i++)
		tpi_check_cursor(c, channel, index, i);
}
