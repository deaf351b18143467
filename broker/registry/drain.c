/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels that the configuration does not name any more: D1 and D2 of channels.c, and
 * what the log says of them.
 *
 * Producers that are attached go on, since nothing that they emit may be lost, and
 * tapio_producer_connected() tells them. So a channel is drained when its producers have
 * closed, its consumers have closed, and no durable group has anything unread.
 */
#include <inttypes.h>

#include "broker/broker.h"
#include "broker/config/config_compare.h"
#include "broker/group/group_inner.h"
#include "broker/registry/channels.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

#define LOG_TICKS 64 /* from one line of the log to the next */

struct tpi_drain tpi_channel_drain(const struct tpi_broker *broker,
				   const struct tpi_host *host)
{
	const struct tpi_attachment *attachment;
	struct tpi_drain drain = {0};

	TAILQ_FOREACH (attachment, &broker->registry.living, living)
		drain.attached += attachment->host == host;
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		const struct tpi_group *group = &host->groups[i];
		uint64_t unread;

		if (group->state != TAPIO_SLOT_ACTIVE || !group->durable)
			continue;
		unread = tpi_group_unread(host, i);
		drain.unread += unread;
		drain.groups += unread > 0;
	}
	return drain;
}

static void say(struct tpi_broker *broker, const struct tpi_host *host,
		int level, const char *what, const struct tpi_drain *drain)
{
	tpi_log(&broker->log, level,
		"channel \"%s\" %s: %u attached, %" PRIu64
		" unread event%s of %u durable group%s. Its memory is given "
		"back when clients have closed it, and groups have read all or "
		"were removed (tapio-group)",
		host->config->spec.name, what, drain->attached, drain->unread,
		TPI_PLURAL(drain->unread), drain->groups,
		TPI_PLURAL(drain->groups));
}

static void show_state(struct tpi_host *host, bool removed)
{
	host->removed = removed;
	host->drain_ticks = 0;
	/* Relaxed: one word, and the broker refuses by its own. */
	tpi_store_relaxed(&host->shm->state, removed ? TAPIO_CHANNEL_REMOVED
						     : TAPIO_CHANNEL_SERVED);
}

static void remove_one(struct tpi_broker *broker, struct tpi_host *host)
{
	struct tpi_drain drain = tpi_channel_drain(broker, host);

	tpi_channel_own_config(host, &host->lanes.info);
	show_state(host, true);
	TPI_TESTPOINT("channel.removed");
	say(broker, host, TAPIO_LOG_WARNING,
	    "was removed from the configuration, and takes no new producer and "
	    "no new group",
	    &drain);
}

static void restore(struct tpi_broker *broker, struct tpi_host *host)
{
	show_state(host, false);
	TPI_TESTPOINT("channel.restored");
	tpi_log(&broker->log, TAPIO_LOG_NOTICE,
		"channel \"%s\" is in the configuration again, before it was "
		"drained: it goes on with its memory",
		host->config->spec.name);
}

struct tpi_channels_changed tpi_channels_settle(struct tpi_broker *broker)
{
	struct tpi_channels_changed changed = {0};
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, &broker->registry) {
		const struct tpi_config_channel *config =
			tpi_config_find(&broker->config, host->lanes.info.name);

		if (config)
			host->config = config;
		if (config && host->removed) {
			restore(broker, host);
			changed.restored++;
		} else if (!config && !host->removed) {
			remove_one(broker, host);
			changed.removed++;
		}
	}
	return changed;
}

/* D2: groups that have read all end first. */
static void end_groups(struct tpi_host *host)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (host->groups[i].state == TAPIO_SLOT_ACTIVE)
			tpi_group_end(host, &host->groups[i]);
	TPI_TESTPOINT("channel.ended");
}

static void look(struct tpi_broker *broker, struct tpi_host *host)
{
	struct tpi_drain drain = tpi_channel_drain(broker, host);
	char name[TAPIO_NAME_BYTES];

	if (drain.attached || drain.unread) {
		if (++host->drain_ticks % LOG_TICKS == 0)
			say(broker, host, TAPIO_LOG_NOTICE,
			    "is removed and drains", &drain);
		return;
	}
	memcpy(name, host->lanes.info.name, sizeof(name));
	end_groups(host);
	tpi_channel_give_back(&broker->registry, host);
	tpi_log(&broker->log, TAPIO_LOG_NOTICE,
		"channel \"%s\" is drained: its memory is given back", name);
}

void tpi_channels_tick(struct tpi_broker *broker)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, &broker->registry)
		if (host->removed)
			look(broker, host);
}
