/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting descriptors that may be anything into segments of Tapio.
 *
 * Only the few header fields that say what a segment is are read here, once,
 * into a copy. Whether the rest is right is for lib/memory/layout.h to say.
 */
#include "tools/inspect/segment_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/atomic.h"

static int make_room(struct tpi_segment_set *set)
{
	uint32_t room = set->room ? set->room * 2 : 128;
	struct tpi_segment_set_entry *entries;

	if (set->count < set->room)
		return 0;
	entries = realloc(set->entries, room * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	set->entries = entries;
	set->room = room;
	return 0;
}

static bool have_file(const struct tpi_segment_set *set, const struct stat *st)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (set->entries[i].device == st->st_dev &&
		    set->entries[i].inode == st->st_ino)
			return true;
	return false;
}

/* Is it a segment that we can read? Fills in what it is. */
static bool identify(struct tpi_segment_set *set, const struct tpi_map *map,
		     struct tpi_segment_set_entry *entry)
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
	if (!TAPIO_ABI_READABLE(header.abi_major, header.abi_minor) ||
	    header.incompat & ~TAPIO_INCOMPAT_KNOWN) {
		set->incompatible = true;
		set->abi_major = header.abi_major;
		set->abi_minor = header.abi_minor;
		set->incompat = header.incompat;
		return false;
	}
	entry->map = *map;
	entry->kind = header.kind;
	entry->channel = header.channel;
	entry->index = header.index;
	memcpy(entry->instance, header.instance, sizeof(entry->instance));
	return true;
}

int tpi_segment_set_add(struct tpi_segment_set *set, int fd, pid_t pid)
{
	struct tpi_segment_set_entry entry = {.pid = pid};
	struct tpi_map map;
	struct stat st;
	int err;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || have_file(set, &st))
		return 0;
	err = make_room(set);
	if (err)
		return err;
	err = tpi_map_fd(&map, fd, false, UINT64_MAX, NULL, 0);
	if (err)
		return err == -ENOMEM ? err : 0;
	entry.device = st.st_dev;
	entry.inode = st.st_ino;
	if (identify(set, &map, &entry))
		set->entries[set->count++] = entry;
	else
		tpi_map_close(&map);
	return 0;
}

struct tpi_segment_set_entry *
tpi_segment_set_find(const struct tpi_segment_set *set,
		     const uint8_t instance[16], uint32_t kind,
		     uint32_t channel, uint32_t index)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct tpi_segment_set_entry *e = &set->entries[i];

		if (e->kind == kind && e->channel == channel &&
		    e->index == index &&
		    !memcmp(e->instance, instance, sizeof(e->instance)))
			return e;
	}
	return NULL;
}

int tpi_segment_set_catalog(const struct tpi_segment_set *set,
			    struct tpi_segment_set_entry **out)
{
	*out = NULL;
	for (uint32_t i = 0; i < set->count; i++) {
		if (set->entries[i].kind != TAPIO_SEGMENT_CATALOG)
			continue;
		if (*out)
			return -ENOTUNIQ;
		*out = &set->entries[i];
	}
	return *out ? 0 : -ENOENT;
}

void tpi_segment_set_empty(struct tpi_segment_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		tpi_map_close(&set->entries[i].map);
	free(set->entries);
	*set = (struct tpi_segment_set){0};
}
