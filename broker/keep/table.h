/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which descriptor is kept under which key. All its memory is there from the start, so the
 * keeper allocates nothing later. Used by the keeper, and by a broker for its own puts.
 */
#ifndef TPI_BROKER_KEEP_TABLE_H
#define TPI_BROKER_KEEP_TABLE_H

#include "broker/keep/keep.h"

/* More descriptors than this a process is not expected to have. */
#define TPI_KEEP_TABLE_MAX (UINT32_C(1) << 20)

struct tpi_keep_slot {
	struct tpi_kept kept; /* kind 0: the slot is free */
	uint32_t next;        /* of its bucket, or of the free ones. 0: none */
};

struct tpi_keep_table {
	struct tpi_keep_slot *slots; /* slot 0 is not used */
	uint32_t *buckets;           /* the first slot of each. 0: none */
	uint32_t slot_count;
	uint32_t bucket_mask;
	uint32_t fresh; /* this slot and those behind it were never used */
	uint32_t free;  /* the first one that was. 0: none */
	uint32_t used;
};

/* Room for so many. Pages that are never touched cost nothing. -ENOMEM. */
int tpi_keep_table_create(struct tpi_keep_table *table, uint32_t room);
void tpi_keep_table_destroy(struct tpi_keep_table *table);

/*
 * The descriptor goes under the key. *old is the one that was there, or -1. -ENOSPC: there is
 * no room. The table opens and closes none.
 */
int tpi_keep_table_put(struct tpi_keep_table *table, struct tpi_keep_key key,
		       int fd, int *old);
/* Takes it out. The descriptor, or -1. */
int tpi_keep_table_drop(struct tpi_keep_table *table, struct tpi_keep_key key);
/* The descriptor under the key, or -1. */
int tpi_keep_table_find(const struct tpi_keep_table *table,
			struct tpi_keep_key key);
/* Writes all into `kept`, which has room for table->used. */
void tpi_keep_table_list(const struct tpi_keep_table *table,
			 struct tpi_kept *kept);

/* Whether a key can be one: its kind is known, and its number small enough. */
int tpi_keep_key_valid(struct tpi_keep_key key);

/* keep->kept becomes a list of the table. -ENOMEM. */
int tpi_keep_inherit(struct tpi_keep *keep, const struct tpi_keep_table *table);

#endif
