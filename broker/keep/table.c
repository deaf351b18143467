/* SPDX-License-Identifier: Apache-2.0 */
/* Slots in chains, one chain for each bucket of keys. */
#include "broker/keep/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NUMBER_LIMIT (UINT32_C(1) << 24)

int tpi_keep_key_valid(struct tpi_keep_key key)
{
	return key.kind >= TPI_KEEP_LOCK && key.kind < TPI_KEEP_KINDS &&
	       key.number < NUMBER_LIMIT;
}

static size_t slots_bytes(const struct tpi_keep_table *table)
{
	return table->slot_count * sizeof(*table->slots);
}

static size_t table_bytes(const struct tpi_keep_table *table)
{
	return slots_bytes(table) +
	       (table->bucket_mask + (size_t)1) * sizeof(*table->buckets);
}

int tpi_keep_table_create(struct tpi_keep_table *table, uint32_t room)
{
	uint32_t buckets = 64;
	void *memory;

	if (room > TPI_KEEP_TABLE_MAX)
		room = TPI_KEEP_TABLE_MAX;
	while (buckets < room)
		buckets *= 2;
	*table = (struct tpi_keep_table){
		.slot_count = room + 1, .bucket_mask = buckets - 1, .fresh = 1};
	memory = mmap(NULL, table_bytes(table), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	table->slots = memory;
	table->buckets = (uint32_t *)((char *)memory + slots_bytes(table));
	return 0;
}

void tpi_keep_table_destroy(struct tpi_keep_table *table)
{
	if (table->slots)
		munmap(table->slots, table_bytes(table));
	table->slots = NULL;
}

static uint32_t *bucket_of(const struct tpi_keep_table *table,
			   struct tpi_keep_key key)
{
	uint32_t mixed = (key.number ^ key.kind << 24) * UINT32_C(0x9e3779b1);

	return &table->buckets[(mixed ^ mixed >> 15) & table->bucket_mask];
}

/* Where the link to its slot is, or the end of the chain: a link that is 0. */
static uint32_t *link_to(const struct tpi_keep_table *table,
			 struct tpi_keep_key key)
{
	uint32_t *at = bucket_of(table, key);

	while (*at) {
		struct tpi_keep_slot *slot = &table->slots[*at];

		if (slot->kept.key.kind == key.kind &&
		    slot->kept.key.number == key.number)
			break;
		at = &slot->next;
	}
	return at;
}

static uint32_t new_slot(struct tpi_keep_table *table)
{
	uint32_t index = table->free;

	if (index)
		table->free = table->slots[index].next;
	else if (table->fresh < table->slot_count)
		index = table->fresh++;
	return index;
}

int tpi_keep_table_put(struct tpi_keep_table *table, struct tpi_keep_key key,
		       int fd, int *old)
{
	uint32_t *at = link_to(table, key), index = *at;

	*old = index ? table->slots[index].kept.fd : -1;
	if (!index) {
		index = new_slot(table);
		if (!index)
			return -ENOSPC;
		table->slots[index].next = 0;
		*at = index;
		table->used++;
	}
	table->slots[index].kept = (struct tpi_kept){.key = key, .fd = fd};
	return 0;
}

int tpi_keep_table_drop(struct tpi_keep_table *table, struct tpi_keep_key key)
{
	uint32_t *at = link_to(table, key), index = *at;
	struct tpi_keep_slot *slot = &table->slots[index];
	int fd;

	if (!index)
		return -1;
	fd = slot->kept.fd;
	*at = slot->next;
	*slot = (struct tpi_keep_slot){.next = table->free};
	table->free = index;
	table->used--;
	return fd;
}

int tpi_keep_table_find(const struct tpi_keep_table *table,
			struct tpi_keep_key key)
{
	uint32_t index = *link_to(table, key);

	return index ? table->slots[index].kept.fd : -1;
}

void tpi_keep_table_list(const struct tpi_keep_table *table,
			 struct tpi_kept *kept)
{
	uint32_t count = 0;

	for (uint32_t i = 1; i < table->fresh; i++)
		if (table->slots[i].kept.key.kind)
			kept[count++] = table->slots[i].kept;
}

int tpi_keep_inherit(struct tpi_keep *keep, const struct tpi_keep_table *table)
{
	keep->kept_count = table->used;
	if (!table->used)
		return 0;
	keep->kept = calloc(table->used, sizeof(*keep->kept));
	if (!keep->kept)
		return -ENOMEM;
	tpi_keep_table_list(table, keep->kept);
	return 0;
}
