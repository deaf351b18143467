/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running out of side lanes, as the log shows it. A producer that needs a side lane and
 * finds all taken is refused, and counts that on the class's first side lane
 * (tpi_no_lane()). The broker looks at these counts on each tick. It warns when a count
 * has grown, at most once a minute for a channel, with the sum since the last warning.
 */
#include <inttypes.h>

#include "broker/registry/registry.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"

/* Between two warnings for one channel. */
#define QUIET_TICKS 60

/*
 * Refused for want of a side lane. Classes without any have one count together, which
 * is the first such class's here.
 */
static uint64_t refused(const struct tpi_host *host, uint32_t klass)
{
	const struct tpi_channel *channel = &host->lanes;
	const struct tpi_lane *lane = channel->lanes;

	if (channel->side_count[klass])
		lane += channel->side_first[klass];
	else
		while (klass--)
			if (!channel->side_count[klass])
				return 0;
	/* Relaxed: a number for people. */
	return tpi_load_relaxed(&lane->shm->dropped[TAPIO_DROP_NO_LANE]);
}

/* Producers of a channel that said at their open that they have no verdict. */
static uint32_t without_rseq(const struct tpi_registry *registry,
			     const struct tpi_host *host)
{
	uint32_t count = 0;

	for (uint32_t i = 2; i < registry->fresh_index; i++) {
		const struct tpi_attachment *a = &registry->attachments[i];

		count += a->id != TAPIO_NOBODY && a->host == host &&
			 a->role == TAPIO_ROLE_PRODUCE &&
			 a->process->rseq_verdict != TAPIO_RSEQ_PROVEN;
	}
	return count;
}

static bool warn(const struct tpi_registry *registry, struct tpi_host *host,
		 uint32_t klass, struct tpi_log *log)
{
	uint64_t now = refused(host, klass), more = now - host->no_lane[klass];
	uint32_t sides = host->lanes.side_count[klass];

	if (!more)
		return false;
	host->no_lane[klass] = now;
	tpi_log(log, TAPIO_LOG_WARNING,
		"channel \"%s\", class \"%.16s\": %" PRIu64 " event%s refused, "
		"because its %u side lane%s are all taken (producers without "
		"rseq: %u): raise side_lanes",
		host->config->spec.name, host->config->spec.classes[klass].name,
		more, TPI_PLURAL(more), sides, TPI_PLURAL(sides),
		without_rseq(registry, host));
	return true;
}

void tpi_side_lanes_begin(struct tpi_host *host)
{
	for (uint32_t k = 0; k < host->lanes.info.class_count; k++)
		host->no_lane[k] = refused(host, k);
}

void tpi_side_lanes_tick(struct tpi_registry *registry, struct tpi_log *log)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry) {
		bool warned = false;

		/* Each producer has its lanes. The counts are its own word. */
		if (tpi_channel_isolated(&host->lanes))
			continue;
		if (host->quiet_ticks) {
			host->quiet_ticks--;
			continue;
		}
		for (uint32_t k = 0; k < host->config->spec.class_count; k++)
			warned |= warn(registry, host, k, log);
		if (warned)
			host->quiet_ticks = QUIET_TICKS;
	}
}
