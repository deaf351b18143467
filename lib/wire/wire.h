/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol: one SOCK_SEQPACKET message is one struct below. This
 * part is pure (no system call), so that it can be fuzzed without a broker.
 *
 *   client                              broker
 *   HELLO (+ own pidfd)          --->                  (since 1.6 with an ATTACH in it)
 *                                <---   WELCOME (+ catalog, read-only, and all that
 *                                                  ATTACHED and FETCHED have), or REFUSED
 *   ATTACH                       --->                  (if HELLO had none, or the broker
 *                                                  is older)
 *                                <---   ATTACHED (+ segments), or REFUSED
 *   DETACH                       --->                  (one attachment at a
 *                                <---   DETACHED        time per connection)
 *   REMOVE                       --->                  (since 1.1, a group
 *                                <---   REMOVED, or REFUSED  without members)
 *   MAPPED                       --->                  (since 1.5, a producer that
 *                                <---   SEALED, or REFUSED  has its own segment)
 *   FETCH                        --->                  (cursors of group slots, or
 *                                <---   FETCHED, or REFUSED  segments, read-only)
 *   RELOAD                       --->                  (since 1.4, root or the
 *                                <---   RELOADED, or REFUSED  broker's own uid)
 *   RESUME                       --->                  (since 1.4, in the place of
 *                                <---   RESUMED, or REFUSED  ATTACH)
 *   REPLACE                      --->                  (since 1.5, root or the
 *                                <---   HANDING, or REFUSED  broker's own uid)
 *                                <---   HANDED, again and again (+ all that it keeps)
 *   TAKE                         --->
 *                                <---   TAKEN          (and it ends)
 *
 * Each side says in its headers which minor version it speaks. It MUST NOT send
 * to an older version what that one does not know: types, and flags. A message may
 * grow at its end. An older side ignores the part that it does not know, and where an older
 * side sends less, the rest reads as zeros (tpi_wire_complete()).
 *
 * A message of another major version is answered by REFUSED with -EPROTONOSUPPORT
 * and both versions, in the layout of version 1, which never changes.
 */
#ifndef TPI_WIRE_H
#define TPI_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <tapio/abi.h>

#define TPI_WIRE_MAGIC UINT32_C(0x4d504154) /* "TAPM" */
#define TPI_WIRE_MAJOR 1
#ifndef TPI_WIRE_MINOR /* a test has another one */
#define TPI_WIRE_MINOR 7
#endif
#define TPI_WIRE_BYTES_MAX 512
/* Those of an ATTACHED. Descriptors that are sent and not received yet count against
 * the broker, so there are few in one message. */
#define TPI_WIRE_FDS_MAX   (TAPIO_NODES_MAX + 2)
#define TPI_WIRE_FETCH_MAX 16
/* Catalog, those of an ATTACHED, and the cursors of each slot. */
#define TPI_WIRE_WELCOME_FDS_MAX (1 + TPI_WIRE_FDS_MAX + TAPIO_GROUP_SLOTS)

enum tpi_wire_type {
	TPI_WIRE_HELLO = 1,
	TPI_WIRE_WELCOME,
	TPI_WIRE_ATTACH,
	TPI_WIRE_ATTACHED,
	TPI_WIRE_DETACH,
	TPI_WIRE_DETACHED,
	TPI_WIRE_REFUSED,
	TPI_WIRE_REMOVE, /* since minor 1 */
	TPI_WIRE_REMOVED,
	TPI_WIRE_FETCH, /* since minor 3 */
	TPI_WIRE_FETCHED,
	TPI_WIRE_RELOAD, /* since minor 4. It may be the first message */
	TPI_WIRE_RELOADED,
	TPI_WIRE_RESUME, /* since minor 4 */
	TPI_WIRE_RESUMED,
	TPI_WIRE_REPLACE, /* since minor 5. It may be the first message */
	TPI_WIRE_HANDING,
	TPI_WIRE_HANDED,
	TPI_WIRE_TAKE,
	TPI_WIRE_TAKEN,
	TPI_WIRE_MAPPED, /* since minor 5 */
	TPI_WIRE_SEALED,
};
#define TPI_WIRE_MINOR_REMOVE  1
#define TPI_WIRE_MINOR_RELOAD  4
#define TPI_WIRE_MINOR_RESUME  4
#define TPI_WIRE_MINOR_REPLACE 5
#define TPI_WIRE_MINOR_SEALED  5
#define TPI_WIRE_MINOR_BOARDS  6
#define TPI_WIRE_MINOR_JOINT   6
#define TPI_WIRE_MINOR_ROUNDS  7

struct tpi_wire_header {
	uint32_t magic;
	uint8_t major;
	uint8_t minor;
	uint16_t type;
	uint32_t length; /* of the whole message, bytes */
	uint32_t fd_count;
};

struct tpi_wire_attach {
	struct tpi_wire_header header;
	uint32_t role;   /* TAPIO_ROLE_* */
	uint32_t policy; /* TAPIO_GROUP_* (consumer.h): 0 is "as configured" */
	uint32_t lag;
	uint32_t flags; /* TPI_ATTACH_* */
	char channel[TAPIO_NAME_BYTES];
	char group[TAPIO_NAME_BYTES]; /* empty: a group of its own */
	/* Since minor 2: the filter, in which members of a group agree. */
	uint32_t severity_min;
	uint32_t class_mask;  /* 0: any class */
	uint64_t types;       /* digest of the set (0: any type) */
	uint64_t takeover_ns; /* 0: as the group has it */
	/* Since minor 4: names the handle within its process, and is the same when it
	 * asks again. 0: it has no name. */
	uint64_t handle;
#ifdef TPI_WIRE_GROWN /* in a test that speaks a later version */
	uint64_t later[TPI_WIRE_GROWN];
#endif
};
#define TPI_ATTACH_DURABLE UINT32_C(1)
/* A group that is made begins at the oldest event that is still held, and not at the tail.
 * A broker that does not know it leaves that to its member, which copies (history.c). */
#define TPI_ATTACH_HELD UINT32_C(2)

/*
 * fds: the channel's segments by index, then for a consumer the cursors of its
 * own slot, read-write. A producer and an inspector fetch cursors, read-only. Of an isolated
 * channel only the segment of the doorbells comes, and a producer's own. Readers fetch the
 * others, when these are sealed.
 */
struct tpi_wire_attached {
	struct tpi_wire_header header;
	uint32_t attachment;    /* name for owner and lease words */
	uint32_t channel;       /* index in the catalog */
	uint32_t segment_count; /* that came */
	/* Of a consumer: its slot's, and then those with its board, if they are another
	 * slot's. */
	uint32_t cursors_count;
	uint32_t group_slot;  /* consumers, else ~0 */
	uint32_t incarnation; /* of the slot */
	uint32_t policy;      /* TAPIO_GROUP_* as granted */
	uint32_t first;       /* 1: this member made the group */
	uint32_t own_segment; /* of an isolated producer: writable. Else 0 */
	uint32_t board; /* since minor 6: 1 + slot of a consumer's. 0: none */
};

struct tpi_wire_hello {
	struct tpi_wire_header header;
	uint16_t abi_major; /* of the layout that the client knows */
	uint16_t abi_minor;
	uint32_t pid; /* as the client sees itself */
	uint64_t incompat_known;
	uint8_t at_random[16]; /* getauxval(AT_RANDOM): names the image */
	uint32_t rseq_verdict; /* TAPIO_RSEQ_* of this process */
	uint32_t flags;
	char comm[16];
	/* Since minor 6: the first request, so that an open is one round trip. Role 0: it
	 * comes later, or is another one. Its header is that of HELLO. It stays last. */
	struct tpi_wire_attach attach;
};

/*
 * fds: the catalog. Where HELLO had an ATTACH: those of ATTACHED, and for a producer the
 * cursors of `slots`, by slot, to be read.
 */
struct tpi_wire_welcome {
	struct tpi_wire_header header;
	uint8_t instance[16];
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t reserved;
	char version[32]; /* of the broker */
	/* Since minor 6, and 0 where HELLO had no ATTACH. */
	uint64_t slots;                     /* a bit for each */
	uint32_t epochs[TAPIO_GROUP_SLOTS]; /* as in FETCHED, by slot */
	/* Its header is that of WELCOME. It stays last. */
	struct tpi_wire_attached attached;
};

struct tpi_wire_detach {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t reserved;
};

struct tpi_wire_detached {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t swept; /* blocks that it still held */
};

struct tpi_wire_refused {
	struct tpi_wire_header header;
	int32_t error; /* -errno */
	uint32_t reserved;
	char text
		[256]; /* the rule or the limit, with numbers. NUL-terminated */
};

struct tpi_wire_remove {
	struct tpi_wire_header header;
	char channel[TAPIO_NAME_BYTES];
	char group[TAPIO_NAME_BYTES];
};

struct tpi_wire_removed {
	struct tpi_wire_header header;
	uint32_t channel; /* index in the catalog */
	uint32_t group_slot;
};

struct tpi_wire_fetch {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t kind;  /* TPI_FETCH_*. Before minor 5: 0 */
	uint64_t slots; /* a bit for each slot, or segment */
};
#define TPI_FETCH_CURSORS  UINT32_C(0)
#define TPI_FETCH_SEGMENTS UINT32_C(1) /* of isolated producers: 1 and above */

/* fds: the first ones that were asked for, in this order. */
struct tpi_wire_fetched {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t count;
	uint32_t slots[TPI_WIRE_FETCH_MAX];
	uint32_t epochs
		[TPI_WIRE_FETCH_MAX]; /* of the memory that the fd names */
};

/* Asks the broker to read its own configuration again. It names no file. */
struct tpi_wire_reload {
	struct tpi_wire_header header;
	uint64_t reserved;
};

struct tpi_wire_reloaded {
	struct tpi_wire_header header;
	char text[256]; /* a summary for people. NUL-terminated */
};

/* A process goes on with an attachment whose connection has ended. */
struct tpi_wire_resume {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t reserved;
	/* Of a producer, by slot: of the memory that it maps. Of others 0. */
	uint32_t epochs[TAPIO_GROUP_SLOTS];
};

struct tpi_wire_resumed {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t reserved;
};

/* Asks the broker to hand its memory over to the sender, and to end then. */
struct tpi_wire_replace {
	struct tpi_wire_header header;
	uint32_t pid; /* for the log */
	uint32_t reserved;
};

/*
 * fds: the reading end of the life line (keeper.h), the keeper's pidfd, the broker's. From
 * here on the broker does nothing else until TAKE, at most TPI_WIRE_HOLD_MS.
 */
struct tpi_wire_handing {
	struct tpi_wire_header header;
	uint32_t count; /* of descriptors in the HANDED that follow */
	uint32_t reserved;
	uint32_t broker; /* for messages */
	uint32_t keeper;
	char version[32]; /* of the broker */
};
#ifndef TPI_WIRE_HOLD_MS /* less in a test */
#define TPI_WIRE_HOLD_MS 5000
#endif

/* fds: those that are kept, by key: kind << 24 | number (keep.h). */
#define TPI_WIRE_HANDED_MAX 64
struct tpi_wire_handed {
	struct tpi_wire_header header;
	uint32_t count;
	uint32_t reserved;
	uint32_t keys[TPI_WIRE_HANDED_MAX];
};

/* The sender has all, and a broker of its own waits for the end of this one. */
struct tpi_wire_take {
	struct tpi_wire_header header;
	uint64_t reserved;
};

/* No process of the broker's starts another one any more, and it ends. */
struct tpi_wire_taken {
	struct tpi_wire_header header;
	uint64_t reserved;
};

/* An isolated producer has mapped its segment: from now on no process may do so. */
struct tpi_wire_mapped {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t reserved;
};

/* It is sealed, and readers believe what is there. */
struct tpi_wire_sealed {
	struct tpi_wire_header header;
	uint32_t attachment;
	uint32_t epoch; /* of the segment */
};

union tpi_wire_message {
	struct tpi_wire_header header;
	struct tpi_wire_hello hello;
	struct tpi_wire_welcome welcome;
	struct tpi_wire_attach attach;
	struct tpi_wire_attached attached;
	struct tpi_wire_detach detach;
	struct tpi_wire_detached detached;
	struct tpi_wire_refused refused;
	struct tpi_wire_remove remove;
	struct tpi_wire_removed removed;
	struct tpi_wire_fetch fetch;
	struct tpi_wire_fetched fetched;
	struct tpi_wire_reload reload;
	struct tpi_wire_reloaded reloaded;
	struct tpi_wire_resume resume;
	struct tpi_wire_resumed resumed;
	struct tpi_wire_replace replace;
	struct tpi_wire_handing handing;
	struct tpi_wire_handed handed;
	struct tpi_wire_take take;
	struct tpi_wire_taken taken;
	struct tpi_wire_mapped mapped;
	struct tpi_wire_sealed sealed;
	unsigned char bytes[TPI_WIRE_BYTES_MAX];
};

/* Zeroes a message and fills in its header for that type. */
void tpi_wire_init(union tpi_wire_message *message, enum tpi_wire_type type);

/*
 * Checks what was received: magic, major, a known type, its exact length (a later
 * minor version may send more: the rest is ignored. An earlier one, from 1.4 on, may send
 * less), the number of fds that the type carries, and that every string is terminated.
 * 0, -EBADMSG, or -EPROTONOSUPPORT (another major). `error` says what with both values.
 */
int tpi_wire_check(const union tpi_wire_message *message, size_t bytes,
		   unsigned int fds, char *error, size_t error_bytes);

/* After a message of so many bytes was received: fields that it has not are zero. */
static inline void tpi_wire_complete(union tpi_wire_message *message,
				     ssize_t bytes)
{
	if (bytes > 0 && (size_t)bytes < sizeof(*message))
		memset(message->bytes + bytes, 0,
		       sizeof(*message) - (size_t)bytes);
}

/* Copies a name into a field. -ENAMETOOLONG, -EINVAL (empty, or not
 * printable ASCII, or with a space). */
int tpi_wire_name(char field[TAPIO_NAME_BYTES], const char *name);

#endif
