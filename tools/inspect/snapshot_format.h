/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot file: a copy of the memory that an inspection maps, and facts about it. Written by snapshot_write.c, read by snapshot_read.c. Numbers are in the byte
 * order of the machine, which the header's magic shows.
 *
 *	0	header
 *	4096	table of sections, in the order of their offsets
 *	..	sections: facts, processes, lanes, segments. Each begins at a page.
 *
 * Pages of zeros are holes. They do not count in a digest, so a reader passes holes over,
 * and a copy of the file that has no holes is the same snapshot.
 *
 * The reader trusts nothing in it: see there.
 */
#ifndef TPI_SNAPSHOT_FORMAT_H
#define TPI_SNAPSHOT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tapio/abi.h>

#define TPI_SNAPSHOT_MAGIC   UINT64_C(0x31504e534f504154) /* "TAPOSNP1" */
#define TPI_SNAPSHOT_VERSION 1
#define TPI_SNAPSHOT_PAGE    4096

struct tpi_snapshot_header {
	uint64_t magic;
	uint32_t version;
	uint32_t section_count;
	uint64_t file_bytes;
	uint64_t table_digest;
	uint64_t digest; /* of the header, with 0 here */
};

enum tpi_snapshot_kind {
	TPI_SECTION_FACTS = 1, /* one tpi_snapshot_facts */
	TPI_SECTION_PROCESSES, /* tpi_snapshot_process[] */
	TPI_SECTION_LANES,     /* tpi_snapshot_lane[] */
	TPI_SECTION_SEGMENT,   /* the contents of one */
	TPI_SECTION_REFUSALS,  /* tpi_snapshot_refusal[] */
};

#define TPI_SECTION_CATALOG  UINT32_C(1) /* the file had the name of one */
#define TPI_SECTION_RECEIVED UINT32_C(2) /* from the broker, .. */
#define TPI_SECTION_WRITABLE UINT32_C(4) /* .. and not read-only */

struct tpi_snapshot_section {
	uint32_t kind;
	uint32_t flags; /* TPI_SECTION_* */
	uint64_t offset;
	uint64_t bytes;
	uint64_t digest;
	/* Of a segment: which file it was, and how it was met. */
	uint64_t device;
	uint64_t inode;
	uint32_t seals;
	uint32_t mode;
	uint32_t page_bytes;
	uint32_t pid;
};

/* The catalog did not change, but for counters, while the lanes were copied. */
#define TPI_SNAPSHOT_CATALOG_WHOLE UINT32_C(1)
#define TPI_SNAPSHOT_NO_EVENTS     UINT32_C(2) /* the blocks were left out */
#define TPI_SNAPSHOT_DENIED \
	UINT32_C(4) /* some of it could not be looked into */
/* The catalog did not change for the time of several looks, either. */
#define TPI_SNAPSHOT_CATALOG_STILL UINT32_C(8)

struct tpi_snapshot_facts {
	uint64_t
		begin_ns; /* CLOCK_REALTIME: the window in which it was copied */
	uint64_t end_ns;
	uint64_t begin_monotonic_ns;
	uint64_t end_monotonic_ns;
	uint64_t pid_namespace; /* of the tool. 0: unknown */
	uint32_t flags;         /* TPI_SNAPSHOT_* */
	uint32_t source;        /* enum tpi_inspect_source */
	uint32_t pid;           /* of the process that had it. 0: the socket */
	uint32_t uid;           /* of the tool */
	uint32_t cpus_possible;
	uint32_t cpus_online;
	uint32_t nodes;
	uint32_t attempts; /* that the copy took */
	uint8_t boot_id[16];
	char host[64];
	char kernel[128];
	char tool[32];  /* version of the tool */
	char note[256]; /* why not from the socket, or empty */
};

struct tpi_snapshot_process {
	uint64_t pid;
	uint64_t start_time_ticks;
	uint32_t state; /* enum tpi_process_state */
	uint32_t reserved;
};

/* Its words belong to each other: gate, heads and ring are of one instant. */
#define TPI_LANE_WHOLE UINT32_C(1)
/* So do its tickets. */
#define TPI_LANE_TICKETS UINT32_C(2)
/* It did not change for the time of several looks. */
#define TPI_LANE_STILL UINT32_C(4)

struct tpi_snapshot_lane {
	uint32_t channel;
	uint32_t lane;
	uint32_t flags; /* TPI_LANE_* */
	uint32_t reserved;
	/* After its blocks were copied: those of positions above reap are whole. */
	uint64_t state_after;
};

/* A channel that the broker did not let the tool inspect. */
struct tpi_snapshot_refusal {
	char channel[TAPIO_NAME_BYTES];
	char why[192];
};

/* Only `bytes` and the first page that is not zero are looked at. */
static inline bool tpi_snapshot_is_zero(const unsigned char *page, size_t bytes)
{
	return !bytes || (!page[0] && !memcmp(page, page + 1, bytes - 1));
}

/* Finds damage, not forgery. */
static inline uint64_t tpi_snapshot_digest(uint64_t digest, const void *data,
					   size_t bytes)
{
	const unsigned char *at = data;
	uint64_t word;

	for (; bytes; at += sizeof(word)) {
		size_t n = bytes < sizeof(word) ? bytes : sizeof(word);

		word = 0;
		memcpy(&word, at, n);
		digest = (digest ^ word) * UINT64_C(0x9fb21c651e98df25);
		digest ^= digest >> 32;
		bytes -= n;
	}
	return digest;
}

/* The pages of a section one by one: those of zeros count not. */
static inline uint64_t tpi_snapshot_digest_page(uint64_t digest,
						uint64_t offset,
						const void *page, size_t bytes)
{
	digest = tpi_snapshot_digest(digest, &offset, sizeof(offset));
	return tpi_snapshot_digest(digest, page, bytes);
}

static inline uint64_t
tpi_snapshot_digest_header(const struct tpi_snapshot_header *header)
{
	return tpi_snapshot_digest(
		1, header, offsetof(struct tpi_snapshot_header, digest));
}

static inline uint64_t tpi_snapshot_round(uint64_t bytes)
{
	return (bytes + TPI_SNAPSHOT_PAGE - 1) &
	       ~(uint64_t)(TPI_SNAPSHOT_PAGE - 1);
}

#endif
