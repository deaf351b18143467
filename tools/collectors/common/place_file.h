/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that keeps a collector's place in its source over restarts: one line of text, as a
 * cursor of the journal.
 *
 * It is stored after the channel has accepted the event of that place. So a kill, or a loss of
 * power, repeats events and loses none.
 */
#ifndef TPI_COLLECT_PLACE_FILE_H
#define TPI_COLLECT_PLACE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#define TPI_PLACE_BYTES 256

struct tpi_place_file {
	const char *path; /* NULL: there is none */
	char path_buffer[4096];
	char path_new[4096];
	int64_t every_ns;           /* between two writes, at least */
	int64_t written_ns;         /* 0: never */
	char text[TPI_PLACE_BYTES]; /* accepted. "": none */
	bool changed;               /* and not stored yet */
	bool failed;                /* and that was told */
};

/*
 * Reads it. `path` NULL: `name` in the directory of the environment's STATE_DIRECTORY, which
 * systemd sets, or else no file. 0, also when there is none: text is "" then. -EBADMSG: it
 * is not one line. -errno.
 */
int tpi_place_file_load(struct tpi_place_file *file, const char *path,
			const char *name, int64_t every_ns);

/* The event of this place was accepted. */
void tpi_place_file_accept(struct tpi_place_file *file, const char *text);

/*
 * Stores what was accepted, if it is due or `at_once`: by a new file that is synced and takes
 * the name of the old one. A failure is told once. False: it failed.
 */
bool tpi_place_file_store(struct tpi_place_file *file, int64_t now_ns,
			  bool at_once);

/* When the next store is due. INT64_MAX: nothing is to be stored. */
int64_t tpi_place_file_due_ns(const struct tpi_place_file *file);

#endif
