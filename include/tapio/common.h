/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What producers, consumers and observers share: options, tags, results.
 *
 * Threads. A handle may be used by one thread at a time, except for a producer,
 * whose emitting calls may be made by any number of threads and by signal
 * handlers at once. Opening and closing is not for signal handlers.
 *
 * Errors. 0 or a positive result, or -errno. Full, empty and overrun are
 * results. The library never prints, exits, or installs signal handlers.
 *
 * fork. A handle is dead in the child: every call returns -ECHILD there, and
 * closing it frees its memory only. Open new ones. exec closes everything.
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

/* Wait without end for a broker, a timeout, an event. */
#define TAPIO_FOREVER INT64_C(-1)

/*
 * How to reach the broker. Set `size` to sizeof(struct tapio_options) and the
 * rest to zero for the defaults; a NULL pointer means the same.
 */
struct tapio_options {
	size_t size;
	/* A path, or "@name" for an abstract socket. NULL: the environment's
	 * TAPIO_SOCKET; else $XDG_RUNTIME_DIR/tapio/tapiod.sock if that exists
	 * (not for root); else TAPIO_SOCKET_DEFAULT. */
	const char *socket;
	/* How long to wait for a broker that is not there yet: nanoseconds,
	 * 0 not at all, TAPIO_FOREVER. */
	int64_t connect_ns;
	/* If not NULL, a failed open writes here, with the numbers, why. */
	char *error;
	size_t error_bytes;
};

/*
 * A tag says what an event is: type (1 to 65535; event.h names some), severity
 * (0 to 15, larger is more severe) and, if not zero, the class of lanes to use.
 */
#define TAPIO_TAG(type, severity)                             \
	(TAPIO_CAST_(uint32_t, TAPIO_CAST_(uint16_t, type)) | \
	 ((TAPIO_CAST_(uint32_t, severity) & 0xfu)) << 16)
/* The same in the channel's class of that index (tapio_producer_class). */
#define TAPIO_TAG_CLASS(type, severity, klass) \
	(TAPIO_TAG(type, severity) | (TAPIO_CAST_(uint32_t, klass) + 1) << 24)
/*
 * Or this into the tag, and the call does not wait for room, whatever the channel's
 * policy is: it returns -EAGAIN. A signal handler SHOULD do so, because the library
 * cannot know that it is in one: with `full = wait` the call would sleep there for
 * the channel's wait, and the interrupted thread may be the one to make the room.
 * It is part of the call, not of the event.
 */
#define TAPIO_NO_WAIT           UINT32_C(0x100000)
#define TAPIO_TAG_TYPE(tag)     TAPIO_CAST_(uint16_t, tag)
#define TAPIO_TAG_SEVERITY(tag) TAPIO_CAST_(uint8_t, 0xfu & (tag) >> 16)

/* The longest wait of a merge (merge_ns of consumers and observers). */
#define TAPIO_MERGE_NS_MAX UINT64_C(60000000000)

/* An event as a reader sees it. */
struct tapio_view {
	const void *data;
	uint64_t position; /* (lane, position) names the event */
	uint64_t time;     /* as stamped; tapio_*_time_ns converts; 0: none */
	uint32_t lane;
	uint32_t length; /* of data, in bytes */
	uint16_t type;
	uint8_t severity;
	uint8_t klass;  /* index of the class it came through */
	uint32_t flags; /* TAPIO_VIEW_* */
};

/* Not an event: data is a struct tapio_gap, type 0. */
#define TAPIO_VIEW_GAP UINT32_C(1)

#define TAPIO_GAP_OVERRUN    1 /* the ring went round before it was read */
#define TAPIO_GAP_QUARANTINE 2 /* the lane's state is impossible: not read */

/* What a reader missed on one lane: one record, however many events. */
struct tapio_gap {
	uint64_t count; /* positions missed, discards included */
	uint64_t first; /* position */
	uint64_t last;  /* position */
	uint32_t cause; /* TAPIO_GAP_* */
	uint32_t reserved;
};

#ifdef __cplusplus
}
#endif

#endif
