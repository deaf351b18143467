/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of events and gaps, collected and written. Called by tapio-tail's loop.
 *
 * An event that is read in place may change while it is formatted (its producer
 * may be at fault, or have overwritten it): its line may then need more room at
 * the second attempt than the first one said, so there is no end to what may be
 * asked for but the one given here.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/tail/lines.h"

#define FIRST_BYTES 65536
#define TRIES       8

/* Room for `more` bytes and a NUL. */
static int make_room(struct tpi_tail_out *out, size_t more)
{
	size_t size = out->size ? out->size : FIRST_BYTES;

	while (size - out->used <= more)
		size *= 2;
	if (size == out->size)
		return 0;
	char *moved = realloc(out->buffer, size);
	if (!moved)
		return -ENOMEM;
	out->buffer = moved;
	out->size = size;
	return 0;
}

/* One attempt: the length of the line, which is complete if there was room. */
static size_t format(struct tpi_tail_out *out,
		     const struct tapio_event_view *event)
{
	char *at = out->buffer + out->used;
	size_t room = out->size - out->used;
	int length = out->json ? tapio_event_format_json(at, room, event)
			       : tapio_event_format_text(at, room, event);

	return length > 0 ? (size_t)length : 0;
}

/* By how bad it is: nothing for what is usual. */
static const char *color_of(uint8_t severity)
{
	if (severity >= TAPIO_SEVERITY_CRITICAL)
		return "\033[1;31m";
	if (severity >= TAPIO_SEVERITY_ERROR)
		return "\033[31m";
	if (severity >= TAPIO_SEVERITY_WARNING)
		return "\033[33m";
	if (severity >= TAPIO_SEVERITY_INFO || !severity)
		return "";
	return "\033[2m";
}

/* Control characters of an event are escaped, so only these are in a line. */
static int add_text(struct tpi_tail_out *out, const char *text)
{
	size_t length = strlen(text);
	int err = make_room(out, length);

	if (err)
		return err;
	memcpy(out->buffer + out->used, text, length);
	out->used += length;
	return 0;
}

static int add_line(struct tpi_tail_out *out,
		    const struct tapio_event_view *event)
{
	size_t room, length = 0;

	for (int tries = 0; tries < TRIES; tries++) {
		int err = make_room(out, length + 1);
		if (err)
			return err;
		room = out->size - out->used;
		length = format(out, event);
		if (length < room - 1)
			break;
	}
	if (length > room - 2)
		length = room - 2; /* never the same twice: cut */
	out->used += length;
	return 0;
}

static int add_event(struct tpi_tail_out *out,
		     const struct tapio_event_view *event)
{
	const char *color = out->color && !out->json
				    ? color_of(event->header.severity)
				    : "";
	int err = add_text(out, color);

	if (!err)
		err = add_line(out, event);
	if (!err && *color)
		err = add_text(out, "\033[0m");
	return err ? err : add_text(out, "\n");
}

/*
 * Where a line of JSON is from: what a replay needs beside the event. It is an object without its
 * end. What is formatted behind it begins with a bracket, which join_origin() makes a comma.
 */
static int add_origin(struct tpi_tail_out *out, const struct tapio_view *view,
		      uint64_t time_ns)
{
	/* Of a memory that was left: its number, and not that of the present one. */
	unsigned int moves = out->moves;
	int err = make_room(out, 512);

	if (err)
		return err;
	if (view->flags & TAPIO_VIEW_FORMER && moves)
		moves--;
	out->used +=
		(size_t)snprintf(out->buffer + out->used, out->size - out->used,
				 "{\"channel\":\"%.255s\"", out->channel);
	if (moves)
		out->used += (size_t)snprintf(out->buffer + out->used,
					      out->size - out->used,
					      ",\"instance\":%u", moves);
	if (view->flags & TAPIO_VIEW_GAP)
		return 0;
	out->used +=
		(size_t)snprintf(out->buffer + out->used, out->size - out->used,
				 ",\"class\":%u", view->klass);
	if (time_ns)
		out->used += (size_t)snprintf(
			out->buffer + out->used, out->size - out->used,
			",\"stamp_ns\":%" PRIu64, time_ns);
	return 0;
}

static void join_origin(struct tpi_tail_out *out, size_t at)
{
	if (at < out->used)
		out->buffer[at] = ',';
}

static const char *cause_name(uint32_t cause)
{
	switch (cause) {
	case TAPIO_GAP_OVERRUN:
		return "overrun";
	case TAPIO_GAP_CORRUPT:
		return "corrupt";
	default:
		return "unknown";
	}
}

/* It has moved to another broker's memory. Only what it missed there is in `lost`. */
static void add_move(struct tpi_tail_out *out, const struct tapio_gap *gap)
{
	out->used += (size_t)snprintf(
		out->buffer + out->used, out->size - out->used,
		out->json ? "{\"gap\":{\"lost\":%" PRIu64 ",\"unread\":%" PRIu64
			    ",\"cause\":\"instance\"}}\n"
			  : "- - gap lost=%" PRIu64 " unread=%" PRIu64
			    " cause=instance\n",
		gap->count, gap->first);
}

static int add_gap(struct tpi_tail_out *out, const struct tapio_view *view)
{
	struct tapio_gap gap = {0};
	int err = make_room(out, 256);

	if (err)
		return err;
	memcpy(&gap, view->data,
	       view->length < sizeof(gap) ? view->length : sizeof(gap));
	if (gap.cause == TAPIO_GAP_INSTANCE) {
		out->moves++;
		add_move(out, &gap);
		return 0;
	}
	out->used += (size_t)snprintf(
		out->buffer + out->used, out->size - out->used,
		out->json ? "{\"gap\":{\"lane\":%u,\"lost\":%" PRIu64
			    ",\"first\":%" PRIu64 ",\"last\":%" PRIu64
			    ",\"cause\":\"%s\"}}\n"
			  : "- - gap lane=%u lost=%" PRIu64 " first=%" PRIu64
			    " last=%" PRIu64 " cause=%s\n",
		view->lane, gap.count, gap.first, gap.last,
		cause_name(gap.cause));
	return 0;
}

int tpi_tail_out_overwritten(struct tpi_tail_out *out, uint64_t count)
{
	int err = make_room(out, 256);

	if (err)
		return err;
	out->used += (size_t)snprintf(
		out->buffer + out->used, out->size - out->used,
		out->json ? "{\"gap\":{\"lost\":%" PRIu64
			    ",\"cause\":\"overwritten\"}}\n"
			  : "- - gap lost=%" PRIu64 " cause=overwritten\n",
		count);
	return 0;
}

/* The stamp says when it was emitted, which is how a channel keeps events. One that has no time
 * at all may be of any time. */
static bool is_asked(const struct tpi_tail_out *out,
		     const struct tapio_event_view *event, uint64_t time_ns)
{
	uint64_t time = time_ns ? time_ns : event->header.time_ns;

	if (out->since_ns && time && time < out->since_ns)
		return false;
	return !out->where || tpi_where_passes(out->where, event);
}

/* The line itself. */
static int add_view(struct tpi_tail_out *out, const struct tapio_view *view,
		    uint64_t time_ns)
{
	struct tapio_event_view event;

	if (view->flags & TAPIO_VIEW_GAP)
		return add_gap(out, view);
	/* An error makes it a view of plain bytes, which can be shown as well. */
	tapio_event_view_open(&event, view);
	if (!event.header.time_ns)
		event.header.time_ns = time_ns;
	if (!is_asked(out, &event, time_ns))
		return 1;
	return add_event(out, &event);
}

int tpi_tail_out_view(struct tpi_tail_out *out, const struct tapio_view *view,
		      uint64_t time_ns)
{
	const bool origin = out->json && out->channel;
	size_t begin = out->used, at;
	int err = origin ? add_origin(out, view, time_ns) : 0;

	at = out->used;
	if (!err)
		err = add_view(out, view, time_ns);
	if (err)
		out->used = begin;
	else if (origin)
		join_origin(out, at);
	return err;
}

void tpi_tail_out_rewind(struct tpi_tail_out *out, size_t used)
{
	out->used = used;
}

/* Somebody made our output non-blocking: wait until it takes more. */
static void wait_writable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	poll(&poll_fd, 1, 100);
}

int tpi_tail_out_flush(struct tpi_tail_out *out)
{
	size_t done = 0;
	int err = 0;

	while (done < out->used) {
		ssize_t length =
			write(out->fd, out->buffer + done, out->used - done);
		if (length >= 0)
			done += (size_t)length;
		else if (errno == EAGAIN)
			wait_writable(out->fd);
		else if (errno != EINTR) {
			err = -errno;
			break;
		}
	}
	out->used = 0;
	return err;
}

void tpi_tail_out_free(struct tpi_tail_out *out)
{
	free(out->buffer);
	out->buffer = NULL;
	out->size = out->used = 0;
}
