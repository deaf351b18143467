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
 *  J2  the slot becomes ACTIVE, then generation + 1 (release): whoever sees the
 *	new generation sees the slot and heads;
 *  J3  membarrier(GLOBAL_EXPEDITED): from here on no producer has a gate of the
 *	old generation in its store buffer, and none will store another one;
 *  J4  each head is raised to its lane's tail as read now. A gate that was
 *	computed without the group is at most the tail its producer saw, which is
 *	at most this one; a gate computed with it is at most its head. So nothing
 *	at or after the head has been given away;
 *  J5  `admitted`, and only then the answer with the writable descriptor.
 *
 * SLOTS. A slot's cursors are one file, and who was given it writable can write
 * it as long as it lives. So a slot whose group has ended is CLOSED until every
 * process that was given it is dead; for a group of the same uid it is enough
 * that they have left. Heads carry the group's incarnation, so that a former
 * member that wakes up late is no news.
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
 * No membarrier would do for P2: a producer may have compared the generation and not
 * yet stored its gate when the interrupt comes, for as long as it is stopped there.
 * SIGKILL of the broker between P1 and P3: the channel ends with it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/consumer.h>

#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"
#include "lib/lane/histogram.h"
#include "lib/lane/wake.h"
#include "lib/memory/policy.h"

/* Slots of groups that one uid's processes had, and were evicted from. */
#define EVICTED_MAX 8

static uint32_t slot_of(const struct tpi_host *host,
			const struct tpi_group *group)
{
	return (uint32_t)(group - host->groups);
}

/* ---- what producers see -------------------------------------------------------- */

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
	active = group->state == TAPIO_SLOT_ACTIVE ? active | bit
						   : active & ~bit;
	/* Relaxed: `active` says whose doorbells to look at; a producer that
	 * sees it late rings late, and sleeps are bounded. The generation below
	 * orders it for the gate. */
	tpi_store_relaxed(&host->shm->active, active);
	/* ORDER channel.generation (release): slots and heads before it. Pairs
	 * with the acquire in tpi_gate_compute(). */
	tpi_store_release(&host->shm->generation, host->shm->generation + 1);
}

static uint64_t tail_of(const struct tpi_host *host, uint32_t lane)
{
	return TAPIO_STATE_TAIL(tpi_lane_peek(&host->lanes.lanes[lane]));
}

/* J1: as fresh; nobody else looks at the slot, and no old member is believed. */
static void reset_cursors(struct tpi_host *host, const struct tpi_group *group)
{
	uint32_t slot = slot_of(host, group);
	struct tpi_cursors *cursors = &host->cursors[slot];
	struct tapio_shm_doorbells *doorbells = host->lanes.doorbells;

	/* Not zero: a producer rings when `armed` is ahead of its `answered`. */
	tpi_store_relaxed(&cursors->control->armed,
			  tpi_load_relaxed(&doorbells->answered[slot]));
	tpi_store_relaxed(&cursors->control->room_answered,
			  tpi_load_relaxed(&doorbells->room_armed));
	if (cursors->histogram)
		tpi_histogram_clear(cursors->histogram);
	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		struct tapio_shm_cursor fresh = {0};

		fresh.start = tail_of(host, i);
		/* The cell that the lease of nobody names. */
		fresh.cells[0].owner = TAPIO_CELL_GIVEN;
		for (int k = 0; k < TAPIO_CELLS; k++)
			fresh.cells[k].head =
				TAPIO_HEAD(fresh.start, group->incarnation, 0);
		memcpy(&cursors->cursors[i], &fresh, sizeof(fresh));
	}
}

/* J4: to the tails of now, which no gate of the old generation has passed. */
static void raise_heads(struct tpi_host *host, const struct tpi_group *group)
{
	struct tpi_cursors *cursors = &host->cursors[slot_of(host, group)];

	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		struct tapio_shm_cursor *cursor = &cursors->cursors[i];
		uint64_t tail = tail_of(host, i);

		cursor->start = tail;
		/* ORDER cursor.head (release): as a member's release. Pairs
		 * with the acquire in tpi_gate_compute(). */
		tpi_store_release(&cursor->cells[0].head,
				  TAPIO_HEAD(tail, group->incarnation, 0));
		tpi_judge_begin(&host->judge, slot_of(host, group), i, tail,
				group->incarnation);
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

/* Any class is 0, however it was asked for. */
static uint32_t class_mask(const struct tpi_host *host, uint32_t mask)
{
	uint32_t all = (1u << host->config->spec.class_count) - 1;

	if ((mask & all) == all)
		return 0;
	return mask & all ? mask & all : mask;
}

/* The first member's, also where there were others before. */
static void take_filter(struct tpi_host *host, struct tpi_group *group,
			const struct tpi_group_filter *filter)
{
	uint32_t mask = class_mask(host, filter->class_mask);
	uint64_t digest = filter->types;

	group->filter = *filter;
	group->filter.class_mask = mask;
	if (filter->severity_min || mask)
		digest = digest * 31 + ((uint64_t)mask << 4) +
			 filter->severity_min;
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
	group->incarnation = (group->incarnation + 1) & TAPIO_INCARNATION_MASK;
	group->openings++;
	group->looks = 0;
	reset_cursors(host, group);
	describe(host, group);
	group->state = TAPIO_SLOT_ACTIVE;
	show_slot(host, group);
	barrier(&broker->registry);
	raise_heads(host, group);
	/* ORDER group.admitted (release): the heads of J4 before it. Pairs with
	 * the acquire of a broker that takes over, and of the ledger. */
	tpi_store_release(&host->shm_groups[slot_of(host, group)].admitted,
			  group->incarnation);
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

/* PROMOTION, as described at the head of this file. */
static void promote(struct tpi_host *host, const struct tpi_group *group)
{
	show_slot(host, group);
	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		pass_over(host, group, i, tpi_gate_seal(&host->lanes.lanes[i]));
		TPI_TESTPOINT("promote.sealed");
	}
}

/* ---- slots ------------------------------------------------------------------------ */

static struct tpi_holder *holder_of(struct tpi_group *group,
				    const struct tpi_process *process)
{
	struct tpi_holder *holder;

	LIST_FOREACH (holder, &group->holders, link)
		if (holder->process == process)
			return holder;
	return NULL;
}

/* `since`: the opening of the group that it joins. */
static int hold(struct tpi_group *group, struct tpi_process *process,
		uint64_t since)
{
	struct tpi_holder *holder = holder_of(group, process);

	if (!holder) {
		holder = calloc(1, sizeof(*holder));
		if (!holder)
			return -ENOMEM;
		holder->process = process;
		holder->since = since;
		tpi_process_get(process);
		LIST_INSERT_HEAD(&group->holders, holder, link);
	}
	holder->attached++;
	return 0;
}

/* All who could still write the slot have left it and are of that uid. */
static bool reusable_by(const struct tpi_group *group, uid_t uid)
{
	const struct tpi_holder *holder;

	if (group->state != TAPIO_SLOT_CLOSED || group->evicted)
		return false;
	LIST_FOREACH (holder, &group->holders, link)
		if (holder->attached || holder->process->uid != uid)
			return false;
	return true;
}

static uint32_t count_active(const struct tpi_host *host)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		count += host->groups[i].state == TAPIO_SLOT_ACTIVE;
	return count;
}

static struct tpi_group *unused_slot(struct tpi_host *host)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (host->groups[i].state == TAPIO_SLOT_FREE)
			return &host->groups[i];
	return NULL;
}

/* Closed ones first, so that one uid's comings and goings keep to one slot. */
static struct tpi_group *free_slot(struct tpi_host *host, uid_t uid)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (reusable_by(&host->groups[i], uid))
			return &host->groups[i];
	return unused_slot(host);
}

static void close_group(struct tpi_host *host, struct tpi_group *group)
{
	group->state = LIST_EMPTY(&group->holders) ? TAPIO_SLOT_FREE
						   : TAPIO_SLOT_CLOSED;
	group->evicted &= group->state == TAPIO_SLOT_CLOSED;
	show_slot(host, group);
}

/* Slots that this uid's evicted processes keep from everybody by living on. */
static uint32_t count_evicted(const struct tpi_host *host, uid_t uid)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		count += host->groups[i].evicted && host->groups[i].uid == uid;
	return count;
}

static void release(struct tpi_holder *holder)
{
	struct tpi_process *process = holder->process;

	LIST_REMOVE(holder, link);
	free(holder);
	tpi_process_put(process);
}

static void forget_in_host(struct tpi_host *host,
			   const struct tpi_process *process)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		struct tpi_group *group = &host->groups[i];
		struct tpi_holder *holder = holder_of(group, process);

		if (!holder)
			continue;
		release(holder);
		if (group->state == TAPIO_SLOT_CLOSED &&
		    LIST_EMPTY(&group->holders))
			close_group(host, group);
	}
}

void tpi_groups_forget(struct tpi_broker *broker, struct tpi_process *process)
{
	for (uint32_t i = 0; i < broker->registry.host_count; i++) {
		forget_in_host(&broker->registry.hosts[i], process);
		/* Those that were evicted and found no slot then. */
		tpi_groups_configured(broker, &broker->registry.hosts[i]);
	}
}

void tpi_host_forget(struct tpi_host *host)
{
	struct tpi_holder *holder;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		while ((holder = LIST_FIRST(&host->groups[i].holders)))
			release(holder);
}

/* ---- what is asked for ------------------------------------------------------------- */

static struct tpi_group *find_group(struct tpi_host *host, const char *name)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		struct tpi_group *group = &host->groups[i];

		if (group->state == TAPIO_SLOT_ACTIVE && !group->private &&
		    !strcmp(group->name, name))
			return group;
	}
	return NULL;
}

/* May do everything, also with what others have made. */
static bool is_owner(const struct tpi_broker *broker, uid_t uid)
{
	return broker->config.trust_owner && (uid == 0 || uid == geteuid());
}

#define FILTER_TEXT 96

/* As tools show it: a set of types by its digest. */
static void describe_filter(char out[FILTER_TEXT], uint32_t severity_min,
			    uint32_t mask, uint64_t types)
{
	char classes[24] = "all", set[24] = "all";

	if (mask)
		snprintf(classes, sizeof(classes), "0x%x", mask);
	if (types)
		snprintf(set, sizeof(set), "#%016llx",
			 (unsigned long long)types);
	snprintf(out, FILTER_TEXT, "{severity >= %u, classes %s, types %s}",
		 severity_min, classes, set);
}

/*
 * Members read for one another: an event that one of them passes over, no other one
 * sees. So all that are members at the same time have one filter. A durable group
 * without members takes that of its next first member.
 */
static int check_filter(const struct tpi_host *host,
			const struct tpi_group *group,
			const struct tpi_group_filter *filter, char *error,
			size_t error_bytes)
{
	const struct tpi_group_filter *theirs = &group->filter;
	uint32_t mask = class_mask(host, filter->class_mask);

	char has[FILTER_TEXT], wants[FILTER_TEXT];

	if (!group->members ||
	    (filter->severity_min == theirs->severity_min &&
	     mask == theirs->class_mask && filter->types == theirs->types))
		return 0;
	describe_filter(has, theirs->severity_min, theirs->class_mask,
			theirs->types);
	describe_filter(wants, filter->severity_min, mask, filter->types);
	return tpi_fail(-EBUSY, error, error_bytes,
			"group \"%s\" has members with the filter %s, not %s",
			group->name, has, wants);
}

/* Joining what exists: with the same options, or with none. */
static int check_existing(const struct tpi_host *host,
			  const struct tpi_group *group,
			  const struct tpi_process *process,
			  const struct tpi_group_request *request, bool owner,
			  char *error, size_t error_bytes)
{
	if (!group->configured && group->uid != process->uid && !owner)
		return tpi_fail(-EACCES, error, error_bytes,
				"group \"%s\" belongs to uid %u, and this "
				"client is uid %u (a group that the "
				"configuration names is open to all who may "
				"consume)",
				group->name, group->uid, process->uid);
	if (request->policy != TAPIO_GROUP_DEFAULT &&
	    request->policy != group->policy)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists with policy %s, not %s",
				group->name, tpi_policy_name(group->policy),
				tpi_policy_name(request->policy));
	if (request->policy == TAPIO_GROUP_UNTIL && request->lag != group->lag)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists with lag %u, not %u",
				group->name, group->lag, request->lag);
	if (request->durable && !group->durable)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists and is not durable",
				group->name);
	if (request->takeover_ns && request->takeover_ns != group->takeover_ns)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists with a takeover after "
				"%lld ns, not %lld (-1: never)",
				group->name, (long long)group->takeover_ns,
				(long long)request->takeover_ns);
	return check_filter(host, group, &request->filter, error, error_bytes);
}

/* Of the channel's largest lanes. */
static uint32_t most_positions(const struct tpi_host *host)
{
	const struct tpi_channel_spec *spec = &host->config->spec;
	uint32_t most = 0;

	for (uint32_t i = 0; i < spec->class_count; i++) {
		if (spec->classes[i].block_count > most)
			most = spec->classes[i].block_count;
		if (spec->classes[i].side_count > most)
			most = spec->classes[i].side_count;
	}
	return most;
}

/* On smaller lanes producers apply the same limit by themselves (TAPIO_SLOT_FAR). */
static int check_lag(const struct tpi_host *host,
		     const struct tpi_group_request *request, char *error,
		     size_t error_bytes)
{
	uint32_t most = most_positions(host);

	if (request->may_lossless || request->lag <= most / 2)
		return 0;
	return tpi_fail(-EPERM, error, error_bytes,
			"lag %u: without the role lossless a group on channel "
			"\"%s\" may hold at most %u of the %u positions of its "
			"largest lanes",
			request->lag, host->config->spec.name, most / 2, most);
}

static int check_request(const struct tpi_host *host,
			 const struct tpi_group_request *request, char *error,
			 size_t error_bytes)
{
	uint32_t most = most_positions(host);

	if (request->policy > TAPIO_GROUP_LOSSLESS)
		return tpi_fail(-EINVAL, error, error_bytes,
				"group policy %u is not one of 0 to %d",
				request->policy, TAPIO_GROUP_LOSSLESS);
	if (request->policy == TAPIO_GROUP_LOSSLESS && !request->may_lossless)
		return tpi_fail(-EPERM, error, error_bytes,
				"a lossless group on channel \"%s\" needs the "
				"role lossless, which no allow rule grants: it "
				"could stop producers without a limit",
				host->config->spec.name);
	if (request->lag >= most)
		return tpi_fail(-EINVAL, error, error_bytes,
				"lag %u: lanes of channel \"%s\" have %u "
				"positions, and a lag must be smaller",
				request->lag, host->config->spec.name, most);
	if (request->durable && !request->name[0])
		return tpi_fail(-EINVAL, error, error_bytes,
				"a durable group needs a name");
	return 0;
}

static int make_group(struct tpi_broker *broker, struct tpi_host *host,
		      const struct tpi_attachment *attachment,
		      const struct tpi_group_request *request,
		      struct tpi_group **out, char *error, size_t error_bytes)
{
	uint32_t active = count_active(host);
	struct tpi_group *group;
	int err = check_lag(host, request, error, error_bytes);

	(void)broker;
	if (err)
		return err;
	if (active >= host->config->groups_max)
		return tpi_fail(-EUSERS, error, error_bytes,
				"channel \"%s\" has %u groups, groups_max is "
				"%u",
				host->config->spec.name, active,
				host->config->groups_max);
	if (count_evicted(host, attachment->process->uid) >= EVICTED_MAX)
		return tpi_fail(-EUSERS, error, error_bytes,
				"channel \"%s\": uid %u was evicted from %d "
				"groups, and processes that had them are still "
				"running",
				host->config->spec.name,
				attachment->process->uid, EVICTED_MAX);
	group = free_slot(host, attachment->process->uid);
	if (!group)
		return tpi_fail(-EUSERS, error, error_bytes,
				"channel \"%s\": %u of %d group slots are in "
				"use, the others were given to processes of "
				"other uids that are still running",
				host->config->spec.name, active,
				TAPIO_GROUP_SLOTS);
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

static const struct tpi_config_group *configured(const struct tpi_host *host,
						 const char *name)
{
	for (uint32_t i = 0; i < host->config->group_count; i++)
		if (!strcmp(host->config->groups[i].name, name))
			return &host->config->groups[i];
	return NULL;
}

void tpi_groups_configured(struct tpi_broker *broker, struct tpi_host *host)
{
	struct tpi_group *group;

	for (uint32_t i = 0; i < host->config->group_count; i++) {
		const struct tpi_config_group *from = &host->config->groups[i];

		if (find_group(host, from->name))
			continue;
		/* A slot that nobody else can write: it is for all uids. */
		group = unused_slot(host);
		if (!group)
			return;
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
	}
}

/* One of the configuration's may be gone for want of a slot. */
static struct tpi_group *find_or_restore(struct tpi_broker *broker,
					 struct tpi_host *host,
					 const char *name)
{
	struct tpi_group *group = find_group(host, name);

	if (!group && configured(host, name)) {
		tpi_groups_configured(broker, host);
		group = find_group(host, name);
	}
	return group;
}

/* ---- joining and leaving ----------------------------------------------------------- */

int tpi_group_join(struct tpi_broker *broker, struct tpi_attachment *attachment,
		   const struct tpi_group_request *request, bool *first,
		   char *error, size_t error_bytes)
{
	struct tpi_process *process = attachment->process;
	struct tpi_host *host = attachment->host;
	struct tpi_group *group = NULL;
	bool owner = is_owner(broker, process->uid);
	int err = check_request(host, request, error, error_bytes);

	if (err)
		return err;
	if (request->name[0])
		group = find_or_restore(broker, host, request->name);
	if (!group && configured(host, request->name))
		return tpi_fail(-EUSERS, error, error_bytes,
				"group \"%s\" was evicted, and no slot is free "
				"to begin it anew",
				request->name);
	*first = !group;
	err = group ? check_existing(host, group, process, request, owner,
				     error, error_bytes)
		    : make_group(broker, host, attachment, request, &group,
				 error, error_bytes);
	if (err)
		return err;
	err = hold(group, process, group->openings + *first);
	if (err)
		return tpi_fail(err, error, error_bytes, "out of memory");
	if (!group->members++)
		take_filter(host, group, &request->filter);
	if (*first)
		open_group(broker, host, group);
	else if (group->members == 1 && group->policy == TAPIO_GROUP_LOSSLESS)
		promote(host, group);
	show_members(host, group);
	attachment->group = group;
	return 0;
}

void tpi_group_leave(struct tpi_broker *broker,
		     struct tpi_attachment *attachment)
{
	struct tpi_host *host = attachment->host;
	struct tpi_group *group = attachment->group;
	struct tpi_holder *holder = holder_of(group, attachment->process);

	(void)broker;
	if (holder)
		holder->attached--;
	group->members--;
	attachment->group = NULL;
	show_members(host, group);
	if (group->members)
		return;
	if (!group->durable)
		close_group(host, group);
	else if (group->policy == TAPIO_GROUP_LOSSLESS)
		show_slot(host, group);
}

/* ---- removing ------------------------------------------------------------------------ */

static int check_remove(const struct tpi_host *host,
			const struct tpi_group *group, uid_t uid, bool owner,
			const char *name, char *error, size_t error_bytes)
{
	const char *channel = host->config->spec.name;

	if (!group)
		return tpi_fail(-ENXIO, error, error_bytes,
				"channel \"%s\" has no group \"%s\"", channel,
				name);
	if (group->configured)
		return tpi_fail(
			-EPERM, error, error_bytes,
			"group \"%s\" of channel \"%s\" is named in the "
			"configuration and cannot be removed",
			name, channel);
	if (group->uid != uid && !owner)
		return tpi_fail(-EACCES, error, error_bytes,
				"group \"%s\" of channel \"%s\" belongs to uid "
				"%u, and this client is uid %u",
				name, channel, group->uid, uid);
	if (group->members)
		return tpi_fail(
			-EBUSY, error, error_bytes,
			"group \"%s\" of channel \"%s\" has %u member%s", name,
			channel, group->members, TPI_PLURAL(group->members));
	return 0;
}

int tpi_group_remove(struct tpi_broker *broker, struct tpi_host *host,
		     uid_t uid, const char *name, char *error,
		     size_t error_bytes)
{
	struct tpi_group *group = find_group(host, name);
	int err = check_remove(host, group, uid, is_owner(broker, uid), name,
			       error, error_bytes);

	if (err)
		return err;
	group->durable = false;
	close_group(host, group);
	/* Producers that waited for it have room now. */
	tpi_group_wake(host, slot_of(host, group));
	return (int)slot_of(host, group);
}

/* ---- the end of one that lies ----------------------------------------------------- */

void tpi_group_evict(struct tpi_broker *broker, struct tpi_host *host,
		     struct tpi_group *group)
{
	struct tapio_shm_group *shm = &host->shm_groups[slot_of(host, group)];

	tpi_add_relaxed(&broker->registry.catalog.broker->evictions, 1);
	/* Relaxed: shown only. */
	tpi_store_relaxed(&shm->flags, shm->flags | TAPIO_GROUP_FLAG_EVICTED);
	group->evicted = true;
	group->durable = false;
	group->configured = false;
	close_group(host, group);
	tpi_groups_configured(broker, host);
	tpi_group_wake(host, slot_of(host, group));
}
