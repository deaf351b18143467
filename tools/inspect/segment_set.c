/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting descriptors that may be anything into segments of Tapio.
 *
 * Only the few header fields that say what a segment is are read here, once,
 * into a copy; whether the rest is right is for lib/memory/layout.h to say.
 */
#include "tools/inspect/segment_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/atomic.h"

static int make_room(struct tpi_bag *bag)
{
	uint32_t room = bag->room ? bag->room * 2 : 128;
	struct tpi_bag_entry *entries;

	if (bag->count < bag->room)
		return 0;
	entries = realloc(bag->entries, room * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	bag->entries = entries;
	bag->room = room;
	return 0;
}

static bool have_file(const struct tpi_bag *bag, const struct stat *st)
{
	for (uint32_t i = 0; i < bag->count; i++)
		if (bag->entries[i].device == st->st_dev &&
		    bag->entries[i].inode == st->st_ino)
			return true;
	return false;
}

/* Is it a segment that we can read? Fills in what it is. */
static bool identify(struct tpi_bag *bag, const struct tpi_map *map,
		     struct tpi_bag_entry *entry)
{
	const struct tapio_shm_header *shared = (const void *)map->base;
	struct tapio_shm_header header;

	/*
	 * ORDER segment.ready (acquire): the header is as it was written before
	 * READY. Pairs with the release that ends the building of a segment.
	 */
	if (tpi_load_acquire(&shared->ready) != TAPIO_SEGMENT_READY)
		return false;
	memcpy(&header, shared, sizeof(header));
	tpi_fence_compiler(); /* the copy is what is looked at */
	if (header.magic != TAPIO_SEGMENT_MAGIC)
		return false;
	if (header.abi_major != TAPIO_ABI_MAJOR ||
	    header.incompat & ~TAPIO_INCOMPAT_KNOWN) {
		bag->incompatible = true;
		bag->abi_major = header.abi_major;
		bag->abi_minor = header.abi_minor;
		bag->incompat = header.incompat;
		return false;
	}
	entry->map = *map;
	entry->kind = header.kind;
	entry->channel = header.channel;
	entry->index = header.index;
	memcpy(entry->instance, header.instance, sizeof(entry->instance));
	return true;
}

int tpi_bag_add(struct tpi_bag *bag, int fd, pid_t pid)
{
	struct tpi_bag_entry entry = {.pid = pid};
	struct tpi_map map;
	struct stat st;
	int err;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || have_file(bag, &st))
		return 0;
	err = make_room(bag);
	if (err)
		return err;
	err = tpi_map_fd(&map, fd, false, UINT64_MAX, NULL, 0);
	if (err)
		return err == -ENOMEM ? err : 0;
	entry.device = st.st_dev;
	entry.inode = st.st_ino;
	if (identify(bag, &map, &entry))
		bag->entries[bag->count++] = entry;
	else
		tpi_map_close(&map);
	return 0;
}

struct tpi_bag_entry *tpi_bag_find(const struct tpi_bag *bag,
				   const uint8_t instance[16], uint32_t kind,
				   uint32_t channel, uint32_t index)
{
	for (uint32_t i = 0; i < bag->count; i++) {
		struct tpi_bag_entry *e = &bag->entries[i];

		if (e->kind == kind && e->channel == channel &&
		    e->index == index &&
		    !memcmp(e->instance, instance, sizeof(e->instance)))
			return e;
	}
	return NULL;
}

int tpi_bag_catalog(const struct tpi_bag *bag, struct tpi_bag_entry **out)
{
	*out = NULL;
	for (uint32_t i = 0; i < bag->count; i++) {
		if (bag->entries[i].kind != TAPIO_SEGMENT_CATALOG)
			continue;
		if (*out)
			return -ENOTUNIQ;
		*out = &bag->entries[i];
	}
	return *out ? 0 : -ENOENT;
}

void tpi_bag_empty(struct tpi_bag *bag)
{
	for (uint32_t i = 0; i < bag->count; i++)
		tpi_map_close(&bag->entries[i].map);
	free(bag->entries);
	*bag = (struct tpi_bag){0};
}
