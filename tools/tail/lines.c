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

static int add_event(struct tpi_tail_out *out,
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
	out->buffer[out->used++] = '\n';
	return 0;
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

static int add_gap(struct tpi_tail_out *out, const struct tapio_view *view)
{
	struct tapio_gap gap = {0};
	int err = make_room(out, 256);

	if (err)
		return err;
	memcpy(&gap, view->data,
	       view->length < sizeof(gap) ? view->length : sizeof(gap));
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

int tpi_tail_out_view(struct tpi_tail_out *out, const struct tapio_view *view,
		      uint64_t time_ns)
{
	struct tapio_event_view event;

	if (view->flags & TAPIO_VIEW_GAP)
		return add_gap(out, view);
	/* An error makes it a view of plain bytes, which can be shown as well. */
	tapio_event_view_open(&event, view);
	if (!event.header.time_ns)
		event.header.time_ns = time_ns;
	return add_event(out, &event);
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
