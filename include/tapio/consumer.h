/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consuming events, in place, from memory that the consumer cannot write.
 *
 *	struct tapio_view views[64];
 *	int n = tapio_poll(c, views, 64, TAPIO_FOREVER);
 *	for (int i = 0; i < n; i++)
 *		use(views[i].data, views[i].length);
 *	tapio_release(c);
 *
 * Every group sees every event; inside a group each event goes to one member.
 * An event counts as consumed when it is released: what a member had not
 * released when it died is delivered again to the next one.
 */
#ifndef TAPIO_CONSUMER_H
#define TAPIO_CONSUMER_H

#include <tapio/abi.h> /* TAPIO_GROUP_*: the policies */
#include <tapio/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_consumer;

#define TAPIO_START_NEWEST 0 /* from the moment of joining */
#define TAPIO_START_OLDEST 1 /* and before that, what the lanes still hold */

/*
 * Whether the time from an event's stamp to the tapio_poll that hands it out goes
 * to the group's histogram, where `tapio-shmstat groups` finds it. It costs one
 * look at the clock for each lane that gives something to a tapio_poll (some 20 ns;
 * `tapio-bench --run poll`); channels without stamps have none.
 */
#define TAPIO_LATENCY_RECORDED 0
#define TAPIO_LATENCY_OFF      1

struct tapio_consumer_options {
	size_t size; /* sizeof(struct tapio_consumer_options) */
	struct tapio_options broker;
	/* Name of the group; NULL: one of its own, gone with it. */
	const char *group;
	uint32_t policy; /* TAPIO_GROUP_* */
	uint32_t lag;    /* TAPIO_GROUP_UNTIL: positions; 0: half a lane */
	uint32_t start;  /* TAPIO_START_*; for the group's first member */
	/* Filter: events that do not pass are released unseen and counted as
	 * skipped. Zero: everything passes. */
	uint8_t severity_min;
	uint8_t reserved[3];
	uint32_t class_mask; /* bit per class index */
	uint32_t type_count;
	const uint16_t *types; /* copied */
	/* 1: the group stays when nobody is attached (tapio_group_remove) */
	uint32_t durable;
	/* How long tapio_poll looks before it sleeps, in nanoseconds; 0: 20,000. */
	uint32_t spin_ns;
	uint32_t latency; /* TAPIO_LATENCY_* */
	uint32_t reserved1;
	/*
	 * Not 0: events of all lanes that this member has come in the order of
	 * their time stamps. Each waits until it is so many nanoseconds old (a
	 * minute at most), for earlier ones to be published; what comes later
	 * than that is handed out and counted as late. Priorities do not matter
	 * then. A lane that is a quarter full waits for nothing, so a lane
	 * should have room for four times what is published in that time.
	 * -EINVAL for a channel without stamps.
	 */
	uint64_t merge_ns;
	/*
	 * Above 1: a tapio_poll that may wait returns when so many events (half
	 * a lane at most) are unread on one lane of this member, or wake_ns
	 * after it has seen the first one (0: 100 ms), or when its time-out has
	 * passed; for few wake-ups with many events each. It does not spin. While
	 * a tapio_poll fills all its views, the next one waits for no more events.
	 * Events that the filter refuses count, too. What tapio_fd returns
	 * becomes readable by the same rule. Not with merge_ns: -EINVAL.
	 */
	uint32_t wake_events;
	uint32_t reserved2;
	uint64_t wake_ns; /* a minute at most */
};

/*
 * Joins a group of a channel. Errors as tapio_producer_open, and -EPERM for a
 * policy that the configuration does not grant, -EUSERS when all group slots are
 * in use, -EBUSY when the group exists with other options.
 */
TAPIO_API int tapio_consumer_open(struct tapio_consumer **out,
				  const char *channel,
				  const struct tapio_consumer_options *options);

/* Leaves; what was polled and not released goes to other members. */
TAPIO_API void tapio_consumer_close(struct tapio_consumer *consumer);

/*
 * Ends a durable group that a client had asked for and that nobody is in: producers
 * do not wait for it any more, and what it had not consumed is not kept for it.
 * For the uid that made the group, and for those who may do everything (see
 * trust_owner in tapiod.conf(5)). By any thread. Errors as tapio_producer_open (no
 * such channel, no broker), and -ENXIO no such group, -EBUSY it has members,
 * -EACCES it is another uid's, -EPERM it is the configuration's, -EOPNOTSUPP the
 * broker is older than this call.
 */
TAPIO_API int tapio_group_remove(const struct tapio_options *options,
				 const char *channel, const char *group);

/*
 * Fills up to `max` views with the next events and returns how many: 0 when the
 * time-out (nanoseconds; 0 just looks, TAPIO_FOREVER waits) passed first. Within
 * a lane events come in order. Views and what they point to are valid until the
 * next tapio_release or close; polling again without a release hands out more.
 * With a lossy policy, or `lag`, data may be overwritten under the reader:
 * tapio_view_intact tells, or tapio_release of all at once. A caller that comes
 * back at once, many times in a row, and finds few events each time, waits up to a
 * microsecond before the look: more events are there then, and the producer is
 * not disturbed for each.
 *
 * -EINTR a signal handler ran while it slept; -ENOTCONN the group was ended by
 * the broker (views already handed out stay valid until release); -ECHILD.
 */
TAPIO_API int tapio_poll(struct tapio_consumer *consumer,
			 struct tapio_view *views, unsigned int max,
			 int64_t timeout_ns);

/*
 * Whether a view's data was whole up to now: 1, or 0 when it may have been
 * overwritten while it was read. Ask when you are done with the view (have copied
 * or formatted it, say) and before its release; throw away what you made of one
 * that was not whole. The first answer is what counts: what was whole then is
 * delivered, whatever happens until the release, and what was not is lost. Ask
 * about the views in the order in which they were handed out, and about all or
 * none: those of a lane that were not asked about are judged at the release, by
 * the oldest view of the batch. Some 5 ns; 1 at once for records of gaps, and
 * always in a lossless group. By the thread that polls. -EINVAL not a view of this
 * consumer; -ECHILD.
 */
TAPIO_API int tapio_view_intact(struct tapio_consumer *consumer,
				const struct tapio_view *view);

/*
 * Releases everything polled so far. Returns 0, or how many of the events handed
 * out since the last release may have been overwritten while they were read:
 * they are counted as lost, and the reader must throw away what it made of them
 * (tapio_view_intact tells which).
 * -ECHILD after fork.
 */
TAPIO_API int64_t tapio_release(struct tapio_consumer *consumer);

/*
 * A descriptor that polls readable when there may be something to consume, for
 * epoll, poll and io_uring; it is the consumer's, do not close it. Starts a
 * helper thread on its first call. tapio_poll with time-out 0 clears it once it
 * finds nothing, and not before: a loop may take one batch each time. With
 * wake_events it becomes readable for that many, or when their time is over; with
 * merge_ns also when what came is old enough. -EMFILE, -EAGAIN (no thread), -ECHILD.
 */
TAPIO_API int tapio_fd(struct tapio_consumer *consumer);

/* Counts of the group on all lanes, in positions. */
struct tapio_consumer_stats {
	size_t size;        /* set by the caller */
	uint64_t delivered; /* released by any member */
	uint64_t skipped;   /* discards and filtered */
	uint64_t lost;      /* overwritten, noticed or not */
	uint64_t in_flight; /* still to be released: what the ring holds */
	uint64_t sleeps;    /* of this consumer */
	uint64_t wakeups;
	uint32_t lanes; /* leased by this consumer */
	uint32_t lane_count;
	uint64_t late; /* with merge_ns: out of order; of this consumer */
};
TAPIO_API int tapio_consumer_stats_read(const struct tapio_consumer *consumer,
					struct tapio_consumer_stats *stats);

/* A view's time as CLOCK_REALTIME nanoseconds; 0 when it has none. */
TAPIO_API uint64_t tapio_consumer_time_ns(const struct tapio_consumer *c,
					  uint64_t time);

TAPIO_API const char *tapio_consumer_error(const struct tapio_consumer *c);

/* 1 while the broker that we attached to is there, 0 when it has gone. */
TAPIO_API int tapio_consumer_connected(const struct tapio_consumer *consumer);

#ifdef __cplusplus
}
#endif

#endif
