/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of waking by an eventfd: one line is stored (stream_line.h), and the
 * eventfd, whose number is the bell, written to with no question whether anyone
 * sleeps.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench/peers/stream_peer.h"
#include "lib/base/atomic.h"

static inline void line_wake(const uint32_t *bell)
{
	eventfd_write((int)*bell, 1);
}

static inline void line_sleep(const uint32_t *bell, const uint64_t *line,
			      uint64_t next)
{
	eventfd_t rung;

	/* Relaxed: a side that finds it looks again, with acquire. */
	if (tpi_load_relaxed(line) != next)
		eventfd_read((int)*bell, &rung);
}

#include "bench/peers/stream_line.h"

static void *make(const struct stream_spec *spec)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct line_ring *ring;

	if (fd < 0) {
		bench_why("eventfd: %s", strerror(errno));
		return NULL;
	}
	ring = line_make(spec);
	if (ring)
		ring->bell = (uint32_t)fd;
	else
		close(fd);
	return ring;
}

static void unmake(void *channel)
{
	const struct line_ring *ring = channel;

	close((int)ring->bell);
	line_unmake(channel);
}

const struct stream_peer stream_eventfd = {
	.peer = LINE_PEER("bare eventfd"),
	.make = make,
	.unmake = unmake,
	LINE_STREAM,
};
