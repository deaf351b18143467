/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules and types that producers, consumers and observers share.
 *
 * ERRORS. A call returns 0 or a positive result, or -errno. Full (-EAGAIN),
 * empty (0) and overrun (a gap record) are normal results. On error, outputs
 * are NULL or zero. The library never prints, exits, or installs a signal
 * handler.
 *
 * STRUCTS that begin with `size` grow at their end. The caller MUST set `size`
 * to sizeof the struct, and SHOULD set the rest to zero before it sets what it
 * needs: zero is the default everywhere. A field that this library does not
 * know MUST be zero (-EINVAL).
 *
 * THREADS. One thread at a time MAY use a handle. A producer is the exception:
 * any number of threads MAY make its emitting calls at once. The library
 * relies on rseq, which libc sets up for each thread that it makes. So a
 * thread that libc did not make (by clone(2) with CLONE_VM) MUST NOT make any
 * call.
 *
 * SIGNAL HANDLERS MAY make the emitting calls of a producer, at any
 * instruction of the interrupted thread, and the other calls that say so. They
 * MUST NOT make any other call. On a channel whose full policy is `wait`, an
 * emitting call sleeps in the handler for up to the channel's wait, unless its
 * tag has TAPIO_NO_WAIT.
 *
 * FORK. A child has no mappings of ours and no use of its parent's handles:
 * every call returns -ECHILD there, and data that a view or a reservation
 * points to MUST NOT be touched. Closing such a handle frees its memory only,
 * and the parent keeps its own. The child SHOULD open new handles. A child of
 * vfork(2) MUST NOT make any call before exec, because it runs in its parent's
 * memory. exec closes everything.
 *
 * CANCELLATION. A call is no cancellation point, but for an emitting call that
 * waits for room: when its thread is cancelled there, it has emitted nothing.
 * A thread MUST NOT be in any call with PTHREAD_CANCEL_ASYNCHRONOUS.
 *
 * DESCRIPTORS of the library are CLOEXEC and above 2, also where 0, 1 or 2 is
 * closed. A program SHOULD NOT close them. If it does, as closefrom(3) does,
 * the library notices before it uses a number that belongs to another file
 * now. The handle goes on without the broker (tapio_*_connected returns 0),
 * and the broker keeps what it has granted until the handle is closed. Between
 * that look and its use no other thread SHOULD close and open descriptors.
 *
 * THE BROKER'S DEATH stops no event: handles work on with the memory that they
 * have. A program has nothing to do. When a broker takes over that memory, each
 * handle connects again by itself: an idle consumer or observer within 100 ms, a
 * producer with its next event (once in 100 ms while no broker is there), and all
 * of them in close and tapio_*_connected(). No thread is made for it, and an
 * emitting call, a poll or a release waits for it for two milliseconds at most.
 * tapio_*_broker() tells a restart from an end. Where the next
 * broker has given up the handle, it is lost: it works on with its memory,
 * tapio_*_connected() stays 0, and tapio_*_error() says why.
 *
 * ANOTHER INSTANCE. Keeper and broker have died together, or tapiod was stopped
 * and started anew. Then the next broker has new memory, and each handle moves
 * there by itself: a producer with its next event, a consumer or an observer
 * when it has read the old memory to its end (tapio_poll). A call that moves
 * takes as long as an open, a second at most for each answer, also in a signal
 * handler. A reader gets one record for it (TAPIO_GAP_INSTANCE). The broker MUST
 * have the uid of the one before. Where that broker refuses, the handle works
 * on with the old memory, tapio_*_error() says why, and it asks again once a
 * second. A handle keeps the old memory mapped until it moves again or is closed.
 * Of an instance that comes and goes while a reader does not look, the reader
 * knows nothing.
 *
 * KILLS. SIGKILL and SIGSTOP at any instruction stop only this process. The
 * broker takes back what the dead held: reserved blocks, leases, a place in a
 * group.
 *
 * OPENING a handle blocks for at most connect_ns while no broker is there, and
 * then for at most answer_ns until the broker has answered (tapio_options). It
 * MUST NOT be called in a signal handler. The errors of all
 * open calls, and of tapio_group_remove, are these. options->error gets each
 * with its numbers:
 *
 *   errno            | cause                            | remedy
 *   -ECONNREFUSED    | no broker listens at the socket, | start tapiod, name its
 *                    | or it has just ended             | socket, or set connect_ns
 *   -ETIMEDOUT       | a broker listens and is mute     | look at tapiod (stopped?)
 *   -ENOENT          | it has no such channel           | tapio-shmstat channels
 *   -EACCES          | no right to this role on this    | an `allow` rule in
 *                    | channel, or to the socket        | tapiod.conf(5), or
 *                    |                                  | socket_mode, socket_group
 *   -ESHUTDOWN       | the channel was removed from the | put it back and reload,
 *                    | configuration, and takes no new  | or another channel
 *                    | producer and no new group        |
 *   -EUSERS          | as many clients as clients_max,  | raise the limit, or close
 *                    | or groups as groups_max, or      | handles
 *                    | producers as producers_max of an |
 *                    | isolated channel                 |
 *   -EDQUOT          | this user has its share of       | close handles, or raise
 *                    | clients, or of a channel's       | uid_clients_max or
 *                    | groups                           | uid_groups_max
 *   -EAGAIN          | the broker is short of           | open again; its
 *                    | descriptors, or overrun by new   | LimitNOFILE
 *                    | connections, for as long as an   |
 *                    | answer may take                  |
 *   -EINVAL          | an option or a name is wrong     | see options->error
 *   -ENAMETOOLONG    | a name has more than 63 bytes    | a shorter one
 *   -EPROTONOSUPPORT | the broker has another version   | the same version for both
 *   -EPROTO          | something else answers there     | the socket's name
 *   -EBADMSG         | a segment is not what its header | a defect of the broker:
 *                    | says                             | report it
 *   -EMFILE, -ENFILE | too few descriptors: an answer   | raise RLIMIT_NOFILE
 *                    | has up to 128                    |
 *   -ENOMEM          | no memory, or no address space   | free some, or raise
 *                    |                                  | RLIMIT_AS
 */
#ifndef TAPIO_COMMON_H
#define TAPIO_COMMON_H

/* First: it refuses other targets before their C library does. */
#include <tapio/version.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the system's broker listens unless it is configured otherwise. */
#define TAPIO_SOCKET_DEFAULT "/run/tapio/tapiod.sock"

/* For every time-out: wait without end. */
#define TAPIO_FOREVER INT64_C(-1)

/* How to reach the broker. A NULL pointer means all defaults. */
struct tapio_options {
	size_t size; /* sizeof(struct tapio_options) */
	/* A path, or "@name" for an abstract socket. NULL: the first of the
	 * environment's TAPIO_SOCKET, $XDG_RUNTIME_DIR/tapio/tapiod.sock if
	 * that exists (not for root), TAPIO_SOCKET_DEFAULT. */
	const char *socket;
	/* How long to wait for a broker that is not there yet: nanoseconds,
	 * 0 not at all, TAPIO_FOREVER. (One that is there may take answer_ns.) */
	int64_t connect_ns;
	/* If not NULL, a failed open writes its reason here, with the numbers,
	 * and ends it with NUL. */
	char *error;
	size_t error_bytes;
	/* How long a broker that is there may take to answer: nanoseconds,
	 * TAPIO_FOREVER. 0: 5 seconds, or connect_ns if that is longer. It counts
	 * where the broker is stopped, or has no CPU. A program that MUST NOT
	 * wait sets it to as little as it likes, and gets -ETIMEDOUT. */
	int64_t answer_ns;
};

/*
 * A tag says what an event is: type (1 to 65535, event_types.h names some),
 * severity (0 to 15, larger is more severe) and, with TAPIO_TAG_CLASS, the
 * class of lanes to use, by its index in the channel (tapio_producer_class).
 * Without a class the library takes the smallest class of the lowest priority
 * that holds the event.
 */
#define TAPIO_TAG(type, severity)                             \
	(TAPIO_CAST_(uint32_t, TAPIO_CAST_(uint16_t, type)) | \
	 ((TAPIO_CAST_(uint32_t, severity) & 0xfu)) << 16)
/* The same in the channel's class of that index. */
#define TAPIO_TAG_CLASS(type, severity, klass) \
	(TAPIO_TAG(type, severity) | (TAPIO_CAST_(uint32_t, klass) + 1) << 24)

/*
 * A bit in the tag of a call that MUST NOT wait for room: without room it returns
 * -EAGAIN, also on a channel with `full = wait`. A signal handler SHOULD set it.
 * The library cannot know that it runs in one, and would sleep there for the
 * channel's wait, while the interrupted thread may be the one that makes room.
 * The bit belongs to the call. It is no part of the event.
 */
#define TAPIO_NO_WAIT UINT32_C(0x100000)

#define TAPIO_TAG_TYPE(tag)     TAPIO_CAST_(uint16_t, tag)
#define TAPIO_TAG_SEVERITY(tag) TAPIO_CAST_(uint8_t, 0xfu & (tag) >> 16)

/*
 * The answers of tapio_producer_broker(), tapio_consumer_broker() and
 * tapio_observer_broker().
 * The handle works on with its memory in each case.
 */
#define TAPIO_LINK_THERE 1 /* a broker serves it: tapio_*_connected() is 1 */
/* None serves it now, and one is on its way: something holds the socket, as a keeper
 * does, and has not answered yet, or a broker with other memory is there, and the handle
 * has not moved yet. */
#define TAPIO_LINK_RESTARTING 2
/* Nothing holds the socket. The broker has stopped, or was lost with its keeper. The
 * handle goes on when one comes. */
#define TAPIO_LINK_ABSENT 3
/* The broker that is there does not take it: tapio_*_error() says why. */
#define TAPIO_LINK_REFUSED 4
/*
 * As THERE, but the configuration of the broker does not name the channel any more.
 * Emitting works, and consumers read on. No new producer can be opened. The program
 * SHOULD close the handle when it can: the channel's memory stays until then. THERE
 * again if the configuration names the channel again before.
 */
#define TAPIO_LINK_REMOVED 5

/* The longest merge_ns of consumers and observers: a minute. */
#define TAPIO_MERGE_NS_MAX UINT64_C(60000000000)

/*
 * An event as a reader sees it. `data` lies in shared memory that the
 * producers of the channel can write (consumers), or in a copy (observers),
 * aligned to 8 bytes. A reader that does not trust the producers MUST copy a
 * value before it checks it.
 */
struct tapio_view {
	const void *data;
	uint64_t position; /* (lane, position) names the event */
	uint64_t time;     /* the stamp (0: none), see tapio_*_time_ns */
	uint32_t lane;
	uint32_t length; /* of data, in bytes */
	uint16_t type;
	uint8_t severity;
	uint8_t klass;  /* index of the class that it came through */
	uint32_t flags; /* TAPIO_VIEW_* */
};

/* The view is no event: data is a struct tapio_gap, and type is 0. */
#define TAPIO_VIEW_GAP UINT32_C(1)
/* It is of the memory that the handle has left (TAPIO_GAP_INSTANCE). */
#define TAPIO_VIEW_FORMER UINT32_C(2)

#define TAPIO_GAP_OVERRUN  1 /* events were overwritten before they were read */
#define TAPIO_GAP_CORRUPT  2 /* the lane's words there are impossible */
#define TAPIO_GAP_INSTANCE 3 /* the handle has moved to a new broker's memory */

/*
 * One gap in the events of one lane, however many events are missing. A reader
 * has one record of a lane at a time in its hands. Events that it misses there
 * meanwhile come in one record after the next release (of an observer: in the
 * next call). The last view of a call is left to an event, if there is one: its
 * record comes with the next call. So a reader that takes one view at a time and
 * is overrun each time gets events, too.
 *
 * TAPIO_GAP_INSTANCE is no gap in a lane. It comes once for each move (ANOTHER
 * INSTANCE), between the events of the old memory and those of the new one, and
 * its view has the lane UINT32_MAX. Positions begin anew there, so (lane, position)
 * names another event from then on. `count` is how many positions of the new
 * memory were overwritten before this handle could join, and `first` how many
 * were left unread in a memory that this handle gave up for good. Both are 0 as a
 * rule. Events that a producer publishes in the old memory after it come later,
 * with TAPIO_VIEW_FORMER.
 */
struct tapio_gap {
	uint64_t count; /* positions missed, with discards */
	uint64_t first; /* position. INSTANCE: positions left unread */
	uint64_t last;  /* position. INSTANCE: 0 */
	uint32_t cause; /* TAPIO_GAP_* */
	uint32_t reserved;
};

#ifdef __cplusplus
}
#endif

#endif
