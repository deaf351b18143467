/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A POSIX message queue. It has no batches. Unprivileged users get queues of a
 * few messages (/proc/sys/fs/mqueue/msg_max).
 */
#include <mqueue.h>
#include <stdio.h>

#include "bench/peers/stream_fd.h"

#define MQ_MESSAGES_MOST  1024 /* in the kernel a queue of many is a tree */
#define MQ_MESSAGES_LEAST 8

STREAM_INLINE int mq_put(struct fd_end *end, const uint64_t *event,
			 uint32_t bytes)
{
	if (mq_send(end->channel->out, (const char *)event, bytes, 0) == 0)
		return 1;
	return (int)fd_result(-1, "mq_send");
}

STREAM_INLINE int mq_fetch(struct fd_end *end, uint32_t bytes)
{
	return (int)fd_result(mq_receive(end->channel->in, (char *)end->taken,
					 sizeof(end->taken[0]), NULL),
			      "mq_receive") /
	       (int)bytes;
}

#define HANDLE                struct fd_end
#define SEND(h, event, bytes) mq_put(h, event, bytes)
#define FETCH(h, bytes)       mq_fetch(h, bytes)
#define EVENT(h, i, bytes)    FD_EVENT(h, i, bytes)
#define DONE(h, count, bytes) ((void)0)

#include "bench/peers/stream_loops.h"

/* The largest queue that is allowed. */
static mqd_t open_queue(const char *name, uint32_t bytes)
{
	struct mq_attr attr = {.mq_msgsize = bytes};
	mqd_t queue = -1;

	for (attr.mq_maxmsg = MQ_MESSAGES_MOST;
	     queue < 0 && attr.mq_maxmsg >= MQ_MESSAGES_LEAST;
	     attr.mq_maxmsg /= 2)
		queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
				0600, &attr);
	return queue;
}

static void *make(const struct stream_spec *spec)
{
	char name[64];
	mqd_t queue;
	int other;

	snprintf(name, sizeof(name), "/tapio-bench-%d", (int)getpid());
	queue = open_queue(name, spec->bytes);
	if (queue < 0) {
		bench_why("mq_open: %s", strerror(errno));
		return NULL;
	}
	mq_unlink(name);
	other = dup(queue);
	if (other < 0) {
		bench_why("dup: %s", strerror(errno));
		close(queue);
		return NULL;
	}
	return fd_make(spec, queue, other);
}

const struct stream_peer stream_mq = {
	.peer = FD_PEER("POSIX message queue"),
	.fits = MQ_MESSAGES_LEAST,
	FD_STREAM,
};
