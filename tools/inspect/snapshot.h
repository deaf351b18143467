/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: the memory that an inspection maps, copied into a file, and read back as a
 * source of inspections. Callers: tapio-shmstat, tests.
 *
 * The memory may be in use while it is copied, and nothing is done to the system: no lock,
 * no write, no signal, no ptrace. So the copy is not one instant of all of it.
 * snapshot_take.c says which words belong to one instant, and marks the others. A check of a
 * snapshot calls a rule broken only where the copy proves it. All else is unsettled.
 */
#ifndef TPI_SNAPSHOT_H
#define TPI_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/inspect/inspect.h"
#include "tools/inspect/snapshot_format.h"

/* ---- reading ---------------------------------------------------------------------- */

/* In inspect->snapshot, if the memory is that of a file. */
struct tpi_snapshot {
	struct tpi_snapshot_facts facts; /* all texts end */
	struct tpi_snapshot_process *processes;
	uint64_t process_count;
	struct tpi_snapshot_lane *lanes;
	uint64_t lane_count;
	uint32_t **marks; /* [channel][lane] of TPI_LANE_* */
	uint32_t channel_count;
	uint64_t data_bytes; /* in pages that are not zero */
};

struct tpi_segment_set;

/*
 * Reads a snapshot into memory of our own and adds its segments to the set. -EBADMSG it is
 * none, damaged, or claims more than it has. -EPROTONOSUPPORT of another version. -EFBIG
 * more than memory has room for. -ENOENT, -EACCES, -EINVAL no file that can be read.
 */
int tpi_snapshot_read(struct tpi_snapshot **out, struct tpi_segment_set *set,
		      const char *path, uint64_t limit_bytes, char *error,
		      size_t error_bytes);
void tpi_snapshot_free(struct tpi_snapshot *snapshot);

/* After the channels were attached: finds the marks of their lanes. -ENOMEM. */
int tpi_snapshot_attach(struct tpi_snapshot *snapshot,
			const struct tpi_inspect *inspect);

/* Lanes that changed while they were copied, so that not all is said of them. */
uint64_t tpi_snapshot_moved(const struct tpi_snapshot *snapshot);

/* TPI_LANE_* of a lane. */
uint32_t tpi_snapshot_lane(const struct tpi_snapshot *snapshot,
			   uint32_t channel, uint32_t lane);

/* ---- writing ---------------------------------------------------------------------- */

struct tpi_snapshot_options {
	bool force;     /* overwrite */
	bool no_events; /* without the blocks of lanes */
	/* Asked now and then. True: give up with -EINTR. NULL: never. */
	bool (*stop)(void);
};

struct tpi_snapshot_report {
	uint64_t file_bytes; /* length, .. */
	uint64_t data_bytes; /* .. and those that are no hole */
	uint64_t memory_bytes;
	uint32_t segments;
	uint32_t lanes;
	uint32_t moved; /* lanes that are not WHOLE, or without TICKETS */
	bool catalog_whole;
	int64_t window_ns;
};

/*
 * -EEXIST the file is there and not to be overwritten. -ESTALE a slot or a channel has got
 * other memory since the inspection was opened: open it again. -EINTR stopped. -ENOMEM,
 * and the errors of files. On an error nothing is left in the folder.
 */
int tpi_snapshot_write(const struct tpi_inspect *inspect, const char *path,
		       const struct tpi_snapshot_options *options,
		       struct tpi_snapshot_report *report, char *error,
		       size_t error_bytes);

/* ---- between snapshot_take.c and snapshot_write.c ---------------------------------- */

/* The blocks of a lane. They are copied when they are written. */
struct tpi_snapshot_span {
	uint64_t offset;
	uint64_t bytes;
};

/* One segment. */
struct tpi_snapshot_image {
	const struct tpi_segment_set_entry *entry;
	unsigned char
		*copy; /* of all but the spans. Its length is the entry's */
	struct tpi_snapshot_span *spans; /* by offset */
	uint32_t span_count;
	uint32_t span_room;
};

struct tpi_snapshot_copy {
	const struct tpi_inspect *inspect;
	struct tpi_snapshot_image *images; /* by address of their mapping */
	uint32_t image_count;
	struct tpi_snapshot_image *catalog;
	struct tpi_snapshot_lane *lanes;
	uint32_t lane_count;
	struct tpi_snapshot_facts facts;
	struct tpi_snapshot_process *processes;
	uint32_t process_count;
};

/* -ENOMEM; -ESTALE as above. */
int tpi_snapshot_take(struct tpi_snapshot_copy *copy,
		      const struct tpi_inspect *inspect);
void tpi_snapshot_drop(struct tpi_snapshot_copy *copy);

/* The host, the tool and the processes, for both (snapshot_facts.c). */
void tpi_snapshot_facts(struct tpi_snapshot_facts *facts,
			const struct tpi_inspect *inspect);
int tpi_snapshot_processes(struct tpi_snapshot_copy *copy);

#endif
