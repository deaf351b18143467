/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The groups that a former broker has left: steps B4, B5 and B7 of
 * broker/registry/adopt.c, whose head has the table of all that a kill can leave half done.
 * Called once, at start, before anybody is served.
 */
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/group/group_inner.h"
#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"

/* ---- B4: the known facts --------------------------------------------------- */

static void recall(struct tpi_host *host, uint32_t slot)
{
	const struct tapio_shm_group *shm = &host->shm_groups[slot];
	struct tpi_group *group = &host->groups[slot];
	const struct tpi_state_slot *kept = group->kept;
	/* ORDER group.slot (acquire): the description before it. Its writer is dead. */
	uint64_t word = tpi_load_acquire(&shm->slot);

	group->state = TAPIO_SLOT_STATE(word);
	group->incarnation = TAPIO_SLOT_INCARNATION(word);
	group->lag = TAPIO_SLOT_LAG(word);
	group->far = word & TAPIO_SLOT_FAR;
	group->policy = shm->policy;
	group->durable = shm->flags & TAPIO_GROUP_FLAG_DURABLE;
	group->takeover_ns = shm->takeover_ns;
	group->uid = shm->uid;
	memcpy(group->name, shm->name, sizeof(group->name) - 1);
	group->configured = kept->flags & TPI_STATE_CONFIGURED;
	group->private = kept->flags & TPI_STATE_PRIVATE;
	group->filter = (struct tpi_group_filter){
		.severity_min = kept->severity_min,
		.class_mask = kept->class_mask,
		.types = kept->types,
	};
	tpi_slot_memory_recall(&host->memory[slot]);
}

void tpi_groups_recall(struct tpi_broker *broker)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, &broker->registry) {
		for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
			recall(host, i);
		for (uint32_t i = 0; i < host->node_count; i++)
			tpi_slot_memory_recall(&host->own_memory[i]);
	}
}

/* ---- B5: made whole ---------------------------------------------------------------- */

/* The join was not answered, so no client knows of it. */
static bool is_joining(const struct tpi_host *host,
		       const struct tpi_group *group)
{
	/* ORDER group.admitted (acquire): J4. Its writer is dead. */
	uint32_t admitted = tpi_load_acquire(
		&host->shm_groups[group - host->groups].admitted);

	return (admitted & TAPIO_INCARNATION_MASK) != group->incarnation;
}

static bool was_evicted(const struct tpi_host *host,
			const struct tpi_group *group)
{
	return host->shm_groups[group - host->groups].flags &
	       TAPIO_GROUP_FLAG_EVICTED;
}

static void resume_judge(struct tpi_host *host, const struct tpi_group *group)
{
	uint32_t slot = (uint32_t)(group - host->groups);
	struct tpi_ledger seen;

	for (uint32_t i = 0; i < host->lanes.lane_count; i++)
		if (!tpi_ledger_read(&host->lanes.lanes[i],
				     &host->shm_groups[slot],
				     &host->cursors[slot].cursors[i], &seen))
			tpi_judge_resume(&host->judge, slot, i,
					 group->incarnation,
					 host->memory[slot].strangers, &seen);
}

static void end(struct tpi_broker *broker, struct tpi_host *host,
		struct tpi_group *group)
{
	struct tpi_slot_memory *memory = &host->memory[group - host->groups];

	if (was_evicted(host, group)) {
		tpi_board_part(broker, host, (uint32_t)(group - host->groups));
		memory->spent = true;
		tpi_slot_memory_note(memory);
	}
	tpi_group_dismiss(broker, host, group);
	tpi_group_close(host, group);
	TPI_TESTPOINT("adopt.closed");
}

static bool is_over(const struct tpi_host *host, const struct tpi_group *group)
{
	return was_evicted(host, group) || is_joining(host, group) ||
	       (!group->members && !group->durable);
}

static void settle(struct tpi_broker *broker, struct tpi_host *host,
		   struct tpi_group *group)
{
	uint32_t slot = (uint32_t)(group - host->groups);

	if (group->state == TAPIO_SLOT_ACTIVE && is_over(host, group))
		end(broker, host, group);
	if (group->state != TAPIO_SLOT_ACTIVE) {
		/* The bit in `active`, or the generation, may be missing. */
		tpi_group_show(host, group);
		return;
	}
	tpi_flood_begin(host, group);
	tpi_group_heard(broker, host, slot);
	tpi_group_mend_bell(host, slot);
	tpi_group_show(host, group);
	TPI_TESTPOINT("adopt.shown");
	resume_judge(host, group);
	tpi_leases_clear(broker, host, group, TAPIO_NOBODY);
	TPI_TESTPOINT("adopt.leases");
}

void tpi_groups_make_whole(struct tpi_broker *broker)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, &broker->registry)
		for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
			settle(broker, host, &host->groups[i]);
	TPI_FOREACH_HOST (host, &broker->registry)
		tpi_boards_show(host);
	tpi_group_barrier(&broker->registry);
}

/* ---- B7: the configuration of now --------------------------------------------------- */

/* Its members keep the agreement of their join. */
static void change(struct tpi_broker *broker, struct tpi_host *host,
		   struct tpi_group *group, const struct tpi_config_group *to)
{
	if (!tpi_group_is_changed(group, to))
		return;
	if (group->members) {
		tpi_log(&broker->log, TAPIO_LOG_WARNING,
			"channel \"%s\": the configuration changes group "
			"\"%s\", which has %u members: it stays as it is until "
			"a start without members",
			host->config->spec.name, group->name, group->members);
		return;
	}
	tpi_group_retune(host, group, to);
	tpi_log(&broker->log, TAPIO_LOG_NOTICE,
		"channel \"%s\": group \"%s\" has the policy and the lag of "
		"the configuration now",
		host->config->spec.name, group->name);
}

static void reconcile(struct tpi_broker *broker, struct tpi_host *host,
		      struct tpi_group *group)
{
	const struct tpi_config_group *to =
		tpi_group_named(host->config, group->name);

	if (group->state != TAPIO_SLOT_ACTIVE || group->private)
		return;
	if (group->configured && to) {
		change(broker, host, group, to);
	} else if (group->configured) {
		group->configured = false;
		tpi_group_note(group);
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"channel \"%s\": the configuration does not name group "
			"\"%s\" any more: it is a durable group of uid %u now, "
			"with its place, until it is removed (tapio-group)",
			host->config->spec.name, group->name, group->uid);
	} else if (to) {
		tpi_log(&broker->log, TAPIO_LOG_WARNING,
			"channel \"%s\": group \"%s\" of uid %u has the name "
			"of one in the configuration: remove it (tapio-group) "
			"to have the configured one",
			host->config->spec.name, group->name, group->uid);
	}
}

/*
 * An older broker, which was between, has let producers in that ring once for an announcement,
 * and has not said so. It has not noted either that they know more.
 */
static void say_who_rings_once(struct tpi_registry *registry)
{
	for (uint32_t i = 0; i < registry->fresh_index; i++) {
		struct tpi_attachment *a = &registry->attachments[i];

		if (a->id != TAPIO_NOBODY && a->role == TAPIO_ROLE_PRODUCE &&
		    a->host && !a->kept->board)
			tpi_host_ring_once(a->host);
	}
}

void tpi_groups_reconcile(struct tpi_broker *broker)
{
	struct tpi_host *host;

	say_who_rings_once(&broker->registry);
	TPI_FOREACH_HOST (host, &broker->registry) {
		for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
			reconcile(broker, host, &host->groups[i]);
		/* A sleeper may have missed a bell between a store and its ring. */
		tpi_host_wake(host);
	}
}
