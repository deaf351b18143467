/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about clients and slots that the catalog does not have, because they are
 * private, or a secret of the clients. A successor needs it (adopt.h), so it lies in a
 * memfd that the keeper has. No client gets that file. A broker without a keeper has the
 * same records on its heap.
 *
 * Rule: a record is written before the word of the catalog that makes the thing visible.
 * The broker alone writes here and reads here, so the stores are plain. Behind them comes a
 * store with release, or a call of the kernel, and neither is moved before them.
 */
#ifndef TPI_BROKER_STATE_H
#define TPI_BROKER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/memory/layout.h"

#define TPI_STATE_MAGIC    UINT64_C(0x4554415453504154) /* "TAPSTATE" */
#define TPI_STATE_VERSION  4
#define TPI_STATE_READY    UINT32_C(0x59444552)
#define TPI_STATE_IN_USE   UINT64_MAX /* rests_since of one that was not freed */
#define TPI_STATE_NO_GROUP UINT32_MAX /* incarnation of one that is no member */

struct tpi_state_head {
	uint64_t magic;
	uint32_t version;
	uint32_t ready; /* written last */
	uint8_t instance[16];
	uint64_t bytes; /* of all of it */
	uint32_t client_count;
	uint32_t channel_count;
	uint64_t births;
	uint64_t restarts;
	uint64_t reserved[8];
};

/* By index of the attachment. */
struct tpi_state_client {
	uint32_t
		id; /* the last that was given, though it may never have been seen */
	uint32_t own_segment;
	uint64_t born;
	uint64_t rests_since; /* TPI_STATE_IN_USE */
	uint64_t handle;      /* the client's name of it (wire.h). 0: none */
	uint32_t incarnation; /* of its group in the slot, TPI_STATE_NO_GROUP */
	/* 1 + slot, while it has a group. 0: none. A producer: 1: it knows S2r of wake.h */
	uint32_t board;
	uint32_t inode; /* of the process (tpi_process_inode()). 0: not known */
	uint32_t reserved;
	uint8_t at_random[16]; /* it seeds the canaries of the client's stack */
	uint32_t heard[TAPIO_GROUP_SLOTS];
};

#define TPI_STATE_CONFIGURED UINT32_C(1)
#define TPI_STATE_PRIVATE    UINT32_C(2)

struct tpi_state_slot {
	uint64_t memory; /* slot_memory.h: one word, so it is of one moment */
	uint64_t types;
	uint32_t severity_min;
	uint32_t class_mask;
	uint32_t flags; /* TPI_STATE_CONFIGURED, _PRIVATE */
	uint32_t reserved;
};

/* Of one channel. */
struct tpi_state_channel {
	struct tpi_state_slot slots[TAPIO_GROUP_SLOTS];
	uint64_t own_memory[TAPIO_NODES_MAX]; /* of isolated segments */
	/* own_memory.h, M5: the number of the memory, before its record says so. */
	uint32_t own_memory_number[TAPIO_NODES_MAX];
};

struct tpi_state {
	struct tpi_segment segment; /* none: it is on the heap */
	struct tpi_state_head *head;
	struct tpi_state_client *clients;
	struct tpi_state_channel *channels;
	bool on_heap;
};

/* All zero, for so many records. `kept`: as a file. -ENOMEM, or why there is no file. */
int tpi_state_create(struct tpi_state *state, uint32_t client_count,
		     uint32_t channel_count, const uint8_t instance[16],
		     bool kept, char *error, size_t error_bytes);
/*
 * A former broker's, from its descriptor, which is closed or kept. -EBADMSG it is not of that catalog, or is
 * broken. -EPROTONOSUPPORT of another version. The reason has the numbers.
 */
int tpi_state_open(struct tpi_state *state, int fd,
		   const struct tpi_catalog *catalog, char *error,
		   size_t error_bytes);
/* Also of one that was not made. */
void tpi_state_destroy(struct tpi_state *state);

#endif
