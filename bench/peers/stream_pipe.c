/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe, as large as it may be. A batch is one write, and a reader takes what
 * is there in one read. Pages are a multiple of all our sizes, so that a write
 * or read that is cut short is so between events.
 */
#include "bench/peers/stream_fd.h"

STREAM_INLINE int pipe_events(ssize_t result, uint32_t bytes)
{
	if (result <= 0 || result % bytes == 0)
		return (int)result / (int)bytes;
	bench_why("%zd bytes are no whole events", result);
	return -1;
}

STREAM_INLINE int pipe_send(struct fd_end *end, const uint64_t *events,
			    uint32_t bytes, uint32_t count)
{
	return pipe_events(
		fd_result(write(end->channel->out, events, count * bytes),
			  "write"),
		bytes);
}

STREAM_INLINE int pipe_fetch(struct fd_end *end, uint32_t bytes)
{
	return pipe_events(fd_result(read(end->channel->in, end->taken,
					  STREAM_BATCH * bytes),
				     "read"),
			   bytes);
}

#define HANDLE                struct fd_end
#define SEND(h, event, bytes) pipe_send(h, event, bytes, 1)
#define SEND_BATCH(h, events, bytes, count) \
	pipe_send(h, events, bytes, (uint32_t)(count))
#define FETCH(h, bytes)       pipe_fetch(h, bytes)
#define EVENT(h, i, bytes)    FD_EVENT(h, i, bytes)
#define DONE(h, count, bytes) ((void)0)

#include "bench/peers/stream_loops.h"

static void *make(const struct stream_spec *spec)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC)) {
		bench_why("pipe2: %s", strerror(errno));
		return NULL;
	}
	/* As large as ours if that is allowed, else as it is. */
	(void)fcntl(ends[1], F_SETPIPE_SZ, STREAM_RING_BYTES);
	return fd_make(spec, ends[0], ends[1]);
}

const struct stream_peer stream_pipe = {
	.peer = FD_PEER("pipe"),
	.fits = 32,
	FD_STREAM,
};
