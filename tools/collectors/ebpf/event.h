/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From records of the kernel to events: each function fills in a builder, which writes into
 * the block of a lane.
 */
#ifndef TPI_EBPF_EVENT_H
#define TPI_EBPF_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include <tapio/event.h>

#include "tools/collectors/ebpf/disks.h"
#include "tools/collectors/ebpf/record.h"

/* The same for all records of a batch. */
struct tpi_ebpf_now {
	uint64_t wall_ns; /* CLOCK_REALTIME */
	uint64_t boot_ns; /* CLOCK_BOOTTIME at the same instant */
	uint64_t page_bytes;
	struct tpi_disks *disks; /* names of devices. NULL: none */
};

void tpi_ebpf_now(struct tpi_ebpf_now *now);

/* A stamp since boot as CLOCK_REALTIME. 0 stays 0: not known. */
static inline uint64_t tpi_ebpf_wall(const struct tpi_ebpf_now *now,
				     uint64_t boot_ns)
{
	return boot_ns ? now->wall_ns - (now->boot_ns - boot_ns) : 0;
}

/* The type of event that a record becomes (TAPIO_EVENT_*), its severity apart. */
uint16_t tpi_ebpf_event_type(const struct tpi_ebpf_head *head);

/*
 * The length of a record's event, no string cut, or a little more. `length` is that of the
 * record. 0: no record of ours.
 */
uint32_t tpi_ebpf_event_bound(const struct tpi_ebpf_head *head,
			      uint32_t length);

/* The shortest event that it may be cut to. */
uint32_t tpi_ebpf_event_least(const struct tpi_ebpf_head *head);

/* Builds the event in `buffer`. Its length, or -errno. Strings are cut where need be. */
int tpi_ebpf_event_build(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_head *head, uint32_t length,
			 void *buffer, uint32_t capacity, uint32_t *tag);

/* The same into a builder that has been begun, without its end. */
void tpi_ebpf_event_fill(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_head *head, uint32_t length,
			 struct tapio_event_builder *b);

/* event_*.c: the fields of each kind. */
void tpi_ebpf_fill_start(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_start *r, uint32_t length,
			 struct tapio_event_builder *b);
void tpi_ebpf_fill_exit(const struct tpi_ebpf_now *now,
			const struct tpi_ebpf_exit *r,
			struct tapio_event_builder *b);
void tpi_ebpf_fill_oom(const struct tpi_ebpf_now *now,
		       const struct tpi_ebpf_oom *r,
		       struct tapio_event_builder *b);
void tpi_ebpf_fill_connection(const struct tpi_ebpf_now *now,
			      const struct tpi_ebpf_connection *r,
			      struct tapio_event_builder *b);
void tpi_ebpf_fill_open(const struct tpi_ebpf_now *now,
			const struct tpi_ebpf_open *r, uint32_t length,
			struct tapio_event_builder *b);
void tpi_ebpf_fill_block(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_block *r,
			 struct tapio_event_builder *b);
void tpi_ebpf_fill_dns(const struct tpi_ebpf_now *now,
		       const struct tpi_ebpf_dns *r,
		       struct tapio_event_builder *b);

/* REQ_OP_* of the kernel as TAPIO_BLOCK_*. */
uint8_t tpi_ebpf_block_operation(uint32_t operation);

/* A string of at most `bytes`, which may have a NUL before. */
void tpi_ebpf_put(struct tapio_event_builder *b,
		  struct tapio_event_string *field, const char *text,
		  size_t bytes);

#endif
