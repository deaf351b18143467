/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the stream peers that pass events through descriptors. These are
 * opened before the sides are forked. A side sends through `out`, or receives
 * through `in` into `taken`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peers/stream_peer.h"

struct fd_channel {
	int in;
	int out;
};

struct fd_end {
	const struct fd_channel *channel;
	struct stream_event taken[STREAM_BATCH];
};

#define FD_EVENT(h, i, bytes) \
	((const uint64_t *)((h)->taken[0].word + (uint32_t)(i) * ((bytes) / 8)))

/* The result of a call, or 0 when it would have had to wait. */
STREAM_INLINE ssize_t fd_result(ssize_t result, const char *call)
{
	if (result >= 0 || errno == EAGAIN || errno == EINTR)
		return result < 0 ? 0 : result;
	bench_why("%s: %s", call, strerror(errno));
	return -1;
}

static int fd_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* A channel of these two. A side that may not wait for the other one polls. */
static void *fd_make(const struct stream_spec *spec, int in, int out)
{
	struct fd_channel *channel = malloc(sizeof(*channel));

	if (!channel ||
	    (!spec->sleeping && (fd_nonblocking(in) || fd_nonblocking(out)))) {
		bench_why("%s", strerror(errno));
		close(in);
		close(out);
		free(channel);
		return NULL;
	}
	*channel = (struct fd_channel){.in = in, .out = out};
	return channel;
}

static void fd_unmake(void *arg)
{
	struct fd_channel *channel = arg;

	close(channel->in);
	close(channel->out);
	free(channel);
}

/* True of all that the kernel passes on. */
#define FD_PEER(title)                                                        \
	{                                                                     \
		.name = title, .package = "",                                 \
		.copies = "in and out, by the kernel", .across = "processes", \
		.death = "stops nobody", .kind = BENCH_PEER,                  \
	}
#define FD_STREAM \
	.slow = 32, .make = make, .unmake = fd_unmake, STREAM_ENDS, STREAM_LOOPS
