/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes back what the dead leave behind: blocks that they had reserved, side
 * lanes, leases, a place in a group, and sleepers that no other process will
 * wake.
 *
 * Run when a pidfd says that a process is dead, when a client detaches, and when
 * an image is gone (execve). None of it stops anybody: blocks go back by one
 * compare-and-swap each (lib/lane/sweep.c) and, from the lane's own CPU, by one
 * discard, for which a thread moves there (mover.c). Where it may not, the blocks
 * are left ABANDONED and the next producer on that CPU takes them.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/broker.h"
#include "broker/repair/mover.h"
#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"

#define ALL_LANES_TICKS 16

/* ---- blocks -------------------------------------------------------------------- */

/* One sweep: the attachment that is swept, where, and the one that sweeps. */
struct sweep {
	struct tpi_broker *broker;
	struct tpi_host *host;
	uint32_t dead;
	bool hinted; /* only lanes that hint at abandoned blocks */
	uint32_t found;
};

static void sweep_lane(struct sweep *sweep, const struct tpi_lane *lane,
		       uint32_t dead, bool on_cpu)
{
	uint32_t me = sweep->broker->registry.attachment_id;
	int n = tpi_lane_sweep(lane, dead, me, on_cpu);

	sweep->found += (uint32_t)n;
}

static bool holds(const struct tpi_lane *lane)
{
	return TAPIO_STATE_HELD(tpi_lane_peek(lane)) != 0;
}

/* Everything that was abandoned here before now. This thread is on the CPU. */
static void sweep_abandoned(struct sweep *sweep, const struct tpi_lane *lane)
{
	tpi_store_relaxed(&lane->shm->hint, 0);
	/* The hint before the scan: a block that is abandoned after the scan
	 * passed it sets the hint again, and MUST do so after this. */
	tpi_fence_full();
	sweep_lane(sweep, lane, TAPIO_ABANDONED, true);
}

/* First the blocks that `dead` holds, then the abandoned ones: see
 * tpi_lane_abandon(). */
static void sweep_cpu_lane(struct sweep *sweep, const struct tpi_lane *lane,
			   bool may_move)
{
	bool on_cpu;

	if (!holds(lane))
		return;
	on_cpu = may_move && tpi_mover_go(lane->cpu);
	if (sweep->dead != TAPIO_ABANDONED)
		sweep_lane(sweep, lane, sweep->dead, on_cpu);
	if (on_cpu)
		sweep_abandoned(sweep, lane);
}

/* A side lane is swept by its owner. So we are the owner until it is done. */
static void sweep_side_lane(struct sweep *sweep, const struct tpi_lane *lane)
{
	uint32_t me = sweep->broker->registry.attachment_id;
	uint32_t owner =
		sweep->dead == TAPIO_ABANDONED ? TAPIO_NOBODY : sweep->dead;

	if (owner == TAPIO_NOBODY && !holds(lane))
		return;
	/* ORDER lane.owner (acq_rel): all that the last owner did to the lane
	 * comes before our work. Pairs with the release by its owner, and with
	 * the swap of the next one (client/). */
	if (!tpi_cas_acq_rel(&lane->shm->owner, &owner, me))
		return;
	if (holds(lane)) {
		if (sweep->dead != TAPIO_ABANDONED)
			sweep_lane(sweep, lane, sweep->dead, true);
		sweep_abandoned(sweep, lane);
	}
	/* ORDER lane.owner (release): as above. */
	tpi_store_release(&lane->shm->owner, TAPIO_NOBODY);
}

static bool is_swept(const struct sweep *sweep, const struct tpi_lane *lane)
{
	/* Relaxed: it is a hint. */
	return !sweep->hinted || tpi_load_relaxed(&lane->shm->hint);
}

static void sweep_lanes(void *arg, bool may_move)
{
	struct sweep *sweep = arg;
	const struct tpi_channel *channel = &sweep->host->lanes;

	for (uint32_t i = 0; i < channel->lane_count; i++) {
		const struct tpi_lane *lane = &channel->lanes[i];

		if (!is_swept(sweep, lane))
			continue;
		if (lane->cpu == TAPIO_CPU_SIDE)
			sweep_side_lane(sweep, lane);
		else
			sweep_cpu_lane(sweep, lane, may_move);
	}
}

/* Whether a block is out on a lane of a CPU, in the hands of anybody. */
static bool must_move(const struct sweep *sweep)
{
	const struct tpi_channel *channel = &sweep->host->lanes;

	for (uint32_t i = 0; i < channel->lane_count; i++) {
		const struct tpi_lane *lane = &channel->lanes[i];

		if (lane->cpu != TAPIO_CPU_SIDE && is_swept(sweep, lane) &&
		    holds(lane))
			return true;
	}
	return false;
}

/* Every lane of a channel, or only those that hint at abandoned blocks. */
static uint32_t sweep_host(struct tpi_broker *broker, struct tpi_host *host,
			   uint32_t dead, bool hinted)
{
	struct tapio_shm_broker *shm = broker->registry.catalog.broker;
	struct sweep sweep = {
		.broker = broker, .host = host, .dead = dead, .hinted = hinted};

	/* Memory that serves one attachment needs none of its blocks back. */
	if (tpi_channel_isolated(&host->lanes))
		return 0;
	if (must_move(&sweep))
		tpi_mover_run(sweep_lanes, &sweep);
	else
		sweep_lanes(&sweep, false);
	tpi_add_relaxed(&shm->sweeps, 1);
	tpi_add_relaxed(&shm->swept_blocks, sweep.found);
	return sweep.found;
}

/* ---- blocks of a former broker ------------------------------------------------------ */

/*
 * The former broker owned a dead producer's side lane while it swept there. The dead one's
 * name is not on the lane any more, so the sweep of its end will pass the lane by.
 */
static void sweep_for_dead(struct sweep *sweep, const struct tpi_lane *lane)
{
	const struct tpi_registry *registry = &sweep->broker->registry;

	/* Relaxed: the former broker is dead. */
	if (tpi_channel_isolated(&sweep->host->lanes) ||
	    lane->cpu != TAPIO_CPU_SIDE ||
	    tpi_load_relaxed(&lane->shm->owner) != registry->attachment_id)
		return;
	for (uint32_t i = 2; i < registry->fresh_index; i++) {
		const struct tpi_attachment *a = &registry->attachments[i];

		if (a->id != TAPIO_NOBODY && a->host == sweep->host &&
		    registry->catalog.attachments[i].state ==
			    TAPIO_ATTACHMENT_DEAD)
			sweep_lane(sweep, lane, a->id, true);
	}
}

uint32_t tpi_reaper_sweep_former(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	struct tpi_host *host;
	uint32_t swept, found = 0;

	TPI_FOREACH_HOST (host, registry) {
		struct sweep sweep = {.broker = broker, .host = host};

		for (uint32_t k = 0; k < host->lanes.lane_count; k++)
			sweep_for_dead(&sweep, &host->lanes.lanes[k]);
		TPI_TESTPOINT("adopt.side");
		swept = sweep.found;
		swept += sweep_host(broker, host, registry->attachment_id,
				    false);
		TPI_TESTPOINT("adopt.own");
		swept += sweep_host(broker, host, TAPIO_ABANDONED, false);
		tpi_producer_wake(host, true, swept);
		found += swept;
	}
	return found;
}

/* ---- ends --------------------------------------------------------------------------- */

uint32_t tpi_attachment_end(struct tpi_broker *broker,
			    struct tpi_attachment *attachment)
{
	struct tpi_host *host = attachment->host;
	struct tpi_group *group = attachment->group;
	bool left = attachment->left;
	uint32_t swept = 0;

	tpi_attachment_dead(&broker->registry, attachment);
	if (attachment->session)
		attachment->session->attachment = NULL;
	else
		broker->lingering--;
	if (attachment->role == TAPIO_ROLE_PRODUCE) {
		swept = sweep_host(broker, host, attachment->id, false);
		tpi_isolation_end(attachment);
		TPI_TESTPOINT("end.swept");
		tpi_producer_wake(host, !left, swept);
	}
	if (group) {
		tpi_leases_clear(broker, host, group, attachment->id);
		TPI_TESTPOINT("end.cleared");
		tpi_group_leave(attachment);
		TPI_TESTPOINT("end.left");
		tpi_group_wake(host, (uint32_t)(group - host->groups));
	}
	tpi_attachment_free(&broker->registry, attachment);
	return swept;
}

void tpi_process_died(struct tpi_process *process, const char *how)
{
	struct tpi_broker *broker = process->broker;
	struct tapio_shm_broker *shm = broker->registry.catalog.broker;
	struct tpi_attachment *attachment;
	uint32_t swept = 0, ended = 0;

	if (process->dead)
		return;
	tpi_process_get(process);
	process->dead = true;
	/* Before the first record is FREE: a process that sees that finds it
	 * counted. */
	if (!TAILQ_EMPTY(&process->attachments))
		tpi_add_relaxed(&shm->deaths, 1);
	while ((attachment = TAILQ_FIRST(&process->attachments))) {
		swept += tpi_attachment_end(broker, attachment);
		ended++;
	}
	tpi_sessions_of(broker, process);
	if (ended)
		tpi_log_client(&broker->log, TAPIO_LOG_INFO,
			       "process %d \"%s\" (uid %u) %s: %u attachments "
			       "ended, %u blocks taken back",
			       process->pid, process->comm, process->uid, how,
			       ended, swept);
	tpi_process_put(process);
}

/*
 * Closed without DETACH, and not dead: does it still map anything of ours? A few
 * at a time, in turn, since reading the maps of a process takes as long as that
 * process likes it to.
 */
static void look_at_lingering(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	uint32_t count = registry->fresh_index;
	const struct tpi_file *files;
	uint32_t looks = 0, file_count;
	int maps;

	for (uint32_t i = 0; i < count && looks < TPI_MAPS_LOOKS; i++) {
		struct tpi_attachment *a =
			&registry->attachments[broker->linger_at];

		broker->linger_at = (broker->linger_at + 1) % count;
		/* Index 1 is our own. */
		if (a->index < 2 || a->id == TAPIO_NOBODY || a->session)
			continue;
		looks++;
		files = tpi_isolation_files(a, &file_count);
		maps = tpi_process_maps(a->process, files, file_count);
		if (maps && a->untold && !--a->untold &&
		    !tpi_process_is_dead(a->process))
			tpi_session_say_lingering(broker, a, maps);
		if (maps)
			continue;
		tpi_add_relaxed(&registry->catalog.broker->closes, 1);
		tpi_attachment_end(broker, a);
	}
}

static bool any_hint(const struct tpi_host *host)
{
	if (tpi_channel_isolated(&host->lanes))
		return false;
	for (uint32_t i = 0; i < host->lanes.lane_count; i++)
		if (tpi_load_relaxed(&host->lanes.lanes[i].shm->hint))
			return true;
	return false;
}

/*
 * A hint may be lost (two who look at once, or a kill between the two stores of
 * tpi_lane_abandon), so now and then every lane with blocks out is looked at.
 */
void tpi_reaper_tick(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	bool hinted = ++broker->ticks % ALL_LANES_TICKS != 0;
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry) {
		if (hinted && !any_hint(host))
			continue;
		tpi_producer_wake(
			host, false,
			sweep_host(broker, host, TAPIO_ABANDONED, hinted));
	}
	if (broker->lingering)
		look_at_lingering(broker);
}
