/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attachments that a former broker has left: steps B4 and B6 of adopt.c. N1 to N4 of
 * attachments.c say why no id comes back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/registry/adopt.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

/* ---- B4: the known facts ------------------------------------------------------ */

static struct tpi_group *group_of(const struct tapio_shm_attachment *record,
				  const struct tpi_state_client *kept,
				  struct tpi_host *host)
{
	struct tpi_group *group;

	if (record->role != TAPIO_ROLE_CONSUME ||
	    record->group_slot >= TAPIO_GROUP_SLOTS)
		return NULL;
	group = &host->groups[record->group_slot];
	if (group->state != TAPIO_SLOT_ACTIVE ||
	    kept->incarnation != group->incarnation)
		return NULL;
	return group;
}

static int find_process(struct tpi_broker *broker, uint32_t index,
			struct tpi_process **process)
{
	struct tpi_registry *registry = &broker->registry;
	const struct tapio_shm_attachment *record =
		&registry->catalog.attachments[index];
	const struct tpi_former former = {
		.pid = (pid_t)record->pid,
		.start_ticks = record->start_time_ticks,
		.inode = registry->state.clients[index].inode,
		.uid = record->uid,
		.gid = record->gid,
		.rseq_verdict = record->rseq_verdict,
		.at_random = registry->state.clients[index].at_random,
		.comm = record->comm,
	};
	struct tpi_keep_key key = {TPI_KEEP_PROCESS, index};
	int pidfd = tpi_keep_take(registry->keep, key);
	int err = tpi_process_adopt(broker, process, pidfd, &former);

	/* It has the descriptor of another attachment, or a new one. That of the key was
	 * closed (keep.h). */
	if (!err && (*process)->pidfd < 0)
		tpi_keep_drop(registry->keep, key);
	else if (!err && (*process)->pidfd != pidfd)
		(void)tpi_keep_put(registry->keep, key, (*process)->pidfd);
	return err;
}

/* One that is ALIVE or DEAD. Its connection is gone. */
static int recall(struct tpi_broker *broker, uint32_t index)
{
	struct tpi_registry *registry = &broker->registry;
	const struct tapio_shm_attachment *record =
		&registry->catalog.attachments[index];
	struct tpi_attachment *attachment = &registry->attachments[index];
	struct tpi_state_client *kept = attachment->kept;
	struct tpi_host *host = &registry->hosts[record->channel];
	struct tpi_process *process;
	int err = find_process(broker, index, &process);

	if (err)
		return err;
	attachment->id = kept->id;
	attachment->role = record->role;
	attachment->host = host;
	attachment->process = process; /* its reference */
	attachment->born = kept->born;
	attachment->group = group_of(record, kept, host);
	if (attachment->group) {
		attachment->group->members++;
		tpi_board_recall(attachment);
	}
	memcpy(attachment->heard, kept->heard, sizeof(attachment->heard));
	if (kept->own_segment) {
		attachment->own_segment = kept->own_segment;
		host->own_taken |= UINT64_C(1) << kept->own_segment;
	}
	TAILQ_INSERT_TAIL(&process->attachments, attachment, of_process);
	registry->attached++;
	broker->lingering++;
	return 0;
}

static bool is_used(const struct tpi_registry *registry, uint32_t index)
{
	uint32_t state = registry->catalog.attachments[index].state;

	return state == TAPIO_ATTACHMENT_ALIVE ||
	       state == TAPIO_ATTACHMENT_DEAD;
}

/* N3 and N4: lists in the order of numbers that are in the records. */
struct order {
	uint64_t number;
	uint32_t index;
};

static int compare(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static void enlist(struct tpi_registry *registry, uint32_t index)
{
	struct tpi_attachment *attachment = &registry->attachments[index];

	if (attachment->id != TAPIO_NOBODY)
		TAILQ_INSERT_TAIL(&registry->living, attachment, living);
	else if (attachment->generation < registry->generation_max)
		STAILQ_INSERT_TAIL(&registry->free, attachment, free);
	else
		STAILQ_INSERT_TAIL(&registry->resting, attachment, free);
}

static int enlist_all(struct tpi_registry *registry)
{
	uint32_t count = registry->fresh_index;
	struct order *order = calloc(count, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 2; i < count; i++) {
		const struct tpi_attachment *a = &registry->attachments[i];

		order[i].index = i;
		order[i].number = a->id ? a->born : a->rests_since;
	}
	qsort(order + 2, count - 2, sizeof(*order), compare);
	for (uint32_t i = 2; i < count; i++)
		enlist(registry, order[i].index);
	free(order);
	return 0;
}

/* It was freed, or was given an id that no process has seen. */
static void recall_free(struct tpi_registry *registry, uint32_t index)
{
	struct tpi_attachment *attachment = &registry->attachments[index];
	struct tpi_state_client *kept = attachment->kept;

	if (kept->rests_since == TPI_STATE_IN_USE)
		kept->rests_since = registry->births;
	attachment->rests_since = kept->rests_since;
}

static void count_used(struct tpi_registry *registry)
{
	uint32_t count = registry->catalog.attachment_count;

	registry->births = registry->state.head->births;
	for (uint32_t i = 2; i < count; i++) {
		struct tpi_attachment *attachment = &registry->attachments[i];
		/* ORDER state.id (acquire): its record. Its writer is dead. */
		uint32_t id = tpi_load_acquire(&registry->state.clients[i].id);

		attachment->index = i;
		attachment->kept = &registry->state.clients[i];
		attachment->generation = TAPIO_ATTACHMENT_GENERATION(id);
		if (id)
			registry->fresh_index = i + 1;
	}
}

/* They are in no list yet. */
static void forget_all(struct tpi_registry *registry)
{
	for (uint32_t i = 2; i < registry->fresh_index; i++) {
		struct tpi_attachment *a = &registry->attachments[i];

		if (a->id == TAPIO_NOBODY)
			continue;
		a->id = TAPIO_NOBODY;
		TAILQ_REMOVE(&a->process->attachments, a, of_process);
		tpi_process_put(a->process);
	}
}

int tpi_attachments_adopt(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	int err = 0;

	count_used(registry);
	for (uint32_t i = 2; i < registry->fresh_index && !err; i++) {
		if (is_used(registry, i))
			err = recall(broker, i);
		else
			recall_free(registry, i);
	}
	if (!err)
		err = enlist_all(registry);
	if (err)
		forget_all(registry);
	return err;
}

/* ---- B6: the dead ---------------------------------------------------------------------- */

/* The former broker's id is in no word any more. */
static void take_own_id(struct tpi_registry *registry)
{
	struct tpi_attachment *own = &registry->attachments[1];

	own->generation = own->generation % TAPIO_GENERATION_MAX + 1;
	own->id = TAPIO_ATTACHMENT_ID(1, own->generation);
	registry->attachment_id = own->id;
	/* ORDER broker.attachment (release): the sweep of all that bore the last id.
	 * Pairs with the load of a successor, tpi_registry_adopt(). */
	tpi_store_release(&registry->catalog.broker->attachment, own->id);
	TPI_TESTPOINT("adopt.named");
}

static uint32_t end_dead(struct tpi_broker *broker, uint32_t *blocks)
{
	struct tpi_registry *registry = &broker->registry;
	uint32_t ended = 0;

	for (uint32_t i = 2; i < registry->fresh_index; i++) {
		struct tpi_attachment *a = &registry->attachments[i];
		uint32_t before = registry->attached;

		if (a->id == TAPIO_NOBODY)
			continue;
		if (registry->catalog.attachments[i].state ==
		    TAPIO_ATTACHMENT_DEAD)
			*blocks += tpi_attachment_end(broker, a);
		else if (tpi_process_is_dead(a->process))
			tpi_process_died(a->process,
					 "died while no broker ran");
		ended += before - registry->attached;
	}
	return ended;
}

void tpi_attachments_settle(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	uint32_t blocks, ended, groups = 0;
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry)
		if (tpi_channel_isolated(&host->lanes))
			tpi_isolation_settle(host);
	blocks = tpi_reaper_sweep_former(broker);
	ended = end_dead(broker, &blocks);
	take_own_id(registry);
	TPI_FOREACH_HOST (host, registry)
		groups += (uint32_t)__builtin_popcountll(host->shm->active);
	tpi_log(&broker->log, TAPIO_LOG_NOTICE,
		"took over the memory of the broker before: %u "
		"channel%s, %u attachment%s alive and %u ended, %u group%s, %u "
		"block%s taken back",
		registry->host_count, TPI_PLURAL(registry->host_count),
		registry->attached, TPI_PLURAL(registry->attached), ended,
		groups, TPI_PLURAL(groups), blocks, TPI_PLURAL(blocks));
}
