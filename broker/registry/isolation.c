/* SPDX-License-Identifier: Apache-2.0 */
/* Giving out the segments of isolated producers. Called by session and reaper. */
#include "broker/registry/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/registry/own_memory.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"
#include "lib/lane/wake.h"

/* From ATTACH to MAPPED. */
#define GIVE_UP_NS INT64_C(5000000000)

#ifdef TAPIO_TESTPOINTS
/* Less in a test. */
int64_t tpi_isolation_give_up_ns = GIVE_UP_NS;
#undef GIVE_UP_NS
#define GIVE_UP_NS tpi_isolation_give_up_ns
#endif

/* ---- epochs -------------------------------------------------------------------------- */

uint32_t tpi_isolation_epoch(const struct tpi_host *host, uint32_t segment)
{
	/* Relaxed: this process alone writes it. */
	return tpi_load_relaxed(&host->own_memory[segment].record->epoch);
}

static uint32_t phase_of(const struct tpi_host *host, uint32_t segment)
{
	return TAPIO_SEGMENT_PHASE(tpi_isolation_epoch(host, segment));
}

void tpi_isolation_show(struct tpi_host *host, uint32_t segment, uint32_t epoch)
{
	/* ORDER segment.epoch (release): the seals of S2, or the span, before the phase.
	 * Pairs with the acquire in client/connection/segments.c. */
	tpi_store_release(&host->own_memory[segment].record->epoch, epoch);
	TPI_TESTPOINT("isolation.phase");
	/* ORDER channel.changes (release): the epoch. Pairs with the acquire in
	 * client/connection/segments.c. */
	tpi_store_release(&host->shm->changes, host->shm->changes + 1);
	TPI_TESTPOINT("isolation.shown");
}

static void show_phase(struct tpi_host *host, uint32_t segment, uint32_t phase)
{
	tpi_isolation_show(host, segment,
			   (tpi_isolation_epoch(host, segment) & ~3u) | phase);
}

/* ---- lanes -------------------------------------------------------------------------- */

static const struct tpi_lane *lane_of(const struct tpi_host *host,
				      uint32_t klass, uint32_t segment)
{
	return tpi_channel_own_lane(&host->lanes, klass, segment);
}

/* The segment of a lane, 0 on other channels. */
static uint32_t segment_of(const struct tpi_host *host, uint32_t lane)
{
	const struct tpi_channel *channel = &host->lanes;
	uint32_t klass = channel->lanes[lane].klass;

	return tpi_channel_isolated(channel)
		       ? 1 + lane - channel->side_first[klass]
		       : 0;
}

uint64_t tpi_isolation_tail(const struct tpi_host *host, uint32_t lane)
{
	uint32_t segment = segment_of(host, lane);

	if (!segment || phase_of(host, segment) == TAPIO_PHASE_SEALED)
		return TAPIO_STATE_TAIL(
			tpi_lane_peek(&host->lanes.lanes[lane]));
	/* FRESH: where its lane was born. */
	return phase_of(host, segment) == TAPIO_PHASE_FRESH
		       ? host->spans[lane].begin
		       : host->spans[lane].end;
}

uint64_t tpi_isolation_gate(const struct tpi_host *host, uint32_t lane,
			    uint64_t slot_before)
{
	const struct tpi_lane *at = &host->lanes.lanes[lane];
	uint32_t segment = segment_of(host, lane);
	uint64_t gate, bound, state;

	if (!segment || host->nodes[segment].map.writable)
		return tpi_gate_seal(at);
	/*
	 * A former broker had it writable, and this one has not. A gate that was computed
	 * before the new slot was shown is at most what the old slot allowed at the tail of
	 * that moment, and the tail has only grown since.
	 */
	tpi_fence_full();
	state = tpi_lane_peek(at);
	gate = tpi_load_acquire(&at->shm->gate) & TAPIO_POSITION_MASK;
	bound = TAPIO_SLOT_STATE(slot_before) == TAPIO_SLOT_ACTIVE &&
				TAPIO_SLOT_POLICY(slot_before) ==
					TAPIO_GROUP_UNTIL
			? tpi_until_bound(at, slot_before, state)
			: TAPIO_STATE_TAIL(state);
	return tapio_position_diff(bound, gate) > 0 ? bound : gate;
}

/* Producers could write the word, so whatever is there is overwritten. */
static void own_lanes(const struct tpi_host *host, uint32_t segment,
		      uint32_t owner)
{
	for (uint32_t k = 0; k < host->lanes.info.class_count; k++)
		/* ORDER lane.owner (release): all that was done to the lane. The message
		 * with the fds orders it, too. */
		tpi_store_release(&lane_of(host, k, segment)->shm->owner,
				  owner);
}

/* ---- S5 ------------------------------------------------------------------------------ */

/* What a segment that is ENDED waits for. */
struct wait {
	bool held;         /* by a group that is lossless */
	bool behind;       /* a group has not read all of it */
	const char *group; /* one of them, a lossless one if there is one */
	uint64_t unread_events; /* of that group, on all lanes */
};

/*
 * Whether no member moves the head any more that has not seen ENDED. A member that takes the
 * lease looks at the epoch after its swap.
 */
static bool has_followed(const struct tapio_shm_cursor *cursor, uint32_t epoch)
{
	/* ORDER cursor.followed (acquire): the head that it is about. Pairs with
	 * say_followed() (client/consumer/follow.c). */
	return tpi_load_acquire(&cursor->followed) == epoch ||
	       TAPIO_LEASE_HOLDER(tpi_load_acquire(&cursor->lease)) ==
		       TAPIO_NOBODY;
}

static void look_at_group(const struct tpi_host *host, uint32_t segment,
			  uint32_t slot, struct wait *wait)
{
	const struct tpi_group *group = &host->groups[slot];
	uint64_t word = host->shm_groups[slot].slot, head, unread = 0;
	bool lossless = TAPIO_SLOT_POLICY(word) == TAPIO_GROUP_LOSSLESS;
	uint32_t epoch = tpi_isolation_epoch(host, segment);
	bool behind = false;

	for (uint32_t k = 0; k < host->lanes.info.class_count; k++) {
		uint32_t lane = lane_of(host, k, segment)->id;
		const struct tapio_shm_cursor *cursor =
			&host->cursors[slot].cursors[lane];
		uint64_t end = host->spans[lane].end;
		bool stays = !lossless || has_followed(cursor, epoch);

		if (tpi_cursor_head(cursor, &head) && stays &&
		    TAPIO_HEAD_INCARNATION(head) == group->incarnation &&
		    TAPIO_HEAD_POSITION(head) == end)
			continue;
		behind = true;
		unread +=
			(end - TAPIO_HEAD_POSITION(head)) & TAPIO_POSITION_MASK;
	}
	if (!behind || (wait->held && !lossless))
		return;
	wait->held |= lossless;
	wait->behind = true;
	wait->group = group->private ? "(without a name)" : group->name;
	wait->unread_events = unread;
}

static struct wait look_at_groups(const struct tpi_host *host, uint32_t segment)
{
	struct wait wait = {0};

	/* ENDED before the leases: pairs with the swap in tpi_lease_take(). */
	tpi_fence_full();
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (host->groups[i].state == TAPIO_SLOT_ACTIVE)
			look_at_group(host, segment, i, &wait);
	return wait;
}

/* S5, as far as groups let it: *wait has the rest. */
static bool close_drained(struct tpi_host *host, uint32_t segment, bool overrun,
			  struct wait *wait)
{
	*wait = (struct wait){0};
	if (phase_of(host, segment) == TAPIO_PHASE_ENDED) {
		*wait = look_at_groups(host, segment);
		if (wait->held || (wait->behind && !overrun))
			return false;
		show_phase(host, segment, TAPIO_PHASE_CLOSED);
		TPI_TESTPOINT("isolation.closed");
	}
	return phase_of(host, segment) == TAPIO_PHASE_CLOSED;
}

static bool is_taken(const struct tpi_host *host, uint32_t segment)
{
	return host->own_taken >> segment & 1;
}

static void close_all_drained(struct tpi_host *host)
{
	struct wait wait;

	for (uint32_t i = 1; i < host->node_count; i++)
		if (!is_taken(host, i))
			(void)close_drained(host, i, false, &wait);
}

/* ---- S1 ------------------------------------------------------------------------------ */

/* Nobody has had it. */
static bool is_ready(const struct tpi_host *host, uint32_t segment)
{
	return !is_taken(host, segment) &&
	       phase_of(host, segment) == TAPIO_PHASE_FRESH &&
	       !host->own_memory[segment].given;
}

static uint32_t find_ready(const struct tpi_host *host)
{
	for (uint32_t i = 1; i < host->node_count; i++)
		if (is_ready(host, i))
			return i;
	return 0;
}

/* S5 and S6 on demand: first where nobody loses anything. */
static uint32_t make_ready(struct tpi_broker *broker, struct tpi_host *host,
			   struct wait *wait, char *error, size_t error_bytes)
{
	struct wait one;

	for (int overrun = 0; overrun < 2; overrun++)
		for (uint32_t i = 1; i < host->node_count; i++) {
			if (is_taken(host, i))
				continue;
			if (!close_drained(host, i, overrun, &one)) {
				*wait = one;
				continue;
			}
			if (!tpi_own_memory_renew(broker, host, i, error,
						  error_bytes))
				return i;
		}
	return 0;
}

static int check_share(const struct tpi_host *host, uid_t uid, char *error,
		       size_t error_bytes)
{
	uint32_t count = host->node_count - 1, share = (count + 1) / 2;
	uint32_t live = 0, unread = 0, old = 0;
	bool passes;

	for (uint32_t i = 1; i < host->node_count; i++) {
		const struct tpi_slot_memory *memory = &host->own_memory[i];

		if (!memory->given || memory->uid != uid)
			continue;
		live += is_taken(host, i);
		unread += !is_taken(host, i) &&
			  phase_of(host, i) == TAPIO_PHASE_ENDED;
		old += !is_taken(host, i) &&
		       phase_of(host, i) == TAPIO_PHASE_CLOSED &&
		       tpi_own_memory_is_shared(&host->nodes[i]);
	}
	for (uint32_t i = 0; i < host->old_count; i++)
		old += host->old[i].uid == uid;
	/* A reader that is stopped has one memory of each segment at most. */
	if (live + unread < share && live + unread + old < share + count)
		return 0;
	/* Unread events are gone when groups read. The rest is over when the uid's own
	 * processes, or those that keep its memory, let go: it does not help to wait. */
	passes = live < share && live + old < share + count;
	return tpi_fail(passes ? -EAGAIN : -EDQUOT, error, error_bytes,
			"channel \"%s\": uid %u has %u of its %u segments for "
			"isolated producers, %u more that groups have not "
			"read yet, and %u that other processes keep, and half "
			"is its share: raise producers_max (configuration)",
			host->config->spec.name, uid, live, count, unread, old);
}

static int refuse(const struct tpi_host *host, const struct wait *wait,
		  char *error, size_t error_bytes)
{
	uint32_t count = host->node_count - 1;
	uint32_t taken = (uint32_t)__builtin_popcountll(host->own_taken);

	if (taken == count)
		return tpi_fail(-EUSERS, error, error_bytes,
				"channel \"%s\": of its %u segments for "
				"isolated producers all are in use: raise "
				"producers_max (configuration)",
				host->config->spec.name, count);
	return tpi_fail(
		-EAGAIN, error, error_bytes,
		"channel \"%s\": of its %u segments for isolated "
		"producers %u are in use, and %u wait until groups "
		"have read them: the lossless group \"%.40s\" has %" PRIu64
		" events of one to read: let it read, remove it, or "
		"raise producers_max (configuration)",
		host->config->spec.name, count, taken, count - taken,
		wait->group, wait->unread_events);
}

int tpi_isolation_give(struct tpi_broker *broker,
		       struct tpi_attachment *attachment, uid_t uid,
		       bool exempt, char *error, size_t error_bytes)
{
	struct tpi_host *host = attachment->host;
	struct wait wait = {0};
	uint32_t segment;
	int err = 0;

	if (attachment->role != TAPIO_ROLE_PRODUCE ||
	    !tpi_channel_isolated(&host->lanes))
		return 0;
	error[0] = '\0';
	tpi_own_memory_collect(host);
	close_all_drained(host);
	if (!exempt)
		err = check_share(host, uid, error, error_bytes);
	if (err)
		return err;
	segment = find_ready(host);
	if (!segment)
		segment = make_ready(broker, host, &wait, error, error_bytes);
	if (!segment && error[0])
		return -EAGAIN; /* there is no memory for it now */
	if (!segment)
		return refuse(host, &wait, error, error_bytes);
	tpi_slot_memory_give(&host->own_memory[segment], uid);
	host->own_taken |= UINT64_C(1) << segment;
	host->given_ns[segment] = tpi_now_ns();
	attachment->own_segment = segment;
	attachment->kept->own_segment = segment;
	TPI_TESTPOINT("isolation.noted");
	own_lanes(host, segment, attachment->id);
	TPI_TESTPOINT("isolation.owned");
	return 0;
}

int tpi_isolation_fd(const struct tpi_attachment *attachment)
{
	return tpi_sys_reopen(
		attachment->host->nodes[attachment->own_segment].fd, O_RDWR);
}

/* ---- S2 to S4 ------------------------------------------------------------------------ */

bool tpi_isolation_is_open(const struct tpi_attachment *attachment)
{
	return attachment->own_segment &&
	       phase_of(attachment->host, attachment->own_segment) ==
		       TAPIO_PHASE_FRESH;
}

int tpi_isolation_seal(struct tpi_attachment *attachment, uint32_t *epoch,
		       char *error, size_t error_bytes)
{
	struct tpi_host *host = attachment->host;
	uint32_t segment = attachment->own_segment;
	struct tpi_segment *own = &host->nodes[segment];
	int err;

	if (!tpi_isolation_is_open(attachment))
		return tpi_fail(-EINVAL, error, error_bytes,
				"MAPPED of segment %u, which is none of an "
				"isolated producer, or was sealed before",
				segment);
	TPI_TESTPOINT("isolation.mapped");
	err = tpi_segment_seal(own);
	if (err)
		return tpi_fail(err, error, error_bytes,
				"channel \"%s\": its segment %u cannot be "
				"sealed against further writing (seals 0x%x; "
				"F_SEAL_FUTURE_WRITE needs Linux 5.1): %s",
				host->config->spec.name, segment,
				own->report.seals, strerror(-err));
	TPI_TESTPOINT("isolation.sealed");
	/* Relaxed: the epoch orders it. */
	tpi_store_relaxed(&host->own_memory[segment].record->seals,
			  own->report.seals);
	show_phase(host, segment, TAPIO_PHASE_SEALED);
	*epoch = tpi_isolation_epoch(host, segment);
	return 0;
}

/* Another handle of the process may map the doorbells. Its own segment is its alone. */
const struct tpi_file *tpi_isolation_files(const struct tpi_attachment *a,
					   uint32_t *count)
{
	const struct tpi_host *host = a->host;

	*count = a->own_segment ? 1 : host->file_count;
	return host->files + a->own_segment;
}

static void note_ends(struct tpi_host *host, uint32_t segment)
{
	for (uint32_t k = 0; k < host->lanes.info.class_count; k++) {
		const struct tpi_lane *lane = lane_of(host, k, segment);

		/* Relaxed: the epoch orders it. */
		tpi_store_relaxed(&host->spans[lane->id].end,
				  TAPIO_STATE_TAIL(tpi_lane_peek(lane)));
	}
	TPI_TESTPOINT("isolation.ends");
}

void tpi_isolation_end(struct tpi_attachment *attachment)
{
	struct tpi_host *host = attachment->host;
	uint32_t segment = attachment->own_segment;

	if (!segment)
		return;
	if (phase_of(host, segment) == TAPIO_PHASE_SEALED) {
		note_ends(host, segment);
		show_phase(host, segment, TAPIO_PHASE_ENDED);
	} else if (phase_of(host, segment) == TAPIO_PHASE_FRESH) {
		show_phase(host, segment, TAPIO_PHASE_CLOSED);
	}
	TPI_TESTPOINT("isolation.ended");
}

void tpi_isolation_take_back(struct tpi_attachment *attachment)
{
	if (!attachment->own_segment)
		return;
	attachment->host->own_taken &=
		~(UINT64_C(1) << attachment->own_segment);
	attachment->own_segment = 0;
}

/* ---- later ---------------------------------------------------------------------------- */

static void give_up_unmapped(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	int64_t now = tpi_now_ns();

	for (uint32_t i = 2; i < registry->fresh_index; i++) {
		struct tpi_attachment *a = &registry->attachments[i];

		if (a->id == TAPIO_NOBODY || !tpi_isolation_is_open(a) ||
		    now - a->host->given_ns[a->own_segment] < GIVE_UP_NS)
			continue;
		tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
			       "process %d \"%s\" (uid %u) did not map its "
			       "segment %u of channel \"%s\" within %" PRId64
			       " seconds: its attachment ends",
			       a->process->pid, a->process->comm,
			       a->process->uid, a->own_segment,
			       a->host->config->spec.name,
			       GIVE_UP_NS / INT64_C(1000000000));
		tpi_attachment_end(broker, a);
	}
}

/* Memory that no other process has is replaced at once, the rest when it is wanted. */
static void renew_closed(struct tpi_broker *broker, struct tpi_host *host)
{
	struct wait wait;
	char why[320];

	host->renewed_bytes = 0;
	for (uint32_t i = 1; i < host->node_count; i++)
		if (!is_taken(host, i) &&
		    close_drained(host, i, false, &wait) &&
		    !tpi_own_memory_is_shared(&host->nodes[i]))
			(void)tpi_own_memory_renew(broker, host, i, why,
						   sizeof(why));
	tpi_own_memory_collect(host);
}

void tpi_isolation_tick(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	struct tpi_host *host;
	bool any = false;

	TPI_FOREACH_HOST (host, registry)
		if (tpi_channel_isolated(&host->lanes)) {
			renew_closed(broker, host);
			any = true;
		}
	if (any)
		give_up_unmapped(broker);
}

void tpi_isolation_settle(struct tpi_host *host)
{
	int64_t now = tpi_now_ns();

	for (uint32_t i = 1; i < host->node_count; i++) {
		host->given_ns[i] = now;
		/* It was given, and no client was answered. */
		if (!is_taken(host, i) && host->own_memory[i].given &&
		    phase_of(host, i) == TAPIO_PHASE_FRESH)
			show_phase(host, i, TAPIO_PHASE_CLOSED);
	}
}
