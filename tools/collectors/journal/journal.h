/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector of systemd's journal.
 *
 * One thread. The journal is its buffer: with no room in the channel it waits, and an entry
 * counts as read for good only when the channel has accepted its event. Then its cursor
 * may be stored. So a kill at any time repeats entries, and loses none.
 */
#ifndef TPI_COLLECT_JOURNAL_H
#define TPI_COLLECT_JOURNAL_H

#include <systemd/sd-journal.h>

#include "tools/collectors/common/collector.h"
#include "tools/collectors/common/place_file.h"

enum tpi_journal_kind {
	TPI_JOURNAL_ENTRY,
	TPI_JOURNAL_KINDS,
};

struct tpi_journal_values {
	const char *directory;
	struct tpi_list files;
	const char *name_space;
	const char *state;
	int64_t store_ns;
	int64_t since_ns; /* TPI_SINCE_*, or so long ago */
	struct tpi_list units;
	struct tpi_list identifiers;
	struct tpi_list matches;
	int priority; /* the least severe. -1: all */
	uint64_t count;
	bool once;
	bool no_attributes;
	bool all_fields;
};

/* Where reading begins without a cursor. */
#define TPI_SINCE_OLDEST INT64_MAX
#define TPI_SINCE_NOW    0
#define TPI_SINCE_AUTO   INT64_C(-1) /* now; of named files the oldest */

/* ---- cursor.c: the parts of a cursor ---------------------------------------- */

#define TPI_CURSOR_BYTES TPI_PLACE_BYTES

/* The parts of a cursor's text. */
struct tpi_place {
	char seqnum_id[33]; /* of the source of sequence numbers */
	char boot_id[33];
	uint64_t seqnum;
	uint64_t monotonic_us;
	uint64_t realtime_us;
	uint64_t hash;
};

/* False: it is no cursor. */
bool tpi_place_parse(const char *cursor, struct tpi_place *place);
/* Whether two places are those of one entry, in one file or in two. */
bool tpi_place_same(const struct tpi_place *a, const struct tpi_place *b);

/* ---- source.c: opening and filters ------------------------------------------------- */

/* Opens what the settings name, without filters. 0 or -errno. */
int tpi_journal_open(sd_journal **out, const struct tpi_journal_values *values);

/* Adds the filters. 0 or -errno. */
int tpi_journal_filter(sd_journal *journal,
		       const struct tpi_journal_values *values);
bool tpi_journal_has_filter(const struct tpi_journal_values *values);

/* "directory /x", "the journal of this host": for messages. */
const char *tpi_journal_where(const struct tpi_journal_values *values);

/*
 * Calls `bad` with each file that cannot be read, and why. Whether there is a file, or may be one
 * in a directory that cannot be read.
 */
bool tpi_journal_bad_files(const struct tpi_journal_values *values,
			   void (*bad)(void *arg, const char *path, int err),
			   void *arg);

/* ---- gap.c: missing entries ---------------------------------------------------------- */

struct tpi_gap {
	bool found;
	uint64_t count; /* TPI_LOSS_UNKNOWN */
	uint64_t first_ns;
	uint64_t last_ns;
	char after[TPI_CURSOR_BYTES]; /* "": none is there */
};

/*
 * Whether entries behind the one with this cursor have gone, of all entries, whatever the
 * filters. Uses a handle of its own. 0 or -errno.
 */
int tpi_gap_find(struct tpi_gap *gap, const char *cursor,
		 const struct tpi_journal_values *values);

/* ---- entry.c: from an entry to an event ---------------------------------------------- */

struct tpi_journal_reader {
	sd_journal *journal;
	struct tpi_sink *sink;
	const struct tpi_journal_values *values;
	sd_id128_t boot_id; /* of this boot. Null: not known */
	/* The last cgroup that was looked up. */
	char cgroup[512];
	uint64_t cgroup_id;
};

/* The fate of an entry. */
enum tpi_entry_result {
	TPI_ENTRY_DONE, /* accepted, or refused for good */
	TPI_ENTRY_LEFT, /* asked to stop before there was room */
};

/* Emits the current entry, which has this cursor. Waits for room. */
enum tpi_entry_result tpi_entry_emit(struct tpi_journal_reader *reader,
				     const char *cursor);

/*
 * For the handler of SIGABRT: does not return where libsystemd gave up in a field of the entry,
 * which is left out then.
 */
void tpi_entry_aborted(void);

#endif
