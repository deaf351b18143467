/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file of tapio-correlate: all that it needs to go on after a kill.
 *
 *	header    magic, version, lengths of the parts, a sum over them, `emitted`
 *	parts     the inputs' places | the outbox | the engine
 *
 * A store writes a new file, syncs it and gives it the name of the old one. So after a kill, or a
 * loss of power, there is the old state or the new one. The word `emitted` alone is changed in
 * place: it says how many findings of the outbox the channel has taken.
 *
 * A file with the name of the state and ".lock" is locked meanwhile: two programs with one state
 * would emit each other's findings.
 */
#ifndef TPI_CORRELATE_STATE_FILE_H
#define TPI_CORRELATE_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TPI_STATE_INPUTS,
	TPI_STATE_OUTBOX,
	TPI_STATE_ENGINE,
	TPI_STATE_PARTS,
};

struct tpi_state_part {
	const void *data;
	size_t length;
};

struct tpi_state_file {
	const char *path; /* NULL: there is none */
	char path_buffer[4096];
	char path_new[4096];
	char path_lock[4096];
	int lock;
	int fd; /* of the file that has the name now. -1: none */
	/* The state that was read. The parts lie in `content`. */
	void *content;
	struct tpi_state_part parts[TPI_STATE_PARTS];
	uint32_t emitted;
	bool failed; /* the last store, and that was told */
};

/*
 * Locks and reads it. `path` NULL: correlate.state in the directory of the environment's
 * STATE_DIRECTORY, which systemd sets, or else there is none. False: a message says why.
 */
bool tpi_state_open(struct tpi_state_file *state, const char *path);

/* Gives its memory back. */
void tpi_state_forget(struct tpi_state_file *state);

/* Replaces it, with `emitted` 0. 0 or -errno; a failure is told once. */
int tpi_state_store(struct tpi_state_file *state,
		    const struct tpi_state_part parts[TPI_STATE_PARTS]);

/* The channel has taken so many findings of the outbox that was stored last. 0 or -errno. */
int tpi_state_emitted(struct tpi_state_file *state, uint32_t emitted);

void tpi_state_close(struct tpi_state_file *state);

#endif
