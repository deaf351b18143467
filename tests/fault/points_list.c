/* SPDX-License-Identifier: Apache-2.0 */
/* See points.h: which testpoints there are. The source itself says it, so none is left out. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/points.h"

#define PATH_BYTES 256
#define MARK       "TPI_TESTPOINT(\""

static char files[POINTS_MAX][PATH_BYTES];
static uint32_t places[POINTS_MAX];

/*
 * Testpoints that no scenario reaches, by the beginnings of their names. A reason names the
 * test that kills there. One of these that is reached has to be died at, as all others.
 */
static const struct {
	const char *name;
	const char *why;
} reasons[] = {
	{"pool.", "no client or broker uses the pool: fault.pool"},
	{"hand.", "one program takes over from another: fault.replace_dies"},
	{"replace.", "one program replaces another: fault.replace_dies"},
	{"run.",
	 "some block of the lane is in hands mostly: fault.client_kill"},
	{"ring.put.", "no client or broker uses the ring: fault.ring"},
	{"ring.get.", "no client or broker uses the ring: fault.ring"},
	{"ring.seek.", "no client or broker uses the ring: fault.ring_between"},
	{"ring.wait.", "no client or broker uses the ring: fault.ring"},
	{"ring.wake.", "no client or broker uses the ring: fault.ring"},
};

const char *points_file(uint32_t point)
{
	return files[point];
}

uint32_t points_places(uint32_t point)
{
	return places[point];
}

const char *points_reason(uint32_t point)
{
	const char *name = board->names[point];

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strncmp(name, reasons[i].name, strlen(reasons[i].name)))
			return reasons[i].why;
	return NULL;
}

static void note(const char *name, size_t length, const char *path)
{
	uint32_t i;

	ck_assert_uint_lt(length, POINT_BYTES);
	for (i = 0; i < board->point_count; i++)
		if (strlen(board->names[i]) == length &&
		    !memcmp(board->names[i], name, length))
			break;
	ck_assert_uint_lt(i, POINTS_MAX);
	if (i == board->point_count) {
		board->point_count++;
		memcpy(board->names[i], name, length);
		snprintf(files[i], PATH_BYTES, "%s", path);
	}
	places[i]++;
}

static void read_file(const char *path, const char *shown)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text, *at, *end;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(read(fd, text, (size_t)st.st_size), st.st_size);
	close(fd);
	for (at = text; (at = strstr(at, MARK)); at = end) {
		at += strlen(MARK);
		end = strchr(at, '"');
		ck_assert_ptr_nonnull(end);
		note(at, (size_t)(end - at), shown);
	}
	free(text);
}

static bool is_source(const char *name)
{
	size_t length = strlen(name);

	return length > 2 && name[length - 2] == '.' &&
	       (name[length - 1] == 'c' || name[length - 1] == 'h');
}

static void read_folder(const char *folder)
{
	char path[PATH_BYTES * 3], shown[PATH_BYTES];
	struct dirent **entries;
	int count;

	snprintf(path, sizeof(path), "%s/%s", TAPIO_SOURCE, folder);
	count = scandir(path, &entries, NULL, alphasort);
	ck_assert_msg(count >= 0, "%s", path);
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;

		ck_assert_int_lt(
			snprintf(shown, sizeof(shown), "%s/%s", folder, name),
			(int)sizeof(shown));
		snprintf(path, sizeof(path), "%s/%s", TAPIO_SOURCE, shown);
		if (entries[i]->d_type == DT_DIR && name[0] != '.')
			read_folder(shown);
		else if (is_source(name))
			read_file(path, shown);
		free(entries[i]);
	}
	free(entries);
}

void points_list(void)
{
	memset(places, 0, sizeof(places));
	read_folder("lib");
	read_folder("client");
	read_folder("broker");
}
