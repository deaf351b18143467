/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting descriptors that may be anything into segments of Tapio.
 *
 * A catalog is known by the name of its file, and by its header, of which a few fields
 * are read here, once, into a copy. Whether the rest is right is for lib/memory/layout.h
 * to say. The other segments have no header, since clients can write them, and one that a
 * client has written there is not read. They are known by their file, which the catalog
 * names.
 */
#include "tools/inspect/segment_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "lib/base/versions.h"

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

/* As the broker names it (broker/registry/make.c). */
bool tpi_segment_set_has_catalog_name(int fd)
{
	static const char name[] = "/memfd:tapio-catalog (deleted)";
	char path[32], target[sizeof(name)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	return n == (ssize_t)strlen(name) && !memcmp(target, name, (size_t)n);
}

/* Whether it is a catalog. One of another version is noted. */
static void identify(struct tpi_segment_set *set,
		     struct tpi_segment_set_entry *entry)
{
	const struct tapio_shm_header *shared = (const void *)entry->map.base;
	struct tapio_shm_header header;

	/*
	 * ORDER segment.ready (acquire): the header is as it was written before
	 * READY. Pairs with the release that ends the building of a segment.
	 */
	if (tpi_load_acquire(&shared->ready) != TAPIO_SEGMENT_READY)
		return;
	memcpy(&header, shared, sizeof(header));
	tpi_fence_compiler(); /* the copy is what is looked at */
	if (header.magic != TAPIO_SEGMENT_MAGIC)
		return;
	if (!TAPIO_ABI_READABLE(header.abi_major, header.abi_minor) ||
	    header.incompat & ~TPI_INCOMPAT_KNOWN) {
		set->incompatible = true;
		set->abi_major = header.abi_major;
		set->abi_minor = header.abi_minor;
		set->incompat = header.incompat;
		return;
	}
	entry->catalog = true;
	for (size_t i = 0; i < sizeof(header.instance); i++)
		snprintf(entry->instance + 2 * i, 3, "%02x",
			 header.instance[i]);
}

bool tpi_segment_set_wants(const struct tpi_segment_set *set,
			   const struct tpi_segment_set_entry *entry)
{
	return entry->catalog &&
	       (!set->instance || !strncmp(entry->instance, set->instance,
					   strlen(set->instance)));
}

int tpi_segment_set_put(struct tpi_segment_set *set,
			const struct tpi_segment_set_entry *entry, bool catalog)
{
	int err = make_room(set);

	if (err)
		return err;
	set->entries[set->count] = *entry;
	if (catalog)
		identify(set, &set->entries[set->count]);
	set->count++;
	return 0;
}

int tpi_segment_set_add(struct tpi_segment_set *set, int fd, pid_t pid)
{
	struct tpi_segment_set_entry entry = {.pid = pid};
	struct tpi_map map;
	struct stat st;
	int err;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || have_file(set, &st))
		return 0;
	err = tpi_map_fd(&map, fd, false, UINT64_MAX, NULL, 0);
	if (err)
		return err == -ENOMEM ? err : 0;
	entry.map = map;
	entry.seals =
		(uint32_t)tpi_sys_get_seals(fd); /* tpi_map_fd() read them */
	entry.mode = st.st_mode & 07777;
	entry.received = !pid;
	entry.writable = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
	entry.device = st.st_dev;
	entry.inode = st.st_ino;
	err = tpi_segment_set_put(set, &entry,
				  tpi_segment_set_has_catalog_name(fd));
	if (err)
		tpi_map_close(&map);
	return err;
}

struct tpi_segment_set_entry *
tpi_segment_set_find(const struct tpi_segment_set *set,
		     const struct tapio_shm_segment *record)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct tpi_segment_set_entry *e = &set->entries[i];

		if (e->device == record->device && e->inode == record->inode)
			return e;
	}
	return NULL;
}

int tpi_segment_set_catalog(const struct tpi_segment_set *set,
			    struct tpi_segment_set_entry **out)
{
	*out = NULL;
	for (uint32_t i = 0; i < set->count; i++) {
		if (!tpi_segment_set_wants(set, &set->entries[i]))
			continue;
		if (*out)
			return -ENOTUNIQ;
		*out = &set->entries[i];
	}
	return *out ? 0 : -ENOENT;
}

void tpi_segment_set_believe(struct tpi_segment_set *set, uid_t uid)
{
	for (uint32_t i = 0; i < set->believed_count; i++)
		if (set->believed[i] == uid)
			return;
	if (set->believed_count < TPI_BELIEVED_MAX)
		set->believed[set->believed_count++] = uid;
}

int tpi_segment_set_refuse(struct tpi_segment_set *set, const char *channel,
			   const char *why)
{
	struct tpi_segment_refusal *more = reallocarray(
		set->refusals, (size_t)set->refusal_count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	set->refusals = more;
	more += set->refusal_count++;
	snprintf(more->channel, sizeof(more->channel), "%s", channel);
	snprintf(more->why, sizeof(more->why), "%s", why);
	return 0;
}

const char *tpi_segment_set_refusal(const struct tpi_segment_set *set,
				    const char *channel)
{
	for (uint32_t i = 0; i < set->refusal_count; i++)
		if (!strcmp(set->refusals[i].channel, channel))
			return set->refusals[i].why;
	return NULL;
}

void tpi_segment_set_empty(struct tpi_segment_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		tpi_map_close(&set->entries[i].map);
	free(set->entries);
	free(set->refusals);
	*set = (struct tpi_segment_set){0};
}
