/* SPDX-License-Identifier: Apache-2.0 */
/*
 * B3 of adopt.c: single segments. Nothing is written to shared memory before all of them
 * were found, but for the last function.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "broker/keep/keep.h"
#include "broker/registry/adopt_inner.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

int tpi_adopt_take(const struct tpi_adopter *a, uint32_t kind, uint32_t number)
{
	return tpi_keep_take(a->registry->keep,
			     (struct tpi_keep_key){kind, number});
}

/* ---- one segment -------------------------------------------------------------------- */

/* Takes ownership of the fd. All of it but the report. */
int tpi_adopt_open(struct tpi_adopter *a, struct tpi_segment *segment, int fd,
		   const char *what, uint32_t number, struct stat *st)
{
	char reason[256] = "";
	/* Of an isolated producer: no process can map it writable any more. */
	bool sealed = fd >= 0 && tpi_sys_get_seals(fd) > 0 &&
		      tpi_sys_get_seals(fd) & F_SEAL_FUTURE_WRITE;
	int err;

	*segment = (struct tpi_segment){.fd = fd, .fd_ro = -1};
	if (fd < 0)
		return TPI_ADOPT_FAIL(a, -ENOENT,
				      "the keeper has not the %s of record %u",
				      what, number);
	if (fstat(fd, st))
		return TPI_ADOPT_FAIL(a, -errno,
				      "the %s of record %u: fstat: %s", what,
				      number, strerror(errno));
	err = tpi_map_fd(&segment->map, fd, !sealed, INT64_MAX, reason,
			 sizeof(reason));
	if (err)
		return TPI_ADOPT_FAIL(a, err, "the %s of record %u: %s", what,
				      number, reason);
	segment->fd_ro = tpi_sys_reopen(fd, O_RDONLY);
	if (segment->fd_ro < 0)
		return TPI_ADOPT_FAIL(a, segment->fd_ro,
				      "the %s of record %u: reopening: %s",
				      what, number, strerror(-segment->fd_ro));
	err = tpi_fd_check_readonly(segment->fd_ro, segment->map.bytes, reason,
				    sizeof(reason));
	return err ? TPI_ADOPT_FAIL(a, err, "the %s of record %u: %s", what,
				    number, reason)
		   : 0;
}

/* Whether the file is the one that the catalog names. */
int tpi_adopt_compare(struct tpi_adopter *a, const char *what, uint32_t number,
		      const struct tapio_shm_segment *record,
		      const struct stat *st)
{
	if (record->device == st->st_dev && record->inode == st->st_ino &&
	    record->length_bytes == (uint64_t)st->st_size)
		return 0;
	return TPI_ADOPT_FAIL(
		a, -EBADMSG,
		"the %s of record %u is file %" PRIu64 ":%" PRIu64
		" of %" PRIu64 " bytes, and the catalog names %" PRIu64
		":%" PRIu64 " of %" PRIu64,
		what, number, (uint64_t)st->st_dev, (uint64_t)st->st_ino,
		(uint64_t)st->st_size, record->device, record->inode,
		record->length_bytes);
}

int tpi_adopt_segment(struct tpi_adopter *a, struct tpi_segment *segment,
		      uint32_t number, uint32_t epoch, const char *what)
{
	const struct tapio_shm_segment *record =
		&a->registry->catalog.segments[number];
	struct stat st;
	int fd = tpi_adopt_take(a, TPI_KEEP_SEGMENT,
				tpi_slot_memory_key(number, epoch));
	int err = tpi_adopt_open(a, segment, fd, what, number, &st);

	if (err)
		return err;
	segment->report = *record;
	return tpi_adopt_compare(a, what, number, record, &st);
}

int tpi_adopt_record(struct tpi_adopter *a, uint32_t number, uint32_t kind,
		     uint32_t channel, uint32_t index)
{
	const struct tapio_shm_segment *record =
		&a->registry->catalog.segments[number];

	if (record->kind == kind && record->channel == channel &&
	    record->index == index)
		return 0;
	return TPI_ADOPT_FAIL(
		a, -EBADMSG,
		"record %u is of kind %u, channel %u, index %u instead of "
		"%u, %u, %u",
		number, record->kind, record->channel, record->index, kind,
		channel, index);
}

static bool is_ready(const struct tapio_shm_segment *record)
{
	/* ORDER segment_record.ready (acquire): the record. Its writer is dead. */
	return tpi_load_acquire(&record->ready) == TAPIO_SEGMENT_READY;
}

/* ---- B3: the memory of slots --------------------------------------------------------- */

/* Of a new file whose record was half written. The kernel's choice is not known. */
static void describe(struct tpi_segment *segment, const struct stat *st)
{
	segment->report = (struct tapio_shm_segment){
		.node = UINT32_MAX,
		.length_bytes = segment->map.bytes,
		.page_bytes = segment->map.page_bytes,
		.rung = TAPIO_RUNG_PAGES,
		.seals = TPI_SEALS,
		.device = st->st_dev,
		.inode = st->st_ino,
	};
}

/* N2, for one that was killed in it: the new file was kept before. */
static int complete(struct tpi_adopter *a, struct tpi_host *host, uint32_t slot,
		    uint32_t epoch)
{
	struct tpi_slot_memory *memory = &host->memory[slot];
	struct tpi_segment *segment = &host->cursor_segments[slot];
	int fd = tpi_adopt_take(a, TPI_KEEP_SEGMENT,
				tpi_slot_memory_key(memory->number, epoch));
	struct stat st;
	int err = tpi_adopt_open(a, segment, fd, "new memory", memory->number,
				 &st);

	if (!err)
		describe(segment, &st);
	return err;
}

int tpi_adopt_slot(struct tpi_adopter *a, struct tpi_host *host, uint32_t slot)
{
	struct tpi_slot_memory *memory = &host->memory[slot];
	struct tapio_shm_segment *record;
	uint32_t shown = host->shm_groups[slot].epoch;
	uint32_t next = tpi_slot_memory_next_epoch(shown);
	int err = 0;

	memory->number = tpi_slot_record(host->index, slot);
	record = &a->registry->catalog.segments[memory->number];
	memory->record = record;
	memory->epoch = next;
	if (!is_ready(record)) {
		err = complete(a, host, slot, next);
	} else {
		err = tpi_adopt_record(a, memory->number, TAPIO_SEGMENT_CURSORS,
				       host->index, slot);
		if (!err && record->epoch != next && record->epoch != shown)
			err = TPI_ADOPT_FAIL(
				a, -EBADMSG,
				"record %u is of epoch %u, and slot %u of "
				"channel \"%s\" of %u",
				memory->number, record->epoch, slot,
				host->config->spec.name, shown);
		memory->epoch = record->epoch;
		if (!err)
			err = tpi_adopt_segment(a, &host->cursor_segments[slot],
						memory->number, memory->epoch,
						"memory of a slot");
	}
	if (err)
		return err;
	return tpi_cursors_attach(
		&host->cursors[slot], &host->cursor_segments[slot].map,
		&host->lanes.info, slot, a->why, sizeof(a->why));
}

/* N2 and N3, and the marks of memory that no client has had. */
void tpi_adopt_slot_finish(struct tpi_host *host, uint32_t slot)
{
	struct tpi_slot_memory *memory = &host->memory[slot];
	struct tapio_shm_group *shm = &host->shm_groups[slot];

	if (!is_ready(memory->record))
		tpi_registry_note(memory->record, &host->cursor_segments[slot],
				  TAPIO_SEGMENT_CURSORS, host->index, slot,
				  memory->epoch);
	TPI_TESTPOINT("adopt.noted");
	if (shm->epoch == memory->epoch)
		return;
	/* Relaxed: N4 orders it. */
	tpi_store_relaxed(&shm->epoch, memory->epoch);
	TPI_TESTPOINT("adopt.epoch");
	tpi_slot_memory_note(memory);
}
