/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging groups by what is in their cursors, and ending those that lie. Called
 * once a second, on the broker's thread.
 *
 * judge.c tells what is impossible, and why no honest group ever shows it. One
 * look would be enough by that argument. A group is evicted after LOOKS looks
 * in a row, so that it takes three seconds, and the log has said it twice
 * before. A durable group without members is put right instead: it goes on in other
 * memory, at the last head that was possible, or at the gate (tpi_group_mend()).
 *
 * EVICTION ends the slot (tpi_group_evict()): producers compute their gates
 * without it from the new generation on. No membarrier: a gate of the old
 * generation is at most too low, and a section that is about to store one is
 * aborted by the generation. Then the group is rung: its members find that the
 * slot is not their group's, hand out what is left and return -ENOTCONN. Waiting
 * producers find room. The slot serves the next group with other memory, since a
 * process that has the old one is known to write where it likes.
 *
 * LEASES of names that are no member of the group are cleared at the first look.
 * Members are this thread's to make and to end, and a name does not come back while
 * a process can remember it, so who is not one now will not become one. It is what a former member leaves that
 * was stopped just before its swap. Its heads would be of another incarnation.
 */
#include <stdio.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/lane/cursor.h"

#define LOOKS 3 /* of TPI_TICK_NS each */

/* The result of one look at a group: the first lane of those that are wrong. */
struct verdict {
	uint32_t lanes;
	uint32_t first;
	uint32_t faults; /* of the first */
	struct tpi_ledger seen;
};

/* ---- one look ------------------------------------------------------------------ */

static void look_at_lane(struct tpi_host *host,
			 const struct tpi_suspect *suspect, uint32_t lane,
			 struct verdict *verdict)
{
	struct tpi_ledger seen;
	uint32_t faults;

	if (tpi_ledger_read(&host->lanes.lanes[lane],
			    &host->shm_groups[suspect->slot],
			    &host->cursors[suspect->slot].cursors[lane], &seen))
		return;
	faults = tpi_judge_look(&host->judge, suspect, lane, &seen);
	if (!faults)
		return;
	if (!verdict->lanes++) {
		verdict->first = lane;
		verdict->faults = faults;
		verdict->seen = seen;
	}
}

static struct tpi_suspect suspect_of(const struct tpi_host *host,
				     const struct tpi_group *group)
{
	return (struct tpi_suspect){
		.slot = (uint32_t)(group - host->groups),
		.incarnation = group->incarnation,
		.lossless =
			group->policy == TAPIO_GROUP_LOSSLESS && group->members,
		.strangers = host->memory[group - host->groups].strangers,
		.isolated = tpi_channel_isolated(&host->lanes),
	};
}

/* ---- what follows ---------------------------------------------------------------- */

static void words(char *text, size_t bytes, uint32_t faults)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int bit = 0; bit < TPI_FAULTS && used < bytes; bit++)
		if (faults >> bit & 1)
			used += (size_t)snprintf(text + used, bytes - used,
						 "%s%s", used ? ", " : "",
						 tpi_fault_name(bit));
}

static void report(struct tpi_broker *broker, const struct tpi_host *host,
		   const struct tpi_group *group, const struct verdict *verdict,
		   const char *what)
{
	const struct tpi_ledger *seen = &verdict->seen;
	char faults[64];

	words(faults, sizeof(faults), verdict->faults);
	tpi_log_client(
		&broker->log, TAPIO_LOG_WARNING,
		"group \"%s\" (slot %u, uid %u) of channel \"%s\" %s: "
		"impossible %s on lane %u and %u others: head %llu of "
		"incarnation %u (the group's is %u), gate %llu, tail "
		"%llu, skipped %llu, lost %llu (look %u of %d)",
		group->name, (unsigned int)(group - host->groups), group->uid,
		host->config->spec.name, what, faults, verdict->first,
		verdict->lanes - 1, (unsigned long long)seen->head,
		TAPIO_HEAD_INCARNATION(seen->word), group->incarnation,
		(unsigned long long)seen->gate, (unsigned long long)seen->tail,
		(unsigned long long)seen->skipped,
		(unsigned long long)seen->lost, group->looks, LOOKS);
}

static void mend(struct tpi_broker *broker, struct tpi_host *host,
		 struct tpi_group *group, const struct verdict *verdict)
{
	report(broker, host, group, verdict, "is put right");
	tpi_group_mend(broker, host, group);
}

static void judge_group(struct tpi_broker *broker, struct tpi_host *host,
			struct tpi_group *group)
{
	struct tapio_shm_broker *shm = broker->registry.catalog.broker;
	struct tpi_suspect suspect = suspect_of(host, group);
	struct verdict verdict = {0};
	bool cleared;

	if (tpi_flood_look(broker, host, group))
		return;
	cleared = tpi_leases_clear(broker, host, group, TAPIO_NOBODY);
	for (uint32_t i = 0; i < host->lanes.lane_count; i++)
		look_at_lane(host, &suspect, i, &verdict);
	if (!verdict.lanes) {
		group->looks = 0;
	} else if (!group->members) {
		mend(broker, host, group, &verdict);
	} else {
		tpi_add_relaxed(&shm->suspicions, 1);
		group->looks++;
		report(broker, host, group, &verdict,
		       group->looks < LOOKS ? "is suspected" : "is evicted");
		if (group->looks == LOOKS)
			tpi_group_evict(broker, host, group);
	}
	if (cleared)
		tpi_group_wake(host, suspect.slot);
}

void tpi_evict_tick(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry)
		for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
			if (host->groups[i].state == TAPIO_SLOT_ACTIVE)
				judge_group(broker, host, &host->groups[i]);
			if (host->groups[i].state == TAPIO_SLOT_ACTIVE)
				tpi_group_mend_bell(host, i);
			if (host->shm_groups[i].flags &
			    TAPIO_GROUP_FLAG_UNHEARD)
				tpi_group_heard(broker, host, i);
		}
	/* Those that were evicted, and for which there was no memory then. */
	TPI_FOREACH_HOST (host, registry)
		tpi_groups_configured(broker, host);
}
