/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. An iterator gives its records one behind the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/collectors/ebpf/event.h"
#include "tools/collectors/ebpf/existing.h"
#include "tools/collectors/ebpf/kinds.h"
#include "tools/common/tool.h"

#define BUFFER_BYTES 65536 /* many times the longest record */

static const struct {
	const char *program;
	unsigned int kind;
} stages[] = {
	{"existing_processes", TPI_EBPF_EXISTING_PROCESS},
	{"existing_sockets", TPI_EBPF_EXISTING_SOCKET},
	/* Instead of it. The second one says nothing. */
	{"existing_sockets_own", TPI_EBPF_EXISTING_SOCKET},
	{"existing_sockets_read", TPI_EBPF_EXISTING_SOCKET},
	{"existing_sockets_own", TPI_EBPF_EXISTING_SOCKET},
};
#define STAGES ((int)(sizeof(stages) / sizeof(stages[0])))

int tpi_ebpf_existing_begin(struct tpi_ebpf_existing *e,
			    const struct tpi_ebpf_programs *programs,
			    struct tpi_sink *sink)
{
	*e = (struct tpi_ebpf_existing){
		.programs = programs,
		.sink = sink,
		.stage = -1,
		.fd = -1,
		.buffer = malloc(BUFFER_BYTES),
	};
	struct tpi_ebpf_now now = {0};

	tpi_ebpf_now(&now);
	e->begin_boot_ns = now.boot_ns;
	return e->buffer ? 0 : -ENOMEM;
}

/* The length of the first record in the buffer. 0: it is not all there. */
static uint32_t record_bytes(const struct tpi_ebpf_existing *e)
{
	const struct tpi_ebpf_start *start = (const void *)e->buffer;
	uint32_t bytes;

	if (e->filled < sizeof(*start))
		return 0;
	bytes = start->head.kind == TPI_EBPF_CONNECTION
			? (uint32_t)sizeof(struct tpi_ebpf_connection)
			: (uint32_t)sizeof(*start) + start->path_bytes +
				  start->args_bytes;
	return bytes <= e->filled ? bytes : 0;
}

static int emit(struct tapio_producer *producer,
		const struct tpi_ebpf_head *head, uint32_t bytes)
{
	const uint32_t max = tapio_producer_max_bytes(producer);
	uint32_t room = tpi_ebpf_event_bound(head, bytes), tag;
	struct tpi_ebpf_now now = {0};
	struct tapio_reservation r;
	int err;

	if (tpi_ebpf_event_least(head) > max)
		return -EMSGSIZE;
	err = tapio_reserve(producer,
			    TAPIO_TAG(tpi_ebpf_event_type(head), 0) |
				    TAPIO_NO_WAIT,
			    room < max ? room : max, &r);
	if (err)
		return err;
	tpi_ebpf_now(&now);
	err = tpi_ebpf_event_build(&now, head, bytes, r.data, r.capacity, &tag);
	if (err > 0) {
		r.length = (uint32_t)err;
		r.tag = tag | TAPIO_NO_WAIT;
		err = tapio_submit(producer, &r);
	}
	if (err)
		tapio_discard(producer, &r);
	return err;
}

static bool is_full(int err)
{
	return err == -EAGAIN || err == -ENOBUFS || err == -ETIMEDOUT;
}

static void count(struct tpi_ebpf_existing *e, int err)
{
	const unsigned int kind = stages[e->stage].kind;

	tpi_sink_count_read(e->sink, kind, 1);
	if (err)
		tpi_sink_count_refused(e->sink, kind, err, 1);
	else
		tpi_sink_count_emitted(e->sink, kind, 1);
}

/* A process that began after the programs did: there is, or will be, an event of it. */
static bool is_new(const struct tpi_ebpf_existing *e)
{
	const struct tpi_ebpf_head *head = (const void *)e->buffer;

	return head->kind == TPI_EBPF_EXEC &&
	       head->start_boot_ns > e->begin_boot_ns;
}

/* All records that are whole. False: there is no room. */
static bool emit_all(struct tpi_ebpf_existing *e,
		     struct tapio_producer *producer)
{
	uint32_t bytes;

	while ((bytes = record_bytes(e))) {
		if (!is_new(e)) {
			int err =
				emit(producer, (const void *)e->buffer, bytes);

			if (is_full(err))
				return false;
			count(e, err);
		}
		e->filled -= bytes;
		memmove(e->buffer, e->buffer + bytes, e->filled);
	}
	return true;
}

static void stop_reading(struct tpi_ebpf_existing *e)
{
	close(e->fd);
	e->fd = -1;
	e->filled = 0;
}

/* The next iterator. False: there is none. */
static bool open_next(struct tpi_ebpf_existing *e)
{
	while (++e->stage < STAGES) {
		e->fd = tpi_ebpf_programs_iterate(e->programs,
						  stages[e->stage].program);
		if (e->fd >= 0)
			return true;
		if (e->fd != -ENOENT)
			tpi_say("program '%s' cannot be read: %s",
				stages[e->stage].program, strerror(-e->fd));
	}
	e->fd = -1;
	return false;
}

bool tpi_ebpf_existing_step(struct tpi_ebpf_existing *e,
			    struct tapio_producer *producer)
{
	while (e->stage < STAGES) {
		ssize_t bytes;

		if (e->fd < 0 && !open_next(e))
			break;
		if (!emit_all(e, producer))
			return true;
		bytes = read(e->fd, e->buffer + e->filled,
			     BUFFER_BYTES - e->filled);
		if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (bytes > 0)
			e->filled += (size_t)bytes;
		else
			stop_reading(e);
	}
	return false;
}

void tpi_ebpf_existing_end(struct tpi_ebpf_existing *e)
{
	if (!e->buffer) /* it was never begun */
		return;
	if (e->fd >= 0)
		stop_reading(e);
	free(e->buffer);
	e->buffer = NULL;
}
