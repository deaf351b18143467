/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol: one SOCK_SEQPACKET message is one struct below. This
 * part is pure (no system call), so that it can be fuzzed without a broker.
 *
 *   client                              broker
 *   HELLO (+ own pidfd)          --->
 *                                <---   WELCOME (+ catalog, read-only)
 *   ATTACH                       --->
 *                                <---   ATTACHED (+ segments), or REFUSED
 *   DETACH                       --->                  (one attachment at a
 *                                <---   DETACHED        time per connection)
 *   REMOVE                       --->                  (since 1.1, a group
 *                                <---   REMOVED, or REFUSED  without members)
 *
 * Each side says in its headers which minor version it speaks. It MUST NOT send
 * to an older version what that one does not know.
 *
 * A message of another major version is answered by REFUSED with -EPROTONOSUPPORT
 * and both versions, in the layout of version 1, which never changes.
 */
#ifndef TPI_WIRE_H
#define TPI_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include <tapio/abi.h>

#define TPI_WIRE_MAGIC     UINT32_C(0x4d504154) /* "TAPM" */
#define TPI_WIRE_MAJOR     1
#define TPI_WIRE_MINOR     2
#define TPI_WIRE_BYTES_MAX 512
#define TPI_WIRE_FDS_MAX   (TAPIO_NODES_MAX + TAPIO_GROUP_SLOTS)

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
};
#define TPI_WIRE_MINOR_REMOVE 1

struct tpi_wire_header {
	uint32_t magic;
	uint8_t major;
	uint8_t minor;
	uint16_t type;
	uint32_t length; /* of the whole message, bytes */
	uint32_t fd_count;
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
};

struct tpi_wire_welcome {
	struct tpi_wire_header header; /* fds: catalog */
	uint8_t instance[16];
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t reserved;
	char version[32]; /* of the broker */
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
};
#define TPI_ATTACH_DURABLE UINT32_C(1)

/*
 * fds: the channel's segments by node index, then cursors: of a producer or an
 * inspector all 64 slots', read-only. Of a consumer its own slot's, read-write.
 */
struct tpi_wire_attached {
	struct tpi_wire_header header;
	uint32_t attachment; /* name for owner and lease words */
	uint32_t channel;    /* index in the catalog */
	uint32_t segment_count;
	uint32_t cursors_count;
	uint32_t group_slot;  /* consumers, else ~0 */
	uint32_t incarnation; /* of the slot */
	uint32_t policy;      /* TAPIO_GROUP_* as granted */
	uint32_t first;       /* 1: this member made the group */
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
	unsigned char bytes[TPI_WIRE_BYTES_MAX];
};

/* Zeroes a message and fills in its header for that type. */
void tpi_wire_init(union tpi_wire_message *message, enum tpi_wire_type type);

/*
 * Checks what was received: magic, major, a known type, its exact length (a later
 * minor version may send more: the rest is ignored), the number of fds that the
 * type carries, and that every string is terminated. 0, -EBADMSG, or
 * -EPROTONOSUPPORT (another major). `error` says what with both values.
 */
int tpi_wire_check(const union tpi_wire_message *message, size_t bytes,
		   unsigned int fds, char *error, size_t error_bytes);

/* Copies a name into a field. -ENAMETOOLONG, -EINVAL (empty, or not
 * printable ASCII, or with a space). */
int tpi_wire_name(char field[TAPIO_NAME_BYTES], const char *name);

#endif
