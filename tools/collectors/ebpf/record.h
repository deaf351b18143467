/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The language of the programs in the kernel and the collector: the records in the
 * kernel's rings, and the counts beside them.
 *
 * A record is as the kernel has its facts: stamps since boot, pages, a path and the
 * arguments one behind the other. The collector makes an event of it in the block of a
 * lane, which is the only copy. Both sides are built from this header and run on one
 * machine, so there is no version.
 *
 * The ledger, for each kind, summed over the CPUs:
 *
 *	seen = in a ring (read by the collector, sooner or later) + refused
 *
 * `seen` and `refused` are counted in the kernel. A program that the kernel did not run,
 * because it ran on that CPU already, is counted by the kernel itself (the program's
 * recursion_misses).
 */
#ifndef TPI_EBPF_RECORD_H
#define TPI_EBPF_RECORD_H

#include <stdint.h>

enum tpi_ebpf_kind {
	TPI_EBPF_EXEC,
	TPI_EBPF_FORK,
	TPI_EBPF_EXIT,
	TPI_EBPF_OOM,
	TPI_EBPF_CONNECTION,
	TPI_EBPF_OPEN,
	TPI_EBPF_BLOCK,
	TPI_EBPF_DNS,
	TPI_EBPF_KINDS,
};

/*
 * Each CPU has two rings: urgent kinds have one of their own, as they have a class of
 * lanes, so that no flood of the others makes them wait or fills their ring.
 */
#define TPI_EBPF_RINGS 2
#define TPI_EBPF_RING_OF(kind) \
	((kind) == TPI_EBPF_EXEC || (kind) == TPI_EBPF_OOM)

/* Of one kind on one CPU, since the programs were loaded. */
struct tpi_ebpf_count {
	uint64_t seen;
	uint64_t refused;
};

#define TPI_EBPF_COMM_BYTES 16

/* The process that a record is about. */
struct tpi_ebpf_head {
	uint64_t boot_ns; /* CLOCK_BOOTTIME */
	uint64_t cgroup_id;
	uint64_t start_boot_ns; /* of the process */
	uint32_t kind;          /* enum tpi_ebpf_kind */
	uint32_t pid;
	uint32_t tid;
	uint32_t ppid;
	uint32_t uid;
	uint32_t gid;
	uint32_t netns_inode;
	uint32_t existing; /* 1: found by an iterator */
	char comm[TPI_EBPF_COMM_BYTES];
};

/* Longer ones are cut, and marked as such. A path must be a power of two. */
#define TPI_EBPF_PATH_BYTES 1024
#define TPI_EBPF_ARGS_BYTES 4096

#define TPI_EBPF_PATH_CUT 0x1
#define TPI_EBPF_ARGS_CUT 0x2

/* EXEC and FORK (which has neither path nor arguments). */
struct tpi_ebpf_start {
	struct tpi_ebpf_head head;
	uint32_t session_id;
	uint32_t group_id;
	uint32_t args;
	uint32_t path_bytes;
	uint32_t args_bytes;
	uint32_t flags;
	/* The path, and behind its path_bytes the arguments, each with a NUL. */
	char data[];
};

struct tpi_ebpf_exit {
	struct tpi_ebpf_head head;
	uint64_t
		user_ns; /* as accounted by ticks, or exactly: see runtime_ns */
	uint64_t system_ns;
	uint64_t runtime_ns; /* on CPUs, exactly */
	uint64_t rss_max_pages;
	uint32_t status; /* as wait(2) shows it */
	uint32_t reserved;
};

struct tpi_ebpf_oom {
	struct tpi_ebpf_head head; /* of the victim */
	uint64_t virtual_pages;
	uint64_t file_pages;
	uint64_t anonymous_pages;
	uint64_t swap_pages;
	uint64_t shared_pages;
	uint64_t page_table_bytes;
	int32_t score_adjustment;
	uint32_t trigger_pid;
	char trigger_comm[TPI_EBPF_COMM_BYTES];
};

struct tpi_ebpf_connection {
	struct tpi_ebpf_head head; /* pid 0: not known */
	uint64_t cookie;
	uint64_t began_boot_ns; /* 0: not known */
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint32_t rtt_us;
	uint32_t retransmits;
	uint16_t family; /* AF_INET or AF_INET6 */
	uint16_t local_port;
	uint16_t peer_port;
	uint8_t operation; /* TAPIO_CONNECTION_* */
	uint8_t state;
	uint8_t state_before; /* 0: the same */
	uint8_t reserved[3];
	int32_t error; /* errno. -1: not known */
	uint8_t local[16];
	uint8_t peer[16];
};

struct tpi_ebpf_open {
	struct tpi_ebpf_head head;
	uint64_t inode;
	uint64_t size_bytes;
	uint32_t device; /* major << 20 | minor */
	uint32_t mode;
	uint32_t open_flags;
	uint32_t owner_uid;
	uint32_t owner_gid;
	int32_t error; /* errno. Unless 0, of the file only the path is known */
	uint32_t path_bytes;
	uint32_t flags;
	char path[];
};

struct tpi_ebpf_block {
	struct tpi_ebpf_head head; /* of the one that issued it */
	uint64_t latency_ns;
	uint64_t queue_ns; /* UINT64_MAX: not known */
	uint64_t sector;
	uint64_t length_bytes;
	uint32_t major;
	uint32_t minor;
	uint32_t operation; /* REQ_OP_* */
	int32_t error;      /* errno */
};

/* A message is cut here: queries and most answers are shorter. */
#define TPI_EBPF_DNS_BYTES      512
#define TPI_EBPF_QUESTION_BYTES 256

struct tpi_ebpf_dns {
	struct tpi_ebpf_head head; /* pid 0: not known */
	uint64_t latency_ns;       /* UINT64_MAX: not known */
	uint32_t answer;           /* 1, or 0 a query */
	uint16_t family;
	uint16_t client_port;
	uint16_t server_port;
	uint16_t id;
	uint16_t question_type;
	uint16_t code;
	uint16_t question_bytes;
	uint16_t question_end;  /* in the message. 0: it is malformed */
	uint16_t message_bytes; /* in this record */
	uint16_t whole_bytes;   /* of the message */
	uint8_t client[16];
	uint8_t server[16];
	char question[TPI_EBPF_QUESTION_BYTES]; /* with its dots */
	uint8_t message[TPI_EBPF_DNS_BYTES];
};

/* ---- histograms ------------------------------------------------------------- */

/* Slot n counts times below 2^n us, and not below 2^(n-1) us. The last one: the rest. */
#define TPI_EBPF_SLOTS 28

struct tpi_ebpf_histogram {
	uint64_t slots[TPI_EBPF_SLOTS];
	uint64_t sum_ns;
	uint64_t max_ns;
};

/* Of block I/O: one for each device and operation. */
struct tpi_ebpf_disk {
	uint32_t major;
	uint32_t minor;
	uint32_t operation;
};

/* ---- filters of opens ---------------------------------------------------------- */

#define TPI_EBPF_FILTERS      64 /* of each sort */
#define TPI_EBPF_PREFIX_BYTES 252

struct tpi_ebpf_prefix {
	uint32_t bits;
	char path[TPI_EBPF_PREFIX_BYTES];
};

#endif
