/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings: JSON Lines as `tapio-tail --json` writes them, read into an engine. The same
 * recording gives the same events, byte for byte, each time.
 *
 * Threads: one at a time uses a replay.
 */
#ifndef TPI_CORRELATE_REPLAY_H
#define TPI_CORRELATE_REPLAY_H

#include <stdint.h>

#include "tools/correlate/engine.h"

struct tpi_replay_stats {
	uint64_t lines;
	uint64_t events;
	uint64_t gaps;
	uint64_t skipped; /* no event of a type that has a name */
	bool follows;     /* more waited than may, see tpi_replay_file() */
};

#define TPI_REPLAY_WHY_BYTES 400

/*
 * Hands one line (without its newline) to the engine: an event, a gap, or nothing of the two.
 * 1: an event or a gap, and *time_ns is its time (0: of a gap). 0: neither, passed over: bytes
 * without a type, or a type without a name. -EINVAL: no such line, and `why` says it. -ENOMEM.
 *
 * A gap of a recording has no time: it begins at the watermark. "from_ns" and "to_ns" beside its
 * "lost" say more.
 */
int tpi_replay_line(struct tpi_corr *corr, const char *line, size_t length,
		    uint64_t *time_ns, char *why);

struct tpi_replay_options {
	uint64_t wait_bytes;  /* of events that wait for the end of the file */
	uint64_t lateness_ns; /* when these are more */
};

/*
 * A whole file ("-": standard input), in any order: a recording may be lane by lane. All its
 * events wait for its end, when the watermark comes to the last event. A window that ends after
 * that is still under way then: nothing is known of the time behind a recording. When more than
 * `wait_bytes` would wait, the watermark follows the latest time from there on, at a distance of
 * `lateness_ns`, and events may be late (tpi_corr_stats). A gap without times begins at the event
 * before it of its lane, or with the recording. Stops at the first line that does not parse. 0 or
 * -errno; `why` has the line's number.
 */
int tpi_replay_file(struct tpi_corr *corr, const char *path,
		    const struct tpi_replay_options *options,
		    struct tpi_replay_stats *stats, char *why);

#endif
