/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing the memory of group slots. Called by broker/group, on the loop. */
#include "broker/registry/slot_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/keep/keep.h"
#include "broker/registry/registry.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

#define OVERFLOW_UID 65534 /* where the kernel does not say */

uid_t tpi_overflow_uid(void)
{
	FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");
	unsigned int uid = OVERFLOW_UID;

	if (!file)
		return OVERFLOW_UID;
	if (fscanf(file, "%u", &uid) != 1)
		uid = OVERFLOW_UID;
	fclose(file);
	return uid;
}

/* ---- the note in the private state ----------------------------------------------- */

#define NOTE_GIVEN     (UINT64_C(1) << 32)
#define NOTE_MIXED     (UINT64_C(2) << 32)
#define NOTE_STRANGERS (UINT64_C(4) << 32)
#define NOTE_SPENT     (UINT64_C(8) << 32)

void tpi_slot_memory_note(const struct tpi_slot_memory *memory)
{
	uint64_t word = memory->uid;

	if (!memory->noted)
		return;
	word |= memory->given ? NOTE_GIVEN : 0;
	word |= memory->mixed ? NOTE_MIXED : 0;
	word |= memory->strangers ? NOTE_STRANGERS : 0;
	word |= memory->spent ? NOTE_SPENT : 0;
	/* ORDER state.memory (release): one word, after the epoch that it is about. Pairs
	 * with the load of a successor, tpi_slot_memory_recall(). */
	tpi_store_release(memory->noted, word);
	TPI_TESTPOINT("state.memory");
}

void tpi_slot_memory_recall(struct tpi_slot_memory *memory)
{
	/* ORDER state.memory (acquire): see above. Its writer is dead. */
	uint64_t word = tpi_load_acquire(memory->noted);

	memory->uid = (uid_t)word;
	memory->given = word & NOTE_GIVEN;
	memory->mixed = word & NOTE_MIXED;
	memory->strangers = word & NOTE_STRANGERS;
	memory->spent = word & NOTE_SPENT;
}

/* ---- the uid that it may serve -------------------------------------------------------------- */

bool tpi_slot_memory_serves(const struct tpi_slot_memory *memory, uid_t uid)
{
	if (memory->spent)
		return false;
	return !memory->given || (!memory->mixed && memory->uid == uid);
}

void tpi_slot_memory_give(struct tpi_slot_memory *memory, uid_t uid)
{
	if (memory->given && memory->uid != uid)
		memory->mixed = true;
	memory->given = true;
	memory->uid = uid;
	/* It stands for users that differ. */
	if (uid == tpi_overflow_uid())
		memory->spent = true;
	tpi_slot_memory_note(memory);
}

/* ---- other memory ------------------------------------------------------------------ */

uint32_t tpi_slot_memory_key(uint32_t record, uint32_t epoch)
{
	return 2 * record + (epoch & 1);
}

/* Of 2^32 epochs, 0 is that of no memory. The one after the last is even, as 0 is. */
uint32_t tpi_slot_memory_next_epoch(uint32_t epoch)
{
	return epoch == UINT32_MAX ? 2 : epoch + 1;
}

/* The successor knows both files until N5. */
static int keep_new(const struct tpi_slot_memory *memory,
		    struct tpi_segment *segment, char *error,
		    size_t error_bytes)
{
	uint32_t epoch = tpi_slot_memory_next_epoch(memory->epoch);
	struct tpi_keep_key key = {TPI_KEEP_SEGMENT,
				   tpi_slot_memory_key(memory->number, epoch)};
	int err = tpi_keep_put(memory->keep, key, segment->fd);

	if (!err)
		return 0;
	tpi_keep_drop(memory->keep, key);
	tpi_segment_destroy(segment);
	return tpi_fail(err, error, error_bytes,
			"the keeper does not take a descriptor: %s",
			strerror(-err));
}

/* N1. It is as large as the old one, which goes in N5: the budget holds. */
static int make(const struct tpi_host *host, uint32_t slot,
		struct tpi_segment *segment, struct tpi_cursors *cursors,
		char *error, size_t error_bytes)
{
	char name[TAPIO_NAME_BYTES + 32];
	struct tpi_segment_request request = {
		.name = name,
		.bytes = host->cursor_segments[slot].map.bytes,
		.node = -1,
		.first_rung = TAPIO_RUNG_PAGES,
	};
	int err;

	snprintf(name, sizeof(name), "tapio-%s-group%u",
		 host->config->spec.name, slot);
	err = tpi_segment_create(segment, &request, error, error_bytes);
	if (err)
		return err;
	(void)tpi_sys_madvise(segment->map.base, segment->map.bytes,
			      MADV_DONTFORK);
	err = tpi_cursors_attach(cursors, &segment->map, &host->lanes.info,
				 slot, error, error_bytes);
	if (err)
		tpi_segment_destroy(segment);
	return err;
}

void tpi_slot_memory_retire(const struct tpi_slot_memory *memory,
			    struct tpi_segment *old)
{
	struct tpi_keep_key key = {
		TPI_KEEP_SEGMENT,
		tpi_slot_memory_key(memory->number, memory->epoch) ^ 1};

	(void)tpi_sys_madvise(old->map.base, old->map.bytes, MADV_REMOVE);
	TPI_TESTPOINT("slot.emptied");
	/* Dropped first, and closed then (keep.h). */
	tpi_keep_drop(memory->keep, key);
	TPI_TESTPOINT("slot.dropped");
	tpi_segment_destroy(old);
}

int tpi_slot_memory_renew(struct tpi_host *host, uint32_t slot,
			  void (*fill)(struct tpi_host *host, uint32_t slot,
				       const struct tapio_shm_cursor *old,
				       struct tapio_shm_cursor *cursors),
			  struct tpi_segment *old, char *error,
			  size_t error_bytes)
{
	struct tpi_slot_memory *memory = &host->memory[slot];
	struct tpi_segment *held = &host->cursor_segments[slot];
	struct tpi_segment segment;
	struct tpi_cursors cursors;
	int err = make(host, slot, &segment, &cursors, error, error_bytes);

	if (err)
		return err;
	/* It differs from all that a producer may still store of the old one. Relaxed: N4
	 * orders it. */
	tpi_store_relaxed(
		&cursors.control->board,
		tpi_load_relaxed(
			&host->lanes.doorbells->slots[slot].board_seen) +
			(UINT32_C(1) << 31));
	if (fill)
		fill(host, slot, host->cursors[slot].cursors, cursors.cursors);
	TPI_TESTPOINT("slot.filled");
	err = keep_new(memory, &segment, error, error_bytes);
	if (err)
		return err;
	TPI_TESTPOINT("slot.put");
	*old = *held;
	*held = segment;
	host->cursors[slot] = cursors;
	memory->epoch = tpi_slot_memory_next_epoch(memory->epoch);
	memory->given = memory->mixed = memory->spent = false;
	memory->strangers = false;
	tpi_registry_note(memory->record, held, TAPIO_SEGMENT_CURSORS,
			  host->index, slot, memory->epoch);
	tpi_registry_note_file(host, slot);
	TPI_TESTPOINT("slot.noted");
	/* Relaxed: N4 orders it. */
	tpi_store_relaxed(&host->shm_groups[slot].epoch, memory->epoch);
	TPI_TESTPOINT("slot.epoch");
	tpi_slot_memory_note(memory);
	return 0;
}
