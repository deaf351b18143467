/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Unix socket of packets: send and recv, and for batches sendmmsg. A reader
 * takes what is there by recvmmsg.
 */
#include <sys/socket.h>

#include "bench/peers/stream_fd.h"

struct packets {
	struct mmsghdr headers[STREAM_BATCH];
	struct iovec parts[STREAM_BATCH];
};

STREAM_INLINE void packets_of(struct packets *p, const uint64_t *events,
			      uint32_t bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		p->parts[i] = (struct iovec){
			.iov_base = (void *)(events + i * (bytes / 8)),
			.iov_len = bytes,
		};
		p->headers[i] = (struct mmsghdr){
			.msg_hdr = {.msg_iov = &p->parts[i], .msg_iovlen = 1},
		};
	}
}

STREAM_INLINE int packets_send(struct fd_end *end, const uint64_t *events,
			       uint32_t bytes, uint32_t count)
{
	struct packets p;

	packets_of(&p, events, bytes, count);
	return (int)fd_result(sendmmsg(end->channel->out, p.headers, count, 0),
			      "sendmmsg");
}

STREAM_INLINE int packets_fetch(struct fd_end *end, uint32_t bytes)
{
	struct packets p;

	packets_of(&p, end->taken[0].word, bytes, STREAM_BATCH);
	return (int)fd_result(recvmmsg(end->channel->in, p.headers,
				       STREAM_BATCH, MSG_WAITFORONE, NULL),
			      "recvmmsg");
}

#define HANDLE struct fd_end
#define SEND(h, event, bytes)                                          \
	(fd_result(send((h)->channel->out, event, bytes, 0), "send") / \
	 (ssize_t)(bytes))
#define SEND_BATCH(h, events, bytes, count) \
	packets_send(h, events, bytes, (uint32_t)(count))
#define FETCH(h, bytes)       packets_fetch(h, bytes)
#define EVENT(h, i, bytes)    FD_EVENT(h, i, bytes)
#define DONE(h, count, bytes) ((void)0)

#include "bench/peers/stream_loops.h"

static void *make(const struct stream_spec *spec)
{
	int ends[2], bytes = STREAM_RING_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		bench_why("socketpair: %s", strerror(errno));
		return NULL;
	}
	/* As much as is allowed. */
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd_make(spec, ends[0], ends[1]);
}

const struct stream_peer stream_seqpacket = {
	.peer = FD_PEER("Unix SEQPACKET socket"),
	.fits = 32,
	FD_STREAM,
};
