/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of /sys and /proc as they look on other machines, made up in a temporary directory.
 */
#ifndef TEST_FILE_TREE_H
#define TEST_FILE_TREE_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* `root` ends with XXXXXX, or with what the call before has made of that. */
static inline void tree_make(char *root)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static inline void tree_remove(const char *root)
{
	char command[544];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

/* Writes root/path, with the directories that lead there. */
static inline void tree_put(const char *root, const char *path,
			    const char *text)
{
	char full[1024], *slash;
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (slash = full + strlen(root) + 1; (slash = strchr(slash, '/'));) {
		*slash = '\0';
		ck_assert(!mkdir(full, 0700) || errno == EEXIST);
		*slash++ = '/';
	}
	file = fopen(full, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

#endif
