/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the control groups of this process, and reading their limits.
 *
 * Called when a broker starts, by `tapiod --check`, and by segment.c before it takes
 * memory. /proc/self/cgroup names the group for each controller, as seen from the root
 * of the cgroup namespace. /proc/self/mountinfo says where, and from which root on, the
 * hierarchies are mounted. A group lies at the mount point, plus its path without the
 * root of that mount.
 *
 * Nothing here is a promise: a limit may be lowered, and a neighbour may take what is
 * left, between the look and the use. A file that is missing is no limit (the root of
 * version 2 has none). A file that cannot be read or understood is reported.
 */
#include "lib/memory/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "No limit" of version 1 is LONG_MAX rounded down to a page. No host has so much. */
#define UNLIMITED (UINT64_C(1) << 62)

/* ---- where they are -------------------------------------------------------------- */

/* Is `word` in a list with commas? */
static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (; *list; list += strcspn(list, ","), list += *list == ',')
		if (strcspn(list, ",") == length &&
		    !strncmp(list, word, length))
			return true;
	return false;
}

static FILE *open_proc(const char *root, const char *name)
{
	FILE *file = NULL;
	char *path;

	if (asprintf(&path, "%s/proc/self/%s", root, name) < 0)
		return NULL;
	file = fopen(path, "re");
	free(path);
	return file;
}

/*
 * The group's path from /proc/self/cgroup ("hierarchy:controllers:path"): of the
 * hierarchy of version 1 that has the controller, else of version 2.
 */
static char *read_path(FILE *file, const char *controller, int *version)
{
	char *line = NULL, *list, *path, *found = NULL;
	size_t bytes = 0;

	while (*version != 1 && getline(&line, &bytes, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		list = strchr(line, ':');
		path = list ? strchr(++list, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (*list ? !has_word(list, controller)
			  : strncmp(line, "0:", 2))
			continue;
		*version = *list ? 1 : 2;
		free(found);
		found = strdup(path);
	}
	free(line);
	return found;
}

/* mountinfo writes blanks and the like as \ooo. */
static void unescape(char *text)
{
	char *to = text;
	unsigned int byte;

	for (; *text; text++)
		if (*text == '\\' && sscanf(text + 1, "%3o", &byte) == 1) {
			*to++ = (char)byte;
			text += strspn(text + 1, "01234567");
		} else {
			*to++ = *text;
		}
	*to = '\0';
}

struct mount {
	char *root; /* of the hierarchy, that is seen at .. */
	char *point;
	const char *type;
	const char *options; /* of the filesystem */
};

/* "36 35 98:0 /root /point rw shared:1 - type source options" */
static bool parse_mount(char *line, struct mount *mount)
{
	char *save = NULL, *field = strtok_r(line, " \n", &save);

	for (int i = 0; field && i < 3; i++)
		field = strtok_r(NULL, " \n", &save);
	mount->root = field;
	mount->point = field ? strtok_r(NULL, " \n", &save) : NULL;
	while (field && strcmp(field, "-"))
		field = strtok_r(NULL, " \n", &save);
	mount->type = field ? strtok_r(NULL, " \n", &save) : NULL;
	field = mount->type ? strtok_r(NULL, " \n", &save) : NULL;
	mount->options = field ? strtok_r(NULL, " \n", &save) : NULL;
	if (!mount->options)
		return false;
	unescape(mount->root);
	unescape(mount->point);
	return true;
}

/* The part of `path` below the root of the mount. NULL: it is not below. */
static const char *below(const char *path, const char *mount_root)
{
	size_t length = strlen(mount_root);

	if (!strcmp(mount_root, "/"))
		length = 0;
	if (strncmp(path, mount_root, length) ||
	    (path[length] && path[length] != '/'))
		return NULL;
	path += length;
	return strcmp(path, "/") ? path : "";
}

/*
 * A mount that shows the group. There may be several: the one that shows more of the
 * groups above wins. A group outside of the namespace begins with "/..".
 */
static int take_mount(struct tpi_cgroup_place *place, const struct mount *mount,
		      const char *root, const char *path)
{
	const char *rest = below(path, mount->root);
	char *directory;
	size_t top;

	if (!rest || !strncmp(path, "/..", 3))
		return 0;
	top = strlen(root) + strlen(mount->point);
	if (asprintf(&directory, "%s%s%s", root, mount->point, rest) < 0)
		return -ENOMEM;
	if (access(directory, F_OK) ||
	    (place->directory &&
	     strlen(directory) - top <=
		     strlen(place->directory) - place->top)) {
		free(directory);
		return 0;
	}
	free(place->directory);
	place->directory = directory;
	place->top = top;
	return 0;
}

static bool is_of(const struct tpi_cgroup_place *place,
		  const struct mount *mount, const char *controller)
{
	if (place->version == 2)
		return !strcmp(mount->type, "cgroup2");
	return !strcmp(mount->type, "cgroup") &&
	       has_word(mount->options, controller);
}

/* Looks at all mounts. *counts_huge: one says that memory counts huge pages. */
static int find_mount(struct tpi_cgroup_place *place, const char *root,
		      const char *path, const char *controller,
		      bool *counts_huge)
{
	FILE *file = open_proc(root, "mountinfo");
	struct mount mount;
	char *line = NULL;
	size_t bytes = 0;
	int err = 0;

	while (file && !err && getline(&line, &bytes, file) > 0) {
		if (!parse_mount(line, &mount) ||
		    !is_of(place, &mount, controller))
			continue;
		if (has_word(mount.options, "memory_hugetlb_accounting"))
			*counts_huge = true;
		err = take_mount(place, &mount, root, path);
	}
	free(line);
	if (file)
		fclose(file);
	return err;
}

static int find_place(struct tpi_cgroup_place *place, const char *root,
		      const char *controller, bool *counts_huge)
{
	FILE *file = open_proc(root, "cgroup");
	char *path;
	int err;

	if (!file) {
		place->unknown = "/proc/self/cgroup cannot be read";
		return 0;
	}
	path = read_path(file, controller, &place->version);
	fclose(file);
	/* No hierarchy has it, so it limits nothing. */
	if (!place->version)
		return 0;
	if (!path)
		return -ENOMEM;
	err = find_mount(place, root, path, controller, counts_huge);
	free(path);
	if (!err && !place->directory)
		place->unknown = "no mount in /proc/self/mountinfo shows it";
	return err;
}

int tpi_cgroups_find(struct tpi_cgroups *cgroups, const char *root)
{
	bool ignored = false;
	int err;

	*cgroups = (struct tpi_cgroups){0};
	err = find_place(&cgroups->memory, root, "memory",
			 &cgroups->memory_has_huge);
	if (!err)
		err = find_place(&cgroups->hugetlb, root, "hugetlb", &ignored);
	if (err)
		tpi_cgroups_free(cgroups);
	return err;
}

void tpi_cgroups_free(struct tpi_cgroups *cgroups)
{
	free(cgroups->memory.directory);
	free(cgroups->hugetlb.directory);
	*cgroups = (struct tpi_cgroups){0};
}

/* ---- what they say --------------------------------------------------------------- */

/* Files of a kind, for version 1 and 2. NULL: there is none. */
static const struct {
	const char *limit[2];
	const char *used[2];
} files[TPI_CGROUP_KINDS] = {
	[TPI_CGROUP_MEMORY] = {{"memory.limit_in_bytes", "memory.max"},
			       {"memory.usage_in_bytes", "memory.current"}},
	[TPI_CGROUP_HIGH] = {{NULL, "memory.high"}, {NULL, "memory.current"}},
	[TPI_CGROUP_HUGE] = {{"hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"},
			     {"hugetlb.2MB.usage_in_bytes",
			      "hugetlb.2MB.current"}},
	[TPI_CGROUP_HUGE_RSVD] = {{"hugetlb.2MB.rsvd.limit_in_bytes",
				   "hugetlb.2MB.rsvd.max"},
				  {"hugetlb.2MB.rsvd.usage_in_bytes",
				   "hugetlb.2MB.rsvd.current"}},
};

/* One group of the way up: the first `length` bytes of the place's directory. */
struct level {
	const struct tpi_cgroup_place *place;
	size_t length;
	enum tpi_cgroup_kind kind;
	struct tpi_cgroup_limit *limit;
};

static FILE *open_file(const struct level *level, const char *name)
{
	FILE *file = NULL;
	char *path;

	if (asprintf(&path, "%.*s/%s", (int)level->length,
		     level->place->directory, name) < 0)
		return NULL;
	file = fopen(path, "re");
	free(path);
	return file;
}

static void name_file(const struct level *level, const char *name)
{
	struct tpi_cgroup_limit *limit = level->limit;
	size_t room = sizeof(limit->file);
	size_t skip = level->length + strlen(name) + 2 > room
			      ? level->length + strlen(name) + 2 - room
			      : 0;

	/* Of a long name the end says more. */
	snprintf(limit->file, room, "%.*s/%s", (int)(level->length - skip),
		 level->place->directory + skip, name);
}

/* A number or "max". -ENOENT: no such file, and so no limit. */
static int read_value(const struct level *level, const char *name,
		      uint64_t *value)
{
	FILE *file = open_file(level, name);
	char text[64] = "", *end;

	if (!file)
		return -errno;
	if (!fgets(text, sizeof(text), file)) {
		fclose(file);
		return -EIO;
	}
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	*value = UINT64_MAX;
	if (!strcmp(text, "max") || !strcmp(text, "-1"))
		return 0;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9')
		return -EBADMSG;
	if (*value >= UNLIMITED)
		*value = UINT64_MAX;
	return 0;
}

/* Adds up the lines of memory.stat that have one of the keys. */
static uint64_t sum_stat(const struct level *level, const char *const *keys)
{
	FILE *file = open_file(level, "memory.stat");
	uint64_t value, total = 0;
	char line[128], key[64];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %" SCNu64, key, &value) != 2)
			continue;
		for (size_t i = 0; keys[i]; i++)
			if (!strcmp(key, keys[i]))
				total += value;
	}
	if (file)
		fclose(file);
	return total;
}

/*
 * The page cache, which gives way before the OOM killer comes. Pages of shmem count as
 * cache in version 1, but are not on the lists of files. They do not give way.
 */
static uint64_t cache_bytes(const struct level *level)
{
	static const char *const keys[2][3] = {
		{"total_inactive_file", "total_active_file", NULL},
		{"inactive_file", "active_file", NULL},
	};

	if (level->kind != TPI_CGROUP_MEMORY && level->kind != TPI_CGROUP_HIGH)
		return 0;
	return sum_stat(level, keys[level->place->version - 1]);
}

static void mark_unreadable(const struct level *level, const char *name)
{
	level->limit->unreadable = true;
	/* A limit that is known says more. */
	if (level->limit->limit_bytes == UINT64_MAX)
		name_file(level, name);
}

/* Keeps a limit if it leaves less room than those before. */
static void keep_smaller(const struct level *level, const char *name,
			 uint64_t limit_bytes)
{
	const char *used_name =
		files[level->kind].used[level->place->version - 1];
	uint64_t used = 0, cache, room;

	if (read_value(level, used_name, &used)) {
		/* The use is unknown: the limit itself still holds. */
		mark_unreadable(level, used_name);
		used = 0;
	}
	cache = cache_bytes(level);
	used -= cache < used ? cache : used;
	room = limit_bytes > used ? limit_bytes - used : 0;
	if (room >= level->limit->room_bytes)
		return;
	level->limit->limit_bytes = limit_bytes;
	level->limit->used_bytes = used;
	level->limit->room_bytes = room;
	name_file(level, name);
}

static void read_level(const struct level *level)
{
	const char *name = files[level->kind].limit[level->place->version - 1];
	uint64_t value;
	int err = name ? read_value(level, name, &value) : -ENOENT;

	if (!err && value != UINT64_MAX)
		keep_smaller(level, name, value);
	else if (err && err != -ENOENT)
		mark_unreadable(level, name);
}

/*
 * Groups above the root that can be seen, as the host's above a container: version 1
 * tells the smallest limit of all in memory.stat. The use is that of this group, since
 * the others' is unknown there. So the room is an upper bound.
 */
static void read_hidden(const struct level *level)
{
	static const char *const key[] = {"hierarchical_memory_limit", NULL};
	uint64_t value;

	if (level->kind != TPI_CGROUP_MEMORY || level->place->version != 1)
		return;
	value = sum_stat(level, key);
	if (value && value < UNLIMITED)
		keep_smaller(level, "memory.stat", value);
}

/* Version 1 can leave a group's children out of its account. */
static bool counts_children(const struct level *level)
{
	uint64_t value;

	return level->place->version != 1 ||
	       read_value(level, "memory.use_hierarchy", &value) || value;
}

/* To the group above. False: there is none that can be seen, or that counts. */
static bool go_up(struct level *level)
{
	if (level->length <= level->place->top)
		return false;
	do
		level->length--;
	while (level->place->directory[level->length] != '/');
	return counts_children(level);
}

void tpi_cgroup_read(const struct tpi_cgroups *cgroups,
		     enum tpi_cgroup_kind kind, struct tpi_cgroup_limit *limit)
{
	bool memory = kind == TPI_CGROUP_MEMORY || kind == TPI_CGROUP_HIGH;
	struct level level = {
		.place = memory ? &cgroups->memory : &cgroups->hugetlb,
		.kind = kind,
		.limit = limit,
	};

	*limit = (struct tpi_cgroup_limit){.limit_bytes = UINT64_MAX,
					   .room_bytes = UINT64_MAX};
	if (!level.place->directory)
		return;
	level.length = strlen(level.place->directory);
	read_level(&level);
	read_hidden(&level);
	while (go_up(&level))
		read_level(&level);
}

void tpi_cgroup_read_huge(const struct tpi_cgroups *cgroups,
			  struct tpi_cgroup_limit *limit)
{
	struct tpi_cgroup_limit reserved;

	tpi_cgroup_read(cgroups, TPI_CGROUP_HUGE, limit);
	tpi_cgroup_read(cgroups, TPI_CGROUP_HUGE_RSVD, &reserved);
	if (reserved.room_bytes < limit->room_bytes)
		*limit = reserved;
}
