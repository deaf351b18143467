/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of group slots, and whom it may serve.
 *
 * A process that was given a slot's cursors writable can write them for ever: it may
 * fork, pass the descriptor on, or keep the mapping over an execve. Its death proves
 * nothing. So memory that one uid was given never serves a group of another one, and
 * what the uid of processes without a mapping (65534) was given never serves again:
 * many users bear it. A slot that has to change hands gets new memory.
 *
 *  N1  The new file is made and filled. Nobody else has it.
 *  N2  The segment's record in the catalog: READY off, the new values, READY.
 *  N3  `epoch` of the slot.
 *  N4  The slot's word and the generation of the channel (broker/group/group.c). From
 *	here on producers meet the new epoch, and ask for the file.
 *  N5  The old file is emptied by a hole. What a process writes there from now on is
 *	memory of its own, and counts against its own limits.
 *
 * A producer that is stopped, or never asks, holds nobody (lib/lane/lane.c, G6).
 *
 * A keeper (broker/keep/keep.h) gets the new file after N1, beside the old one, and
 * forgets the old one in N5. SIGKILL of the broker: before the new file is kept, nothing
 * has happened. From then on until N3 the successor goes on with the new one, which is
 * whole, if the record in the catalog says so or is half written; else it gives the new one
 * up. After N3 it does N4 and N5 (adopt.c).
 *
 * The uid that was given the memory is noted in the private state, in one word, before the client
 * gets the file. After N3 the note is that of the new file. A kill between the two leaves
 * the old note, which is the stricter one.
 */
#ifndef TPI_BROKER_SLOT_MEMORY_H
#define TPI_BROKER_SLOT_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tapio/abi.h>

struct tpi_host;
struct tpi_keep;
struct tpi_segment;

/* What is known of the memory that a slot has now. */
struct tpi_slot_memory {
	struct tapio_shm_segment *record; /* in the catalog */
	struct tpi_keep *keep;            /* or NULL */
	uint64_t *noted;                  /* in the private state, or NULL */
	uint32_t number;                  /* of the record */
	uint32_t epoch;
	bool given;     /* writable, to a client of `uid` */
	bool mixed;     /* to clients of several uids */
	bool strangers; /* it was given before this group began */
	bool spent;     /* it must not serve another group */
	uid_t uid;
};

/* The uid that stands for all without a mapping in this user namespace. */
uid_t tpi_overflow_uid(void);

/* The key of that memory in the keeper. */
uint32_t tpi_slot_memory_key(uint32_t record, uint32_t epoch);
uint32_t tpi_slot_memory_next_epoch(uint32_t epoch);

/* Writes the four marks and the uid to the private state, and reads them there. */
void tpi_slot_memory_note(const struct tpi_slot_memory *memory);
void tpi_slot_memory_recall(struct tpi_slot_memory *memory);

/* Whether a new group of `uid` may have the memory. UINT32_MAX: of any uid. */
bool tpi_slot_memory_serves(const struct tpi_slot_memory *memory, uid_t uid);

/* A client of `uid` is given it writable. */
void tpi_slot_memory_give(struct tpi_slot_memory *memory, uid_t uid);

/*
 * N1 to N3: other memory for a slot, all zero. `fill` writes it before N2 and may be
 * NULL. *old is what it had. The caller does N4, and then N5 by tpi_slot_memory_retire().
 * -errno with the reason, and then the slot is as before.
 */
int tpi_slot_memory_renew(struct tpi_host *host, uint32_t slot,
			  void (*fill)(struct tpi_host *host, uint32_t slot,
				       const struct tapio_shm_cursor *old,
				       struct tapio_shm_cursor *cursors),
			  struct tpi_segment *old, char *error,
			  size_t error_bytes);
/* N5, of a slot's last file. Others may map it for ever, so unmapping and closing alone frees nothing. */
void tpi_slot_memory_retire(const struct tpi_slot_memory *memory,
			    struct tpi_segment *old);

#endif
