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
 * Every group sees every event. Inside a group each event goes to one member.
 * An event counts as consumed when it is released: the next member gets again
 * what a member had not released when it died. So a program SHOULD release
 * only what it has dealt with, and MUST expect to see an event again after a
 * crash. (lane, position) tells it apart.
 *
 * Threads. One thread at a time MAY use a consumer. A signal handler MUST NOT
 * make any call here. All calls follow the rules of common.h.
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
 * Whether the time from an event's stamp to the tapio_poll that hands it out
 * goes to the histogram of the group, which `tapio-shmstat groups` shows. It
 * costs one look at the clock for each lane that gives something to a
 * tapio_poll (some 20 ns, `tapio-bench --run poll`). Channels without stamps
 * have no latencies.
 */
#define TAPIO_LATENCY_RECORDED 0
#define TAPIO_LATENCY_OFF      1

struct tapio_consumer_options {
	size_t size; /* sizeof(struct tapio_consumer_options) */
	struct tapio_options broker;
	/* Name of the group, 1 to 63 printable characters. NULL: a group of its
	 * own, which ends with the consumer. */
	const char *group;
	/*
	 * TAPIO_GROUP_*. The effect on producers while the group lags:
	 *   DEFAULT   as configured. A group that is not in the configuration
	 *             is UNTIL half a lane: it never stops producers for good,
	 *             and a reader further behind loses events and gets gap
	 *             records.
	 *   LOSSY     never holds producers
	 *   UNTIL     holds them up to `lag` positions
	 *   LOSSLESS  holds them for as long as it takes. Needs the role
	 *             `lossless` (tapiod.conf(5)).
	 */
	uint32_t policy;
	uint32_t lag; /* UNTIL: positions, less than a lane (0: half a lane) */
	uint32_t start; /* TAPIO_START_*, for the group's first member */
	/* Filter. Events that do not pass are released unseen and counted as
	 * skipped. Zero: everything passes. All members of a group MUST have
	 * the same one (-EBUSY). A durable group without members takes that
	 * of the next member. */
	uint8_t severity_min;
	uint8_t reserved[3];
	uint32_t class_mask; /* a bit per class index */
	uint32_t type_count;
	const uint16_t *types; /* copied */
	/* 1: the group stays when its last member leaves, until
	 * tapio_group_remove. It needs a name, and to make it the role
	 * `durable` (tapiod.conf(5)). */
	uint32_t durable;
	/* For how long tapio_poll looks before it sleeps, in nanoseconds. 0: for
	 * 20,000 while most of the last events came within that, else not at all.
	 * Looking makes events come microseconds earlier, and uses a CPU. */
	uint32_t spin_ns;
	uint32_t latency; /* TAPIO_LATENCY_* */
	uint32_t reserved1;
	/*
	 * Not 0: events of all lanes of this member come in the order of their
	 * time stamps. Each event waits until it is merge_ns nanoseconds old
	 * (TAPIO_MERGE_NS_MAX at most), so that earlier ones can be published
	 * meanwhile. An event that is published later than that is handed out
	 * late, and counted. An event whose stamp lies in the future waits
	 * until merge_ns after this reader saw it first, by a clock that cannot
	 * be set, and makes no other event late. The events of start OLDEST are
	 * merged, too. Priorities have no effect then. A lane that is a
	 * quarter full does not wait, so a lane SHOULD have room for four times
	 * the events of merge_ns. The channel MUST have stamps (-EINVAL).
	 */
	uint64_t merge_ns;
	/*
	 * Above 1: fewer wake-ups with more events each. A tapio_poll that may
	 * wait returns when wake_events (half a lane at most) are unread on
	 * one lane of this member, or wake_ns after it saw the first one, or
	 * when its time-out has passed. It does not spin. While a tapio_poll
	 * fills all its views, the next one does not wait for more. Events
	 * that the filter refuses count, too. The descriptor of tapio_fd
	 * becomes readable by the same rule. MUST NOT be combined with
	 * merge_ns (-EINVAL).
	 */
	uint32_t wake_events;
	uint32_t reserved2;
	uint64_t wake_ns; /* a minute at most (0: 100 ms) */
	/*
	 * After how many nanoseconds without a tapio_poll or tapio_release of
	 * a member that holds unreleased events another member of the group
	 * takes over its lanes and gets these events again, as after a death
	 * (0: as the group has it, else 30 s; TAPIO_FOREVER: never). From a
	 * member that holds none, lanes with unread events are taken over
	 * after a second, or after takeover_ns if that is less, also with
	 * TAPIO_FOREVER, and no event comes twice. (Where the kernel has no
	 * membarrier, after takeover_ns.) Both happen only while another member
	 * calls tapio_poll. All members MUST ask for the same, or for 0
	 * (-EBUSY).
	 */
	int64_t takeover_ns;
};

/*
 * Joins a group of a channel, and makes it if it does not exist. *out is NULL
 * on error. options may be NULL. May block, as common.h says (OPENING), with
 * the errors of the table there, and these:
 *
 *   errno   | cause                                   | remedy
 *   -EPERM  | LOSSLESS, or a lag of more than half of | an `allow` rule
 *           | the largest lanes, without the role     |
 *           | `lossless`                              |
 *           | a durable group that does not exist     | an `allow` rule
 *           | yet, without the role `durable`         |
 *   -EACCES | the group was made by another uid       | a group in tapiod.conf(5)
 *   -EBUSY  | the group exists with another policy,   | the same, or DEFAULT
 *           | lag or takeover_ns, or is not durable   | and 0
 *           | a member has another filter             | the same, or a group
 *           |                                         | of its own
 *   -EUSERS | all group slots are in use, or wait for | raise groups_max, end
 *           | former members of other uids to end     | such processes
 *   -EINVAL | an option is wrong                      | options->broker.error
 */
TAPIO_API int tapio_consumer_open(struct tapio_consumer **out,
				  const char *channel,
				  const struct tapio_consumer_options *options);

/*
 * Leaves the group and frees the handle. NULL is allowed. Other members get
 * what was polled and not released. Blocks for at most one second. Views and
 * the descriptor of tapio_fd MUST NOT be used any more.
 */
TAPIO_API void tapio_consumer_close(struct tapio_consumer *consumer);

/*
 * Ends a durable group without members that a client had made. Producers do
 * not wait for it any more, and its unread events are not kept for it. For the
 * uid that made the group, and for uids that may do everything (trust_owner in
 * tapiod.conf(5)). Any thread. options may be NULL. May block, and fails, as
 * an open does (common.h), and so:
 *
 *   errno       | cause                                 | remedy
 *   -ENXIO      | the channel has no such group         | tapio-group list
 *   -EBUSY      | the group has members                 | close them first
 *   -EACCES     | the group was made by another uid     | that uid, or root
 *   -EPERM      | the group is in the configuration     | edit tapiod.conf(5)
 *   -EOPNOTSUPP | the broker is older than this call    | a newer tapiod
 */
TAPIO_API int tapio_group_remove(const struct tapio_options *options,
				 const char *channel, const char *group);

/*
 * Fills up to `max` views with the next events. Within a lane events come in
 * the order of their positions. timeout_ns: nanoseconds, 0 to look only,
 * TAPIO_FOREVER.
 *
 *   result    | cause
 *   1 .. max  | so many views are filled
 *   0         | nothing came before the time-out
 *   -EINTR    | a signal handler ran while it slept
 *   -ENOTCONN | the broker has ended the group, and all its events are read.
 *             | Views that were handed out stay valid until the release. Open a
 *             | new consumer to go on.
 *   -ECHILD   | after fork
 *
 * Views, and the data they point to, are valid until the next tapio_release or
 * close. Another tapio_poll without a release hands out more. Unless the group
 * is lossless, data MAY be overwritten under the reader, and in any group under
 * a reader that was relieved of its lanes (takeover_ns): a reader that wants to
 * know MUST ask tapio_view_intact, or look at the result of tapio_release.
 *
 * Lanes of a higher priority come first. Of eight calls that fill all their
 * views, one begins with a lower priority, and the lower ones take turns in
 * that. So with L priorities each has the first turn in one of 8 (L - 1) full
 * batches or more, however many events the others have.
 *
 * Nothing in shared memory stops a reader. Events that were overwritten, and
 * positions where the lane says something impossible, are passed over, are
 * counted as lost, and come as a view with TAPIO_VIEW_GAP.
 *
 * ANOTHER INSTANCE (common.h). A consumer joins its group in the memory of a new
 * broker by itself, with all that it was opened with. It gets the rest of the old
 * memory first, then one record with the cause TAPIO_GAP_INSTANCE, alone in its
 * call, and then all events of the new memory, from the oldest one. It does
 * not move while views are in the caller's hands, and not before the old memory
 * has been quiet for 120 ms or read for a second. Events that a producer publishes
 * there later come with TAPIO_VIEW_FORMER. A call that joins takes as long as an open, a
 * second at most. A broker that refuses is asked again each second, and
 * tapio_consumer_error() says why. A group that loses its last member in the new
 * memory ends, unless it is durable, and the next member that moves makes it anew
 * and begins at the oldest event again.
 *
 * Where events come closely, and the caller finds few of them each time, a call may
 * come to its first look up to a microsecond late. It tries that for eight looks, and
 * keeps to it only while events come faster then: each look disturbs the
 * producer. The time that the caller spends with events counts. Events that are a
 * microsecond apart or more, or that come at a rate of their own, are looked for
 * at once, but for a trial now and then.
 */
TAPIO_API int tapio_poll(struct tapio_consumer *consumer,
			 struct tapio_view *views, unsigned int max,
			 int64_t timeout_ns);

/*
 * Whether the data of a view was whole up to now: 1, or 0 when it may have
 * been overwritten while it was read. A reader SHOULD ask when it is done with
 * the view (has copied or formatted it), and MUST ask before the release. It
 * MUST discard its result when the answer is 0.
 *
 * The first answer counts: an event that was whole then is delivered, and one
 * that was not is lost, whatever happens until the release. A reader SHOULD
 * ask about the views in the order in which they were handed out, and about
 * all or none: views of a lane without a question are judged at the release,
 * by the oldest view of the batch. Some 5 ns. Always 1 for gap records, and in
 * a lossless group unless the lane was taken over (takeover_ns). -EINVAL: not a
 * view of this consumer. -ECHILD: after fork.
 */
TAPIO_API int tapio_view_intact(struct tapio_consumer *consumer,
				const struct tapio_view *view);

/*
 * Releases everything polled so far. Returns 0, or how many of the events
 * handed out since the last release may have been overwritten while they were
 * read. These are counted as lost, and the reader MUST discard its results
 * (tapio_view_intact tells which ones). -ECHILD: after fork.
 *
 * A member that slept for longer than takeover_ns with views in its hands may have
 * been relieved: another member has their lanes, and gets their events again. The
 * release of such views has no effect, and `relieved` of tapio_consumer_stats grows.
 * They count in the result if they may have been overwritten, but are not lost to
 * the group, not even where it is lossless. So a member that may sleep for so long
 * SHOULD ask tapio_view_intact, too, and MUST expect that its work is done twice.
 */
TAPIO_API int64_t tapio_release(struct tapio_consumer *consumer);

/*
 * A descriptor that polls readable when there may be something to consume, for
 * epoll, poll and io_uring. It belongs to the consumer: the caller MUST NOT
 * read, write or close it. The first call starts a helper thread with all
 * signals blocked, which ends with tapio_consumer_close. In a program that has
 * closed all descriptors the next call returns another one.
 *
 * tapio_poll with time-out 0 clears it once it finds nothing, and not before.
 * So a loop MAY take one batch each time, and MUST call tapio_poll until it
 * returns 0 before it relies on news. With wake_events it becomes readable for
 * so many events, or when wake_ns are over, and with merge_ns also when an
 * event is old enough. It stays the same over a move to another instance, and
 * becomes readable within 200 ms for the move and for late events.
 *
 *   errno            | cause                            | remedy
 *   -EMFILE, -ENFILE | no descriptor left               | raise RLIMIT_NOFILE
 *   -EAGAIN          | no thread left                   | raise RLIMIT_NPROC
 *   -ECHILD          | after fork                       | open a consumer
 */
TAPIO_API int tapio_fd(struct tapio_consumer *consumer);

/*
 * Counts of the group on all lanes, in positions. After a move to another
 * instance they are sums over all memories that the handle has had. The numbers
 * in the records of its moves are part of `lost`.
 */
struct tapio_consumer_stats {
	size_t size;        /* set by the caller */
	uint64_t delivered; /* released by any member */
	uint64_t skipped;   /* discards and filtered events */
	uint64_t lost;      /* overwritten before they were read */
	uint64_t in_flight; /* still to be released: at most what lanes hold */
	uint64_t sleeps;    /* of this consumer */
	uint64_t wakeups;   /* of these, ended by a producer */
	uint32_t lanes;     /* leased by this consumer now */
	uint32_t lane_count;
	uint64_t late; /* with merge_ns: out of order, of this consumer */
	/* How often another member has taken a lane over from this consumer, as
	 * far as this consumer has noticed. */
	uint64_t relieved;
};

/*
 * Fills in the fields that fit in stats->size. -ENOTCONN: the broker has ended
 * the group. -EINVAL: stats->size is too small for itself. -ECHILD: after
 * fork.
 */
TAPIO_API int tapio_consumer_stats_read(const struct tapio_consumer *consumer,
					struct tapio_consumer_stats *stats);

/*
 * The time of a view as CLOCK_REALTIME nanoseconds. 0: it has none. Stamps of the
 * memory before a move are converted, too, if the channel has stamps of the same
 * kind in both.
 */
TAPIO_API uint64_t tapio_consumer_time_ns(const struct tapio_consumer *c,
					  uint64_t time);

/*
 * The last error of the control connection, with numbers, or "". Valid until
 * the handle is closed. (A failed open has no handle: it writes to
 * options->broker.error.)
 */
TAPIO_API const char *tapio_consumer_error(const struct tapio_consumer *c);

/* As tapio_producer_connected. */
TAPIO_API int tapio_consumer_connected(const struct tapio_consumer *consumer);

/* As tapio_producer_broker. */
TAPIO_API int tapio_consumer_broker(const struct tapio_consumer *consumer);

/*
 * The name of the memory that views without TAPIO_VIEW_FORMER are of, 16 random bytes: with it
 * (lane, position) names an event for good. `tapio-shmstat broker` shows it in hexadecimal. It is
 * another one once tapio_poll has returned the record of a move. 0, or -ECHILD after fork.
 */
TAPIO_API int tapio_consumer_instance(const struct tapio_consumer *consumer,
				      unsigned char instance[16]);

#ifdef __cplusplus
}
#endif

#endif
