/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: joining, leaving, and who may have a slot after whom. Called by
 * sessions (ATTACH as a consumer) and by the reaper.
 *
 * JOINING. A producer computes a gate from the group generation, the slots, the
 * heads, and the generation again (lib/lane/lane.c), and stores it in a section only
 * if the generation is still the same. So:
 *
 *  J1  heads are set to the lanes' tails while the slot is not ACTIVE: nobody
 *	looks at them;
 *  J2  the slot becomes ACTIVE, then generation + 1 (release): a reader of the
 *	new generation sees the slot and heads;
 *  J3  membarrier(GLOBAL_EXPEDITED): from here on no producer has a gate of the
 *	old generation in its store buffer, and none will store another one;
 *  J4  each head is raised to its lane's tail as read now. A gate that was
 *	computed without the group is at most the tail its producer saw, which is
 *	at most this one; a gate computed with it is at most its head. So nothing
 *	at or after the head has been given away;
 *  J5  `admitted`, and only then the answer with the writable descriptor.
 *
 * FROM THE GATE (TPI_ATTACH_HELD). A handle that moves here from another instance wants all
 * that this memory has. Then heads begin at the gates in J1, and J4 seals each gate and
 * goes on there, as P2 and P3 do below. A gate of J1 is at or before that of J4, so a
 * head only grows, and a producer that sees the group moves no gate beyond the head of J1
 * before J4. So all at or behind `start` is intact, and in the ledger. An isolated channel's
 * producers write their gates themselves, so there the group begins at the tails.
 *
 * SLOTS. A slot's cursors are one file, and a client that was given it writable can
 * write it for ever. So memory serves groups of one uid only, and a slot gets other
 * memory when it has to change hands (broker/registry/slot_memory.h). Groups of the same
 * uid may follow one another in it. Heads carry the group's incarnation, so that a
 * former member that wakes up late is no news.
 *
 * DURABLE groups stay without members. Then even a lossless one holds producers only
 * up to its lag, since nobody is there to make progress.
 *
 * PROMOTION. A lossless group gets its first member again. What producers have not
 * taken meanwhile is intact, and the member must get it:
 *
 *  P1  the slot is lossless again, then generation + 1 (release);
 *  P2  the gate of each lane is sealed: one atomic addition reads it and changes its
 *	epoch. A producer moves the gate by a swap of the whole word, and loads that
 *	word before it looks at the slots. So a swap that comes after the seal has
 *	seen the slot of P1, and the head of this group limits it;
 *  P3  heads that the gate has passed go on at the gate. Producers have taken no
 *	block at or behind it, so nothing that is delivered was overwritten; and
 *	they may take all before it, so nothing is counted as lost that could be
 *	kept.
 *
 * A durable group without members that a reload gives another policy or lag goes the same
 * way (tpi_group_retune), since its new limit may lie before the gate.
 *
 * No membarrier would do for P2: a producer may have compared the generation and not
 * yet stored its gate when the interrupt comes, for as long as it is stopped there.
 * SIGKILL of the broker between P1 and P3: the member was not published yet, so the
 * successor finds none, the slot is UNTIL again, and the next first member does P1 to P3
 * from the beginning. A second seal is as good as one, and a head that stands at the gate
 * stays there. A tally that was written and not named by its head is written again.
 *
 * A SUCCESSOR takes groups over at any of these steps: adopt.c, in this folder. The private
 * part of a group lies in the private state (note_group()) before its slot is ACTIVE.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/consumer.h>

#include "broker/broker.h"
#include "broker/group/group_inner.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"
#include "lib/lane/histogram.h"
#include "lib/lane/wake.h"

static uint32_t slot_of(const struct tpi_host *host,
			const struct tpi_group *group)
{
	return (uint32_t)(group - host->groups);
}

/* ---- seen by producers -------------------------------------------------------- */

/* Every producer sees what was stored before this, and acts on it. */
static void barrier(const struct tpi_registry *registry)
{
	/* Without membarrier every producer has a full fence in each commit. */
	if (!registry->membarrier || tpi_barrier())
		tpi_fence_full();
}

/* The policy that holds now: with nobody there, never without a limit. */
static uint32_t policy_now(const struct tpi_group *group)
{
	if (group->policy == TAPIO_GROUP_LOSSLESS && !group->members)
		return TAPIO_GROUP_UNTIL;
	return group->policy;
}

/* Stores a slot's word and its bit in `active`, then the new generation. */
static void show_slot(struct tpi_host *host, const struct tpi_group *group)
{
	uint32_t slot = slot_of(host, group);
	uint64_t bit = UINT64_C(1) << slot, active = host->shm->active;

	/* ORDER group.slot (release): heads before the state that makes them
	 * count. Pairs with the acquire in tpi_gate_compute(). */
	tpi_store_release(&host->shm_groups[slot].slot,
			  TAPIO_SLOT(group->state, policy_now(group),
				     group->incarnation, group->lag) |
				  (group->far ? TAPIO_SLOT_FAR : 0));
	TPI_TESTPOINT("show.slot");
	active = group->state == TAPIO_SLOT_ACTIVE ? active | bit
						   : active & ~bit;
	/* Relaxed: `active` says whose doorbells to look at; a producer that
	 * sees it late rings late, and sleeps are bounded. The generation below
	 * orders it for the gate. */
	tpi_store_relaxed(&host->shm->active, active);
	TPI_TESTPOINT("show.active");
	/* ORDER channel.generation (release): slots and heads before it. Pairs
	 * with the acquire in tpi_gate_compute(). */
	tpi_store_release(&host->shm->generation, host->shm->generation + 1);
	TPI_TESTPOINT("show.generation");
}

static uint64_t tail_of(const struct tpi_host *host, uint32_t lane)
{
	return tpi_isolation_tail(host, lane);
}

/* Not beyond the tail, and no further back than a ring is long. */
static uint64_t begin_at(const struct tpi_host *host, uint32_t lane,
			 uint64_t gate)
{
	uint64_t tail = tail_of(host, lane);
	uint64_t unread = (tail - gate) & TAPIO_POSITION_MASK;

	return unread <= (uint64_t)host->lanes.lanes[lane].mask + 1 ? gate
								    : tail;
}

/* J1: where a group begins that no producer sees yet. */
static uint64_t first_head(const struct tpi_host *host,
			   const struct tpi_group *group, uint32_t lane)
{
	const struct tapio_shm_lane *shm = host->lanes.lanes[lane].shm;

	if (!group->held)
		return tail_of(host, lane);
	/* Relaxed: it grows, and J4 looks again. */
	return begin_at(host, lane,
			tpi_load_relaxed(&shm->gate) & TAPIO_POSITION_MASK);
}

/* J4: where it begins. */
static uint64_t sealed_head(const struct tpi_host *host,
			    const struct tpi_group *group, uint32_t lane)
{
	if (!group->held)
		return tail_of(host, lane);
	return begin_at(host, lane, tpi_gate_seal(&host->lanes.lanes[lane]));
}

static void reset_control(struct tpi_host *host, uint32_t slot)
{
	struct tapio_shm_group_control *control = host->cursors[slot].control;
	struct tapio_shm_doorbells *doorbells = host->lanes.doorbells;

	/* Not zero: a producer rings when `armed` is ahead of its `answered`. */
	tpi_store_relaxed(&control->armed,
			  tpi_load_relaxed(&doorbells->answered[slot]));
	if (host->rounds)
		tpi_store_relaxed(
			&control->ring_until,
			tpi_load_relaxed(&doorbells->slots[slot].woken));
	tpi_store_relaxed(&control->room_answered,
			  tpi_load_relaxed(&doorbells->room_armed));
}

/* A cursor without a holder. The tally is that of record 0. */
static struct tapio_shm_cursor fresh_cursor(uint64_t start, uint64_t head,
					    struct tapio_shm_tally tally)
{
	struct tapio_shm_cursor fresh = {.start = start};

	/* The cell that the lease of nobody names. */
	fresh.cells[0].owner = TAPIO_CELL_GIVEN;
	fresh.cells[0].tally[0] = tally;
	for (int k = 0; k < TAPIO_CELLS; k++)
		fresh.cells[k].head = head;
	return fresh;
}

/* J1: as fresh; nobody else looks at the slot, and no old member is believed. */
static void reset_cursors(struct tpi_host *host, const struct tpi_group *group)
{
	uint32_t slot = slot_of(host, group);
	struct tpi_cursors *cursors = &host->cursors[slot];

	reset_control(host, slot);
	if (cursors->histogram)
		tpi_histogram_clear(cursors->histogram);
	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		uint64_t first = first_head(host, group, i);

		cursors->cursors[i] = fresh_cursor(
			first, TAPIO_HEAD(first, group->incarnation, 0),
			(struct tapio_shm_tally){0});
	}
}

/* J4: to the tails of now, which no gate of the old generation has passed. */
static void raise_heads(struct tpi_host *host, const struct tpi_group *group)
{
	struct tpi_cursors *cursors = &host->cursors[slot_of(host, group)];

	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		struct tapio_shm_cursor *cursor = &cursors->cursors[i];
		uint64_t start = sealed_head(host, group, i);

		cursor->start = start;
		/* ORDER cursor.head (release): as a member's release. Pairs
		 * with the acquire in tpi_gate_compute(). */
		tpi_store_release(&cursor->cells[0].head,
				  TAPIO_HEAD(start, group->incarnation, 0));
		tpi_judge_begin_at(&host->judge, slot_of(host, group), i,
				   tail_of(host, i), start, group->incarnation);
	}
}

static void describe(struct tpi_host *host, const struct tpi_group *group)
{
	struct tapio_shm_group *shm = &host->shm_groups[slot_of(host, group)];

	shm->flags = group->durable ? TAPIO_GROUP_FLAG_DURABLE : 0;
	shm->uid = group->uid;
	shm->policy = group->policy;
	shm->takeover_ns = group->takeover_ns;
	shm->joined_ns = tpi_realtime_ns();
	memcpy(shm->name, group->name, sizeof(shm->name));
}

static void note_group(const struct tpi_group *group)
{
	struct tpi_state_slot *kept = group->kept;

	kept->flags = (group->configured ? TPI_STATE_CONFIGURED : 0) |
		      (group->private ? TPI_STATE_PRIVATE : 0);
	kept->severity_min = group->filter.severity_min;
	kept->class_mask = group->filter.class_mask;
	kept->types = group->filter.types;
	TPI_TESTPOINT("group.noted");
}

/* The first member's, also where there were others before. */
static void take_filter(struct tpi_host *host, struct tpi_group *group,
			const struct tpi_group_filter *filter)
{
	uint32_t mask = tpi_group_class_mask(host, filter->class_mask);
	uint64_t digest = filter->types;

	group->filter = *filter;
	group->filter.class_mask = mask;
	if (filter->severity_min || mask)
		digest = digest * 31 + ((uint64_t)mask << 4) +
			 filter->severity_min;
	note_group(group);
	/* Relaxed: shown only. */
	tpi_store_relaxed(&host->shm_groups[slot_of(host, group)].filter,
			  digest);
}

static void show_members(struct tpi_host *host, const struct tpi_group *group)
{
	tpi_store_relaxed(&host->shm_groups[slot_of(host, group)].members,
			  group->members);
}

static void open_group(struct tpi_broker *broker, struct tpi_host *host,
		       struct tpi_group *group)
{
	struct tpi_slot_memory *memory = &host->memory[slot_of(host, group)];

	group->incarnation = (group->incarnation + 1) & TAPIO_INCARNATION_MASK;
	group->looks = 0;
	memory->strangers = memory->given;
	tpi_slot_memory_note(memory);
	note_group(group);
	reset_cursors(host, group);
	TPI_TESTPOINT("join.reset");
	tpi_flood_begin(host, group);
	describe(host, group);
	TPI_TESTPOINT("join.described");
	group->state = TAPIO_SLOT_ACTIVE;
	tpi_group_heard(broker, host, slot_of(host, group));
	show_slot(host, group);
	barrier(&broker->registry);
	TPI_TESTPOINT("join.barrier");
	raise_heads(host, group);
	group->held = false;
	TPI_TESTPOINT("join.raised");
	/* ORDER group.admitted (release): the heads of J4 before it. Pairs with
	 * the acquire of a broker that takes over, and of the ledger. */
	tpi_store_release(&host->shm_groups[slot_of(host, group)].admitted,
			  group->incarnation);
	TPI_TESTPOINT("join.admitted");
}

/*
 * P3: the head goes on at the gate, if that has passed it, and what lies between the
 * two is counted as lost. A head of another incarnation was written by a former
 * member that woke up late; then the last head that was possible says how far the
 * group had come.
 */
static void pass_over(struct tpi_host *host, const struct tpi_group *group,
		      uint32_t lane, uint64_t gate)
{
	struct tapio_shm_cell *cell = tpi_cursor_counting(
		&host->cursors[slot_of(host, group)].cursors[lane]);
	/* ORDER cursor.head (acquire): the tally that it names. Pairs with the
	 * release by the last holder. */
	uint64_t head = tpi_load_acquire(&cell->head);
	bool own = TAPIO_HEAD_INCARNATION(head) == group->incarnation;
	uint64_t position;
	uint32_t record;
	int64_t lost;

	if (!own)
		head = tpi_judge_last(&host->judge, slot_of(host, group), lane);
	position = TAPIO_HEAD_POSITION(head);
	record = TAPIO_HEAD_RECORD(head);
	lost = tapio_position_diff(gate, position);
	if (lost > 0) {
		cell->tally[record ^ 1] = cell->tally[record];
		cell->tally[record ^ 1].lost += (uint64_t)lost;
		record ^= 1;
		position = gate;
	} else if (own) {
		return;
	}
	/* ORDER cursor.head (release): as in raise_heads(). */
	tpi_store_release(&cell->head,
			  TAPIO_HEAD(position, group->incarnation, record));
}

/* PROMOTION, as described at the head of this file. Also for another limit. */
static void promote(struct tpi_host *host, const struct tpi_group *group)
{
	uint64_t before = host->shm_groups[slot_of(host, group)].slot;

	show_slot(host, group);
	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		pass_over(host, group, i, tpi_isolation_gate(host, i, before));
		TPI_TESTPOINT("promote.sealed");
	}
}

/* ---- memory that producers have not got yet ---------------------------------------- */

/*
 * A producer that was sent the answer to FETCH may go on without it for long, since it takes
 * it when it needs room the next time. One without a connection may have lost it.
 */
static bool has_taken(const struct tpi_attachment *attachment)
{
	return attachment->session && tpi_unread_none(attachment->session);
}

bool tpi_group_unheard(const struct tpi_broker *broker,
		       const struct tpi_host *host, uint32_t slot)
{
	const struct tpi_registry *registry = &broker->registry;
	uint32_t epoch = host->memory[slot].epoch;

	if (epoch <= 1)
		return false;
	for (uint32_t i = 0; i < registry->fresh_index; i++) {
		const struct tpi_attachment *a = &registry->attachments[i];

		/* 0: it has just attached, and asks for it before it emits. */
		if (a->id != TAPIO_NOBODY && a->host == host &&
		    a->heard[slot] &&
		    (a->heard[slot] != epoch || !has_taken(a)))
			return true;
	}
	return false;
}

void tpi_group_heard(struct tpi_broker *broker, struct tpi_host *host,
		     uint32_t slot)
{
	struct tapio_shm_group *shm = &host->shm_groups[slot];
	uint32_t flags = shm->flags & ~TAPIO_GROUP_FLAG_UNHEARD;

	if (tpi_group_unheard(broker, host, slot))
		flags |= TAPIO_GROUP_FLAG_UNHEARD;
	/* Relaxed: a member that sees it late sleeps once as long as others. */
	tpi_store_relaxed(&shm->flags, flags);
	TPI_TESTPOINT("group.heard");
}

/* ---- slots ------------------------------------------------------------------------ */

static uint32_t count_active(const struct tpi_host *host)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		count += host->groups[i].state == TAPIO_SLOT_ACTIVE;
	return count;
}

/*
 * A slot for a group of `uid` (UINT32_MAX: of any). Memory that this uid has had comes
 * first, so that its comings and goings keep to one slot. Then memory that no client
 * has had. In the end a slot gets other memory, and then producers have to fetch it.
 */
static int free_slot(struct tpi_broker *broker, struct tpi_host *host,
		     uid_t uid, struct tpi_group **out, char *error,
		     size_t error_bytes)
{
	struct tpi_group *own = NULL, *fresh = NULL, *any = NULL;
	struct tpi_segment old;
	int err;

	for (uint32_t i = TAPIO_GROUP_SLOTS; i-- > 0;) {
		const struct tpi_slot_memory *memory = &host->memory[i];
		struct tpi_group *group = &host->groups[i];

		if (group->state != TAPIO_SLOT_FREE)
			continue;
		/* Rather one whose board serves no other group. */
		if (!any || !host->board_users[i] ||
		    host->board_users[slot_of(host, any)])
			any = group;
		if (!memory->given && !memory->spent)
			fresh = group;
		else if (tpi_slot_memory_serves(memory, uid))
			own = group;
	}
	*out = own ? own : fresh ? fresh : any;
	if (!*out)
		return tpi_fail(-EUSERS, error, error_bytes,
				"channel \"%s\": all %d group slots are in use",
				host->config->spec.name, TAPIO_GROUP_SLOTS);
	if (own || fresh)
		return 0;
	tpi_board_part(broker, host, slot_of(host, any));
	err = tpi_slot_memory_renew(host, slot_of(host, any), NULL, &old, error,
				    error_bytes);
	if (!err)
		tpi_slot_memory_retire(
			&host->memory[slot_of(host, any)],
			&old); /* no gate is made of a FREE slot */
	return err;
}

static void close_group(struct tpi_host *host, struct tpi_group *group)
{
	group->state = TAPIO_SLOT_FREE;
	show_slot(host, group);
}

/* ---- making one ---------------------------------------------------------------------- */

struct tpi_group *tpi_group_find(struct tpi_host *host, const char *name)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		struct tpi_group *group = &host->groups[i];

		if (group->state == TAPIO_SLOT_ACTIVE && !group->private &&
		    !strcmp(group->name, name))
			return group;
	}
	return NULL;
}

static int make_group(struct tpi_broker *broker, struct tpi_host *host,
		      const struct tpi_attachment *attachment,
		      const struct tpi_group_request *request,
		      struct tpi_group **out, char *error, size_t error_bytes)
{
	uint32_t active = count_active(host);
	struct tpi_group *group;
	int err = tpi_group_check_lag(host, request, error, error_bytes);

	if (!err)
		err = tpi_group_check_durable(host, request, error,
					      error_bytes);
	if (!err)
		err = tpi_group_quota(host, request->cred, error, error_bytes);
	if (err)
		return err;
	if (active >= host->config->groups_max)
		return tpi_fail(-EUSERS, error, error_bytes,
				"channel \"%s\" has %u groups, groups_max is "
				"%u",
				host->config->spec.name, active,
				host->config->groups_max);
	err = free_slot(broker, host, attachment->process->uid, &group, error,
			error_bytes);
	if (err)
		return err;
	group->policy = request->policy == TAPIO_GROUP_DEFAULT
				? TAPIO_GROUP_UNTIL
				: request->policy;
	group->lag = group->policy == TAPIO_GROUP_UNTIL ? request->lag : 0;
	group->far = request->may_lossless;
	group->takeover_ns =
		request->takeover_ns ? request->takeover_ns : TPI_TAKEOVER_NS;
	group->durable = request->durable;
	group->configured = false;
	group->private = !request->name[0];
	group->uid = attachment->process->uid;
	group->members = 0;
	snprintf(group->name, sizeof(group->name), "%s", request->name);
	*out = group;
	return 0;
}

/* ---- the configuration's ------------------------------------------------------------ */

const struct tpi_config_group *
tpi_group_named(const struct tpi_config_channel *channel, const char *name)
{
	for (uint32_t i = 0; i < channel->group_count; i++)
		if (!strcmp(channel->groups[i].name, name))
			return &channel->groups[i];
	return NULL;
}

bool tpi_group_is_changed(const struct tpi_group *group,
			  const struct tpi_config_group *to)
{
	return group->policy != to->policy || group->lag != to->lag ||
	       group->takeover_ns != to->takeover_ns;
}

int tpi_group_make(struct tpi_broker *broker, struct tpi_host *host,
		   const struct tpi_config_group *from, char *error,
		   size_t error_bytes)
{
	struct tpi_group *group;
	/* It is for all uids, so no client may have had the memory. */
	int err =
		free_slot(broker, host, UINT32_MAX, &group, error, error_bytes);

	if (err)
		return err;
	group->policy = from->policy;
	group->lag = from->lag;
	group->far = true;
	group->takeover_ns = from->takeover_ns;
	group->durable = true;
	group->configured = true;
	group->private = false;
	group->uid = geteuid();
	group->members = 0;
	memcpy(group->name, from->name, sizeof(group->name));
	take_filter(host, group, &(struct tpi_group_filter){0});
	open_group(broker, host, group);
	return 0;
}

void tpi_groups_configured(struct tpi_broker *broker, struct tpi_host *host)
{
	for (uint32_t i = 0; i < host->config->group_count; i++) {
		const struct tpi_config_group *from = &host->config->groups[i];

		if (!tpi_group_find(host, from->name) &&
		    tpi_group_make(broker, host, from, NULL, 0))
			return;
	}
}

void tpi_group_retune(struct tpi_host *host, struct tpi_group *group,
		      const struct tpi_config_group *to)
{
	struct tapio_shm_group *shm = &host->shm_groups[slot_of(host, group)];

	group->policy = to->policy;
	group->lag = to->lag;
	group->far = true;
	group->takeover_ns = to->takeover_ns;
	/* Relaxed: members have read them when they joined, and there are none. */
	tpi_store_relaxed(&shm->policy, group->policy);
	tpi_store_relaxed(&shm->takeover_ns, group->takeover_ns);
	promote(host, group);
}

/* One of the configuration's may be gone for want of a slot. */
static struct tpi_group *find_or_restore(struct tpi_broker *broker,
					 struct tpi_host *host,
					 const char *name)
{
	struct tpi_group *group = tpi_group_find(host, name);

	if (!group && tpi_group_named(host->config, name)) {
		tpi_groups_configured(broker, host);
		group = tpi_group_find(host, name);
	}
	return group;
}

/* Others of the uid that has it share its board, and not with another uid. */
static void give_memory(struct tpi_broker *broker, struct tpi_host *host,
			uint32_t slot, uid_t uid)
{
	struct tpi_slot_memory *memory = &host->memory[slot];

	if (memory->given && memory->uid != uid)
		tpi_board_part(broker, host, slot);
	tpi_slot_memory_give(memory, uid);
}

/* ---- joining and leaving ----------------------------------------------------------- */

int tpi_group_join(struct tpi_broker *broker, struct tpi_attachment *attachment,
		   const struct tpi_group_request *request, bool *first,
		   char *error, size_t error_bytes)
{
	struct tpi_process *process = attachment->process;
	struct tpi_host *host = attachment->host;
	struct tpi_group *group = NULL;
	int err = tpi_group_check_request(host, request, error, error_bytes);

	if (err)
		return err;
	if (request->name[0])
		group = find_or_restore(broker, host, request->name);
	if (!group && tpi_group_named(host->config, request->name))
		return tpi_fail(-EUSERS, error, error_bytes,
				"group \"%s\" was evicted, and no slot is free "
				"to begin it anew",
				request->name);
	if (!group && host->removed)
		return tpi_fail(-ESHUTDOWN, error, error_bytes,
				"channel \"%s\" was removed from the "
				"configuration, and only groups that exist may "
				"have members, to read what is left: put it "
				"back and reload (tapiod --reload)",
				host->config->spec.name);
	*first = !group;
	err = group ? tpi_group_check_existing(host, group, process, request,
					       error, error_bytes)
		    : make_group(broker, host, attachment, request, &group,
				 error, error_bytes);
	if (err)
		return err;
	group->calls.members++;
	if (!group->members++)
		take_filter(host, group, &request->filter);
	if (*first) {
		group->held =
			request->held && !tpi_channel_isolated(&host->lanes);
		open_group(broker, host, group);
	} else if (group->members == 1 && group->policy == TAPIO_GROUP_LOSSLESS)
		promote(host, group);
	show_members(host, group);
	TPI_TESTPOINT("join.counted");
	give_memory(broker, host, slot_of(host, group), process->uid);
	attachment->group = group;
	tpi_board_join(broker, attachment, request->boards);
	return 0;
}

void tpi_group_leave(struct tpi_attachment *attachment)
{
	struct tpi_host *host = attachment->host;
	struct tpi_group *group = attachment->group;

	group->members--;
	tpi_board_leave(attachment);
	attachment->group = NULL;
	show_members(host, group);
	TPI_TESTPOINT("leave.counted");
	if (group->members)
		return;
	if (!group->durable)
		close_group(host, group);
	else if (group->policy == TAPIO_GROUP_LOSSLESS)
		show_slot(host, group);
}

/* ---- removing ------------------------------------------------------------------------ */

void tpi_group_end(struct tpi_host *host, struct tpi_group *group)
{
	group->durable = false;
	group->configured = false;
	close_group(host, group);
	/* Producers that waited for it have room now. */
	tpi_group_wake(host, slot_of(host, group));
}

int tpi_group_remove(struct tpi_broker *broker, struct tpi_host *host,
		     const struct tpi_cred *cred, const char *name, char *error,
		     size_t error_bytes)
{
	struct tpi_group *group = tpi_group_find(host, name);
	int err =
		tpi_group_check_remove(host, group, cred->uid,
				       tpi_cred_is_owner(&broker->config, cred),
				       name, error, error_bytes);

	if (err)
		return err;
	tpi_group_end(host, group);
	return (int)slot_of(host, group);
}

/* ---- one that lies, and has no members -------------------------------------------- */

static void refill(struct tpi_host *host, uint32_t slot,
		   const struct tapio_shm_cursor *old,
		   struct tapio_shm_cursor *cursors)
{
	struct tpi_group *group = &host->groups[slot];
	bool lossless = group->policy == TAPIO_GROUP_LOSSLESS;
	struct tpi_suspect suspect = {
		.slot = slot,
		.incarnation = group->incarnation,
		.strangers = host->memory[slot].strangers,
		.isolated = tpi_channel_isolated(&host->lanes),
	};

	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		struct tapio_shm_tally tally = {0};
		struct tpi_ledger seen;
		uint64_t start, head;
		bool read = !tpi_ledger_read(&host->lanes.lanes[i],
					     &host->shm_groups[slot], &old[i],
					     &seen);

		if (read && !tpi_judge_look(&host->judge, &suspect, i, &seen)) {
			start = seen.start;
			head = seen.word & ~UINT64_C(1); /* record 0 */
			tally.skipped = seen.skipped;
			tally.lost = tpi_ledger_tallied(&seen);
		} else {
			/* The liar's true counts are not known: all of it counts
			 * as delivered. */
			head = tpi_judge_mend(&host->judge, slot, i,
					      read && lossless, &seen, &start);
		}
		cursors[i] = fresh_cursor(start, head, tally);
	}
}

void tpi_group_mend(struct tpi_broker *broker, struct tpi_host *host,
		    struct tpi_group *group)
{
	uint32_t slot = slot_of(host, group);
	struct tpi_segment old;
	char why[256];

	tpi_board_part(broker, host, slot);
	if (tpi_slot_memory_renew(host, slot, refill, &old, why, sizeof(why))) {
		tpi_log_client(&broker->log, TAPIO_LOG_ERROR,
			       "group \"%s\" of channel \"%s\" gets no other "
			       "memory, and is as it was: %s",
			       group->name, host->config->spec.name, why);
		return;
	}
	reset_control(host, slot);
	group->looks = 0;
	tpi_flood_begin(host, group);
	tpi_group_heard(broker, host, slot);
	show_slot(host, group);
	tpi_slot_memory_retire(&host->memory[slot], &old);
}

/* ---- the end of one that lies ----------------------------------------------------- */

/* The slot may serve another group at once, and they are no members of that. */
void tpi_group_dismiss(struct tpi_broker *broker, struct tpi_host *host,
		       struct tpi_group *group)
{
	struct tpi_registry *registry = &broker->registry;

	for (uint32_t i = 0; i < registry->fresh_index; i++) {
		struct tpi_attachment *attachment = &registry->attachments[i];

		if (attachment->group != group)
			continue;
		tpi_board_leave(attachment);
		attachment->group = NULL;
		attachment->kept->incarnation = TPI_STATE_NO_GROUP;
	}
	TPI_TESTPOINT("evict.dismissed");
	group->members = 0;
	show_members(host, group);
}

void tpi_group_evict(struct tpi_broker *broker, struct tpi_host *host,
		     struct tpi_group *group)
{
	struct tapio_shm_group *shm = &host->shm_groups[slot_of(host, group)];

	tpi_add_relaxed(&broker->registry.catalog.broker->evictions, 1);
	/* Relaxed: shown only. */
	tpi_store_relaxed(&shm->flags, shm->flags | TAPIO_GROUP_FLAG_EVICTED);
	TPI_TESTPOINT("evict.shown");
	/* A member is known to write where it likes. */
	tpi_board_part(broker, host, slot_of(host, group));
	host->memory[slot_of(host, group)].spent = true;
	tpi_slot_memory_note(&host->memory[slot_of(host, group)]);
	group->durable = false;
	group->configured = false;
	tpi_group_dismiss(broker, host, group);
	close_group(host, group);
	tpi_group_wake(host, slot_of(host, group));
	tpi_groups_configured(broker, host);
}

/* ---- for the successor (adopt.c) ----------------------------------------------------- */

void tpi_group_show(struct tpi_host *host, const struct tpi_group *group)
{
	show_members(host, group);
	show_slot(host, group);
}

void tpi_group_close(struct tpi_host *host, struct tpi_group *group)
{
	close_group(host, group);
}

void tpi_group_note(const struct tpi_group *group)
{
	note_group(group);
}

void tpi_group_barrier(const struct tpi_registry *registry)
{
	barrier(registry);
}
