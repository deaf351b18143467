/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of groups: the lanes that they read, the events that wait there for them,
 * and whether they poll.
 *
 * A member that polls shows it in its cells (client/consumer/takeover.c). So two looks
 * tell, if there is something that it should read. Others are not waited for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "lib/lane/cursor.h"
#include "tools/shmstat/stat.h"

/* Between two looks. A member that waits looks every 100 ms. */
#define BETWEEN_NS 250000000

/* One lane as seen by its cursor. */
static void add_lane(const struct tpi_lane *lane,
		     const struct tapio_shm_cursor *cursor, uint32_t id,
		     struct stat_member *m)
{
	uint32_t holder = tpi_cursor_holder(cursor);
	const struct tapio_shm_cell *cell = tpi_cursor_cell(cursor);
	/* Relaxed: shown, and changing anyway. */
	uint64_t position = TAPIO_HEAD_POSITION(tpi_load_relaxed(&cell->head));
	uint64_t tail = TAPIO_STATE_TAIL(tpi_load_relaxed(&lane->shm->state));
	int64_t waits = tapio_position_diff(tail, position);
	int32_t in_hand = tpi_cell_in_hand(cell);

	if (waits < 0)
		waits = 0; /* impossible, and shown as a fault elsewhere */
	if (holder == TAPIO_NOBODY)
		m->untaken += (uint64_t)waits;
	if (holder != id)
		return;
	if (in_hand < 0 || in_hand > waits)
		in_hand = 0;
	m->lanes++;
	m->in_hand += (uint64_t)in_hand;
	m->unread += (uint64_t)(waits - in_hand);
	m->signs += tpi_cell_signs(cell);
}

bool stat_member_look(const struct tpi_inspect *inspect,
		      const struct tapio_shm_attachment *a,
		      struct stat_member *m)
{
	const struct tpi_inspect_channel *c;
	const struct tapio_shm_cursor *cursors;

	*m = (struct stat_member){0};
	if (a->role != TAPIO_ROLE_CONSUME ||
	    a->group_slot >= TAPIO_GROUP_SLOTS ||
	    a->channel >= inspect->catalog.channel_count)
		return false;
	c = &inspect->channels[a->channel];
	cursors = c->cursors[a->group_slot].cursors;
	if (!cursors)
		return false;
	m->takeover_ns = tpi_load_relaxed(
		&tpi_inspect_groups(inspect, a->channel)[a->group_slot]
			 .takeover_ns);
	for (uint32_t i = 0; i < c->channel.lane_count; i++)
		add_lane(&c->channel.lanes[i], &cursors[i], a->id, m);
	return true;
}

static bool is_awaited(const struct stat_member *m)
{
	return m->in_hand || m->unread;
}

static void wait_between(void)
{
	struct timespec t = {.tv_nsec = BETWEEN_NS};

	nanosleep(&t, NULL);
}

void stat_members_settle(const struct tpi_inspect *inspect,
			 const struct tapio_shm_attachment *attachments,
			 struct stat_member *members, size_t count)
{
	struct stat_member again;
	bool any = false;
	size_t i;

	if (inspect->snapshot)
		return; /* a copy does not change, whether they poll or not */
	for (i = 0; i < count; i++)
		any |= is_awaited(&members[i]);
	if (any)
		wait_between();
	for (i = 0; i < count; i++) {
		if (!is_awaited(&members[i]))
			continue;
		stat_member_look(inspect, &attachments[i], &again);
		members[i].polls = again.signs != members[i].signs;
		members[i].judged = true;
	}
}

static json_t *value_note(const struct stat_member *m)
{
	char limit[48] = "never";

	if (!m->judged || m->polls)
		return !m->lanes && m->untaken
			       ? json_sprintf("has no lane, and %" PRIu64
					      " events wait on lanes that no "
					      "member has taken: does it poll?",
					      m->untaken)
			       : json_null();
	if (m->takeover_ns != TAPIO_TAKEOVER_NEVER)
		snprintf(limit, sizeof(limit), "%.6g s after its last call",
			 (double)m->takeover_ns / 1e9);
	if (m->in_hand)
		return json_sprintf(
			"has not polled for %d ms, with %" PRIu64
			" events in its hands and %" PRIu64
			" unread on %u lanes: another member takes them over "
			"%s",
			BETWEEN_NS / 1000000, m->in_hand, m->unread, m->lanes,
			limit);
	return json_sprintf("has not polled for %d ms, with %" PRIu64
			    " events unread on %u lanes: a member that polls "
			    "takes them over",
			    BETWEEN_NS / 1000000, m->unread, m->lanes);
}

void stat_member_add(json_t *object, bool consumes, const struct stat_member *m)
{
	json_object_set_new(object, "lanes",
			    consumes ? value_count(m->lanes) : json_null());
	json_object_set_new(object, "in_hand",
			    consumes ? value_count(m->in_hand) : json_null());
	json_object_set_new(object, "unread",
			    consumes ? value_count(m->unread) : json_null());
	json_object_set_new(object, "polls",
			    m->judged ? json_boolean(m->polls) : json_null());
	json_object_set_new(object, "note",
			    consumes ? value_note(m) : json_null());
}
