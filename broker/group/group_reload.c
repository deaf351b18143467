/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration's groups of one channel, when another configuration comes. Called
 * by broker/reload.c, for each channel in three steps: check (no change), make (can be
 * undone), and settle (cannot fail).
 *
 *	only in the new one	made. A group that an earlier reload left as durable
 *				is taken back with its events. Any other group of that
 *				name is a client's: refused.
 *	only in the old one	ended, if it has no members and nothing unread. Else it
 *				stays, as a durable group of the broker's uid.
 *	in both, changed	its new policy, lag and takeover, if it has no members.
 *				Else refused: members have joined with the old ones.
 *
 * A removed group that has members or unread events is not ended, since a line that is
 * lost from a file must not lose events. `tapio-group remove` ends it.
 *
 * SIGKILL of the broker between the steps: the groups of the slots are in the catalog
 * as they are then, each of them whole (group.c). SIGSTOP: producers go on, and see one
 * slot's change at a time. A fork copies private memory only.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/group/group_inner.h"
#include "lib/base/error.h"
#include "lib/lane/ledger.h"
#include "lib/memory/policy.h"

/* What an earlier reload has left, or a client that is trusted as the broker is. */
static bool is_own(const struct tpi_group *group)
{
	return group->configured || (group->durable && group->uid == geteuid());
}

static int check_one(const struct tpi_host *host, const struct tpi_group *group,
		     const struct tpi_config_group *to, char *error,
		     size_t error_bytes)
{
	const char *channel = host->config->spec.name;

	if (!is_own(group))
		return tpi_fail(-EBUSY, error, error_bytes,
				"channel \"%s\": a client of uid %u has made a "
				"group \"%s\": end it (tapio-group remove), or "
				"choose another name",
				channel, group->uid, group->name);
	if (!tpi_group_is_changed(group, to) || !group->members)
		return 0;
	return tpi_fail(-EBUSY, error, error_bytes,
			"channel \"%s\", group \"%s\": policy %s, lag %u, "
			"takeover %" PRId64 " ns -> %s, %u, %" PRId64 " ns, "
			"and it has %u member%s: stop them first",
			channel, group->name, tpi_policy_name(group->policy),
			group->lag, (int64_t)group->takeover_ns,
			tpi_policy_name(to->policy), to->lag,
			(int64_t)to->takeover_ns, group->members,
			TPI_PLURAL(group->members));
}

int tpi_groups_check(struct tpi_host *host,
		     const struct tpi_config_channel *next, char *error,
		     size_t error_bytes)
{
	int err = 0;

	for (uint32_t i = 0; i < next->group_count && !err; i++) {
		const struct tpi_config_group *to = &next->groups[i];
		const struct tpi_group *group = tpi_group_find(host, to->name);

		if (group)
			err = check_one(host, group, to, error, error_bytes);
	}
	return err;
}

/* One that the old configuration does not name, either: an evicted one may be gone. */
static bool is_new(struct tpi_host *host, const struct tpi_config_group *to)
{
	return !tpi_group_named(host->config, to->name) &&
	       !tpi_group_find(host, to->name);
}

int tpi_groups_make(struct tpi_broker *broker, struct tpi_host *host,
		    const struct tpi_config_channel *next, uint32_t *made,
		    char *error, size_t error_bytes)
{
	int err = 0;

	for (uint32_t i = 0; i < next->group_count && !err; i++) {
		const struct tpi_config_group *to = &next->groups[i];

		if (!is_new(host, to))
			continue;
		err = tpi_group_make(broker, host, to, error, error_bytes);
		*made += !err;
	}
	return err;
}

int tpi_groups_make_all(struct tpi_broker *broker, struct tpi_host *host,
			uint32_t *made, char *error, size_t error_bytes)
{
	const struct tpi_config_channel *config = host->config;
	int err = 0;

	for (uint32_t i = 0; i < config->group_count && !err; i++) {
		err = tpi_group_make(broker, host, &config->groups[i], error,
				     error_bytes);
		*made += !err;
	}
	return err;
}

void tpi_groups_unmake(struct tpi_host *host,
		       const struct tpi_config_channel *next)
{
	for (uint32_t i = 0; i < next->group_count; i++) {
		const char *name = next->groups[i].name;
		struct tpi_group *group = tpi_group_find(host, name);

		/* The old one does not name it, so it was made just now. */
		if (group && group->configured &&
		    !tpi_group_named(host->config, name))
			tpi_group_end(host, group);
	}
}

uint64_t tpi_group_unread(const struct tpi_host *host, uint32_t slot)
{
	struct tpi_ledger ledger;
	uint64_t unread = 0;

	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		int err = tpi_ledger_read(
			&host->lanes.lanes[i], &host->shm_groups[slot],
			&host->cursors[slot].cursors[i], &ledger);

		unread += err ? 1 : ledger.in_flight;
	}
	return unread;
}

/*
 * An event that is published between the look and the end is not owed: the group is no
 * longer configured.
 */
static void let_go(struct tpi_broker *broker, struct tpi_host *host,
		   uint32_t slot, struct tpi_groups_changed *changed)
{
	struct tpi_group *group = &host->groups[slot];
	const char *channel = host->config->spec.name;
	uint64_t unread = tpi_group_unread(host, slot);

	if (!group->members && !unread) {
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"reload: channel \"%s\": group \"%s\" is no longer "
			"configured, has no members and nothing unread, and "
			"ends",
			channel, group->name);
		tpi_group_end(host, group);
		changed->ended++;
		return;
	}
	group->configured = false;
	tpi_group_note(group);
	changed->left++;
	tpi_log(&broker->log, TAPIO_LOG_WARNING,
		"reload: channel \"%s\": group \"%s\" is no longer configured, "
		"and stays as a durable group of uid %u: it has %u member%s "
		"and %" PRIu64 " unread event%s (tapio-group remove ends it "
		"when it has no members)",
		channel, group->name, group->uid, group->members,
		TPI_PLURAL(group->members), unread, TPI_PLURAL(unread));
}

void tpi_groups_settle(struct tpi_broker *broker, struct tpi_host *host,
		       const struct tpi_config_channel *next,
		       struct tpi_groups_changed *changed)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		struct tpi_group *group = &host->groups[i];
		const struct tpi_config_group *to;

		if (group->state != TAPIO_SLOT_ACTIVE || group->private)
			continue;
		to = tpi_group_named(next, group->name);
		if (!to) {
			if (group->configured)
				let_go(broker, host, i, changed);
			continue;
		}
		group->configured = true;
		tpi_group_note(group);
		if (!tpi_group_is_changed(group, to))
			continue;
		tpi_group_retune(host, group, to);
		changed->retuned++;
	}
}
