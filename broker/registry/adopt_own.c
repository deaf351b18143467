/* SPDX-License-Identifier: Apache-2.0 */
/*
 * B3 of adopt.c: the segments of isolated producers. A file that is sealed is mapped to be
 * read. Its record may be half written (own_memory.h, M5). Then the number in the private state says which
 * file counts.
 */
#include <errno.h>
#include <string.h>

#include "broker/keep/keep.h"
#include "broker/registry/adopt_inner.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

static bool is_ready(const struct tapio_shm_segment *record)
{
	/* ORDER segment_record.ready (acquire): the record. Its writer is dead. */
	return tpi_load_acquire(&record->ready) == TAPIO_SEGMENT_READY;
}

/* M5, for one that was killed in it. */
static int complete(struct tpi_adopter *a, struct tpi_host *host,
		    uint32_t index)
{
	struct tpi_segment *segment = &host->nodes[index];
	uint32_t memory = host->kept->own_memory_number[index];
	int fd = tpi_adopt_take(
		a, TPI_KEEP_SEGMENT,
		tpi_slot_memory_key(host->own_memory[index].number, memory));
	struct stat st;
	int err = tpi_adopt_open(a, segment, fd, "new memory",
				 host->own_memory[index].number, &st);

	if (err)
		return err;
	segment->report = (struct tapio_shm_segment){
		.node = UINT32_MAX,
		.length_bytes = segment->map.bytes,
		.page_bytes = segment->map.page_bytes,
		.rung = TAPIO_RUNG_PAGES,
		.seals = TPI_SEALS_LENGTH,
		.device = st.st_dev,
		.inode = st.st_ino,
	};
	return 0;
}

int tpi_adopt_own(struct tpi_adopter *a, struct tpi_host *host, uint32_t index)
{
	struct tpi_slot_memory *own = &host->own_memory[index];
	int err;

	own->number = tpi_segment_record(host->index, index);
	own->record = &a->registry->catalog.segments[own->number];
	if (!is_ready(own->record))
		return complete(a, host, index);
	err = tpi_adopt_record(a, own->number, TAPIO_SEGMENT_CHANNEL,
			       host->index, index);
	return err ? err
		   : tpi_adopt_segment(a, &host->nodes[index], own->number,
				       TAPIO_SEGMENT_MEMORY(own->record->epoch),
				       "segment of a channel");
}

void tpi_adopt_own_finish(struct tpi_host *host, uint32_t index)
{
	struct tpi_slot_memory *own = &host->own_memory[index];
	uint32_t memory = host->kept->own_memory_number[index];

	if (is_ready(own->record))
		return;
	tpi_registry_note(own->record, &host->nodes[index],
			  TAPIO_SEGMENT_CHANNEL, host->index, index,
			  memory << 2 | TAPIO_PHASE_FRESH);
	TPI_TESTPOINT("adopt.own");
	tpi_isolation_show(host, index, memory << 2 | TAPIO_PHASE_FRESH);
	own->given = own->mixed = own->spent = false;
	tpi_slot_memory_note(own);
}
