/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a channel as an observer or as a member of a group. See the header. */
#include "tools/tail/source.h"

static int open_observer(struct tpi_tail_source *source,
			 const struct tapio_options *broker)
{
	const struct tpi_tail_options *o = source->options;
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = *broker,
		.start = o->start,
		.severity_min = o->severity_min,
		.type_count = o->type_count,
		.types = o->types,
		.merge_ns = o->merge_ns,
	};

	return tapio_observer_open(&source->observer, o->channel, &options);
}

static int open_consumer(struct tpi_tail_source *source,
			 const struct tapio_options *broker)
{
	const struct tpi_tail_options *o = source->options;
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = *broker,
		.group = o->group,
		.policy = o->policy,
		.lag = o->lag,
		.start = o->start,
		.severity_min = o->severity_min,
		.type_count = o->type_count,
		.types = o->types,
		.merge_ns = o->merge_ns,
	};

	return tapio_consumer_open(&source->consumer, o->channel, &options);
}

int tpi_tail_open(struct tpi_tail_source *source,
		  const struct tapio_options *broker)
{
	return source->options->join ? open_consumer(source, broker)
				     : open_observer(source, broker);
}

void tpi_tail_close(struct tpi_tail_source *source)
{
	if (source->consumer)
		tapio_consumer_close(source->consumer);
	if (source->observer)
		tapio_observer_close(source->observer);
	source->consumer = NULL;
	source->observer = NULL;
}

int tpi_tail_next(struct tpi_tail_source *source, struct tapio_view *views,
		  unsigned int max, int64_t timeout_ns)
{
	if (source->consumer)
		return tapio_poll(source->consumer, views, max, timeout_ns);
	return tapio_observe(source->observer, views, max, timeout_ns);
}

bool tpi_tail_intact(struct tpi_tail_source *source,
		     const struct tapio_view *view)
{
	/* An observer hands out copies that were checked. */
	return !source->consumer ||
	       tapio_view_intact(source->consumer, view) == 1;
}

int64_t tpi_tail_release(struct tpi_tail_source *source)
{
	/* An observer hands out copies that were checked. */
	return source->consumer ? tapio_release(source->consumer) : 0;
}

int tpi_tail_broker(const struct tpi_tail_source *source)
{
	if (source->consumer)
		return tapio_consumer_broker(source->consumer);
	return tapio_observer_broker(source->observer);
}

uint64_t tpi_tail_time_ns(const struct tpi_tail_source *source, uint64_t time)
{
	if (source->consumer)
		return tapio_consumer_time_ns(source->consumer, time);
	return tapio_observer_time_ns(source->observer, time);
}

void tpi_tail_stats(const struct tpi_tail_source *source,
		    struct tpi_tail_stats *stats)
{
	struct tapio_consumer_stats group = {.size = sizeof(group)};
	struct tapio_observer_stats observer = {.size = sizeof(observer)};

	*stats = (struct tpi_tail_stats){0};
	if (source->consumer &&
	    !tapio_consumer_stats_read(source->consumer, &group))
		*stats = (struct tpi_tail_stats){group.delivered, group.skipped,
						 group.lost, group.late};
	if (source->observer &&
	    !tapio_observer_stats_read(source->observer, &observer))
		*stats =
			(struct tpi_tail_stats){observer.seen, observer.skipped,
						observer.lost, observer.late};
}
