/* SPDX-License-Identifier: Apache-2.0 */
/* Reading channels into an engine. See the header. inputs_open.c joins and leaves. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include <tapio/event.h>

#include "tools/correlate/inputs.h"
#include "tools/correlate/inputs_inner.h"

#define BATCH 256
/* Between two looks at the leases. */
#define LOOK_NS INT64_C(1000000000)
/* As long as a collector's handle has (tpi_broker_gone()). */
#define REFUSED_NS INT64_C(5000000000)
/* A lane that is not ours by then is another member's. */
#define TELL_NS INT64_C(10000000000)

/* ---- one view ----------------------------------------------------------------------- */

static uint64_t stamp_of(const struct tpi_input *input,
			 const struct tapio_view *view)
{
	return tapio_consumer_time_ns(input->consumer, view->time);
}

/*
 * An event that says to be of the future is not: it happened before it was published. One that
 * says nothing, or is no event of ours, has the time of its stamp.
 */
static uint64_t time_of(const struct tpi_inputs *inputs,
			const struct tpi_input *input,
			const struct tapio_view *view, uint64_t now_ns)
{
	uint64_t time_ns = 0, stamp_ns;

	if (inputs->values->order == TPI_ORDER_EVENT &&
	    view->length >= sizeof(struct tapio_event))
		memcpy(&time_ns,
		       (const char *)view->data +
			       offsetof(struct tapio_event, time_ns),
		       sizeof(time_ns));
	if (time_ns && time_ns <= now_ns)
		return time_ns;
	stamp_ns = stamp_of(input, view);
	if (!stamp_ns)
		stamp_ns = now_ns;
	return time_ns && time_ns < stamp_ns ? time_ns : stamp_ns;
}

static void note_lane(struct tpi_input *input, uint32_t lane, uint64_t time_ns)
{
	if (lane >= TPI_CORR_LANES_MAX)
		return;
	if (lane >= input->lane_room) {
		uint32_t room = lane + 64;
		uint64_t *moved =
			realloc(input->lane_ns, room * sizeof(*input->lane_ns));

		if (!moved)
			return; /* its gaps begin where they may at the earliest */
		memset(moved + input->lane_room, 0,
		       (room - input->lane_room) * sizeof(*moved));
		input->lane_ns = moved;
		input->lane_room = room;
	}
	if (input->lane_ns[lane] < time_ns)
		input->lane_ns[lane] = time_ns;
}

static void gap(struct tpi_inputs *inputs, struct tpi_input *input, int source,
		uint32_t lane, uint64_t lost, uint64_t now_ns)
{
	const uint64_t known_ns = tpi_corr_watermark(inputs->corr);
	uint64_t from_ns = lane < input->lane_room ? input->lane_ns[lane] : 0;

	/* An earlier time would be late. */
	if (from_ns < known_ns)
		from_ns = known_ns;
	inputs->lost += lost;
	if (lane >= TPI_CORR_LANES_MAX)
		lane = 0;
	if (source >= 0)
		tpi_corr_gap(inputs->corr, (uint16_t)source, lane, lost,
			     from_ns, now_ns > from_ns ? now_ns : from_ns);
}

void tpi_input_gap(struct tpi_inputs *inputs, struct tpi_input *input,
		   uint64_t lost)
{
	inputs->lost += lost;
	if (input->source >= 0)
		tpi_corr_gap(inputs->corr, (uint16_t)input->source, 0, lost,
			     tpi_corr_watermark(inputs->corr),
			     tpi_clock_read_ns(CLOCK_REALTIME));
}

/* The handle has moved to the memory of another broker. */
static void move(struct tpi_inputs *inputs, struct tpi_input *input,
		 const struct tapio_gap *record)
{
	tpi_say("channel '%s' has moved to the memory of another broker",
		input->channel);
	input->former = input->source;
	input->whole = false;
	tpi_input_identify(inputs, input);
	if (input->lane_room)
		memset(input->lane_ns, 0,
		       input->lane_room * sizeof(*input->lane_ns));
	if (record->count || record->first)
		tpi_input_gap(inputs, input, record->count + record->first);
}

static void take_record(struct tpi_inputs *inputs, struct tpi_input *input,
			const struct tapio_view *view, uint64_t now_ns)
{
	const bool former = view->flags & TAPIO_VIEW_FORMER;
	struct tapio_gap record = {0};

	memcpy(&record, view->data,
	       view->length < sizeof(record) ? view->length : sizeof(record));
	if (record.cause == TAPIO_GAP_INSTANCE)
		move(inputs, input, &record);
	else
		gap(inputs, input, former ? input->former : input->source,
		    view->lane, record.count, now_ns);
}

/* The event where it lies, or a copy that is whole. NULL: it was overwritten. */
static const void *whole(struct tpi_inputs *inputs, struct tpi_input *input,
			 const struct tapio_view *view)
{
	if (inputs->values->policy == TAPIO_GROUP_LOSSLESS)
		return view->data;
	if (inputs->copy_bytes < view->length) {
		unsigned char *moved = realloc(inputs->copy, view->length);

		if (!moved)
			return NULL;
		inputs->copy = moved;
		inputs->copy_bytes = view->length;
	}
	if (view->length)
		memcpy(inputs->copy, view->data, view->length);
	return tapio_view_intact(input->consumer, view) == 1 ? inputs->copy
							     : NULL;
}

static void take_event(struct tpi_inputs *inputs, struct tpi_input *input,
		       const struct tapio_view *view, uint64_t now_ns)
{
	const int source =
		view->flags & TAPIO_VIEW_FORMER ? input->former : input->source;
	const void *data = whole(inputs, input, view);
	struct tpi_corr_event event = {
		.data = data,
		.length = view->length,
		.type = view->type,
		.place = {view->position, view->lane, (uint16_t)source},
	};

	if (!data || source < 0 || view->lane >= TPI_CORR_LANES_MAX) {
		gap(inputs, input, source, view->lane, 1, now_ns);
		return;
	}
	event.time_ns = time_of(inputs, input, view, now_ns);
	note_lane(input, view->lane, event.time_ns);
	tpi_corr_event(inputs->corr, &event);
}

/* ---- one channel ---------------------------------------------------------------------- */

static bool has_all_lanes(const struct tpi_input *input, uint32_t *lanes,
			  uint32_t *count)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	if (tapio_consumer_stats_read(input->consumer, &stats))
		return false;
	*lanes = stats.lanes;
	*count = stats.lane_count;
	return stats.lanes == stats.lane_count;
}

/*
 * Whether no other memory can be the channel's by now: producers move there when the broker of
 * this one is dead, and this handle later than some. Until it has moved, or has its broker again,
 * time stands still, or events there would be late.
 */
static bool is_in_use(struct tpi_input *input)
{
	const int link = tapio_consumer_broker(input->consumer);

	if (link != TAPIO_LINK_REFUSED)
		input->refused_ns = 0;
	else if (!input->refused_ns)
		input->refused_ns = tpi_monotonic_ns();
	return link == TAPIO_LINK_THERE || link == TAPIO_LINK_REMOVED;
}

/* Before a poll: whether it will see all there is. */
static bool sees_all(struct tpi_inputs *inputs, struct tpi_input *input)
{
	const int64_t now_ns = tpi_monotonic_ns();
	uint32_t lanes = 0, count = 0;

	if (input->whole && now_ns < input->look_ns)
		return true;
	input->look_ns = now_ns + LOOK_NS;
	if (!input->since_ns)
		input->since_ns = now_ns;
	/* With a broker of another memory, events go there until the handle does. */
	input->whole =
		has_all_lanes(input, &lanes, &count) &&
		tapio_consumer_broker(input->consumer) != TAPIO_LINK_RESTARTING;
	if (input->whole)
		input->since_ns = 0;
	else if (!input->told && lanes < count &&
		 now_ns - input->since_ns > TELL_NS) {
		tpi_say("channel '%s': group '%s' has another member, which "
			"reads %" PRIu32 " of %" PRIu32
			" lanes: rules wait until it leaves",
			input->channel, inputs->values->group, count - lanes,
			count);
		input->told = true;
	}
	return input->whole;
}

/*
 * A poll of merged lanes that gives nothing has seen all that was published before it began, less
 * what the merge holds back. One that gives something has come as far as its last stamp.
 */
static void progress(struct tpi_input *input, const struct tapio_view *views,
		     int count, uint64_t now_ns)
{
	uint64_t to_ns = 0;

	if (count == 0)
		to_ns = now_ns - (input->merged ? TPI_INPUT_MERGE_NS : 0);
	else if (input->merged && !(views[count - 1].flags & TAPIO_VIEW_GAP))
		to_ns = stamp_of(input, &views[count - 1]);
	else if (!input->merged && count < BATCH)
		to_ns = now_ns;
	if (to_ns > input->progress_ns && to_ns <= now_ns)
		input->progress_ns = to_ns;
}

/* The number of views, or -errno. */
static int take(struct tpi_inputs *inputs, struct tpi_input *input)
{
	struct tapio_view views[BATCH];
	const bool all = is_in_use(input) && sees_all(inputs, input);
	const uint64_t now_ns = tpi_clock_read_ns(CLOCK_REALTIME);
	int count = tapio_poll(input->consumer, views, BATCH, 0);

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		if (views[i].flags & TAPIO_VIEW_GAP)
			take_record(inputs, input, &views[i], now_ns);
		else
			take_event(inputs, input, &views[i], now_ns);
	}
	if (all)
		progress(input, views, count, now_ns);
	inputs->taken += (uint64_t)count;
	input->held += (uint64_t)count;
	return count;
}

/* The broker has ended the group, or another one does not take the handle for long. */
static bool is_over(const struct tpi_input *input, int count)
{
	return count == -ENOTCONN ||
	       (count == 0 && input->refused_ns && !input->held &&
		tpi_monotonic_ns() - input->refused_ns > REFUSED_NS);
}

int64_t tpi_inputs_take(struct tpi_inputs *inputs)
{
	int64_t sum = 0;

	for (size_t i = 0; i < inputs->count; i++) {
		struct tpi_input *input = &inputs->items[i];
		int count = take(inputs, input);

		if (count == -EINTR)
			continue;
		if (is_over(input, count)) {
			if (!tpi_input_reopen(inputs, input))
				return -1;
			continue;
		}
		if (count < 0) {
			tpi_collector_fail(inputs->collector, TPI_EXIT_FAILURE,
					   "cannot read channel '%s': %s",
					   input->channel, strerror(-count));
			return -1;
		}
		sum += count;
	}
	return sum;
}

/* ---- all of them ---------------------------------------------------------------------- */

uint64_t tpi_inputs_watermark(const struct tpi_inputs *inputs)
{
	const uint64_t lateness_ns = (uint64_t)inputs->values->lateness_ns;
	uint64_t least_ns = UINT64_MAX;

	for (size_t i = 0; i < inputs->count; i++)
		if (inputs->items[i].progress_ns < least_ns)
			least_ns = inputs->items[i].progress_ns;
	return least_ns > lateness_ns ? least_ns - lateness_ns : 0;
}

uint64_t tpi_inputs_held(const struct tpi_inputs *inputs, uint64_t *sum)
{
	uint64_t most = 0;

	*sum = 0;
	for (size_t i = 0; i < inputs->count; i++) {
		*sum += inputs->items[i].held;
		if (inputs->items[i].held > most)
			most = inputs->items[i].held;
	}
	return most;
}

void tpi_inputs_release(struct tpi_inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++) {
		struct tpi_input *input = &inputs->items[i];
		int64_t bad = input->held ? tapio_release(input->consumer) : 0;

		/* The engine has read them in place: it may have seen anything. */
		if (bad > 0 && inputs->values->policy == TAPIO_GROUP_LOSSLESS) {
			tpi_say("channel '%s': another member of group '%s' has "
				"taken lanes over, %" PRId64
				" events may have been overwritten: one "
				"tapio-correlate alone may use a group",
				input->channel, inputs->values->group, bad);
			tpi_input_gap(inputs, input, (uint64_t)bad);
		}
		input->held = 0;
	}
}

void tpi_inputs_wait(struct tpi_inputs *inputs, int64_t ns)
{
	tpi_wait_until(inputs->epoll, tpi_monotonic_ns() + ns);
}
