/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up trees for the tests of the collector. See the header. */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cli/fixture.h"

void fixture_open(struct fixture *fixture)
{
	snprintf(fixture->root, sizeof(fixture->root),
		 "/tmp/tapio-fixture-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fixture->root));
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	ck_assert_int_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void fixture_close(struct fixture *fixture)
{
	remove_tree(fixture->root);
}

static void full_path(const struct fixture *fixture, const char *path,
		      char *full, size_t size)
{
	int length = snprintf(full, size, "%s/%s", fixture->root, path);

	ck_assert_int_lt(length, (int)size);
}

static void make_parents(char *full, size_t skip)
{
	for (char *slash = strchr(full + skip, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		ck_assert(!mkdir(full, 0777) || errno == EEXIST);
		*slash = '/';
	}
}

void fixture_write_bytes(const struct fixture *fixture, const char *path,
			 const void *bytes, uint64_t count)
{
	char full[256];

	full_path(fixture, path, full, sizeof(full));
	make_parents(full, strlen(fixture->root) + 1);
	FILE *file = fopen(full, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
	ck_assert_int_eq(fclose(file), 0);
}

void fixture_write(const struct fixture *fixture, const char *path,
		   const char *format, ...)
{
	char text[4096];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ck_assert_int_lt(length, (int)sizeof(text));
	fixture_write_bytes(fixture, path, text, (uint64_t)length);
}

void fixture_link(const struct fixture *fixture, const char *path,
		  const char *target)
{
	char full[256];

	full_path(fixture, path, full, sizeof(full));
	make_parents(full, strlen(fixture->root) + 1);
	ck_assert_int_eq(symlink(target, full), 0);
}

void fixture_remove(const struct fixture *fixture, const char *path)
{
	char full[256];

	full_path(fixture, path, full, sizeof(full));
	remove_tree(full);
}

int fixture_stat(char *buffer, uint64_t size, const struct fixture_process *p)
{
	int length = snprintf(
		buffer, size,
		"%u (%s) %c 1 %u %u 0 -1 4194304 100 200 3 4 %" PRIu64
		" %" PRIu64 " 5 6 20 0 2 0 %" PRIu64 " 8192000 %" PRIu64
		" 18446744073709551615 1 2 3 4 5 6 0 0 0 0 0 0 17 0 0 0 0 0 0 "
		"0 0 0 0 0 0 0 %" PRIu64 "\n",
		p->pid, p->comm, p->state ? p->state : 'S', p->pid, p->pid,
		p->user_ticks, p->system_ticks, p->start_ticks, p->rss_pages,
		p->exit_status);

	ck_assert_int_lt(length, (int)size);
	return length;
}

void fixture_process(const struct fixture *fixture,
		     const struct fixture_process *p)
{
	char path[64], text[1024];
	int length = fixture_stat(text, sizeof(text), p);

	snprintf(path, sizeof(path), "proc/%u/stat", p->pid);
	fixture_write_bytes(fixture, path, text, (uint64_t)length);
	snprintf(path, sizeof(path), "proc/%u/status", p->pid);
	fixture_write(fixture, path,
		      "Name:\t%s\nUid:\t1000\t1001\t1000\t1000\n"
		      "Gid:\t100\t101\t100\t100\nVmHWM:\t    4096 kB\n"
		      "voluntary_ctxt_switches:\t11\n"
		      "nonvoluntary_ctxt_switches:\t22\n",
		      p->comm);
	snprintf(path, sizeof(path), "proc/%u/cgroup", p->pid);
	fixture_write(fixture, path, "0::/user.slice\n");
	snprintf(path, sizeof(path), "proc/%u/cmdline", p->pid);
	length = snprintf(text, sizeof(text), "/bin/%s%c-x%cy", p->comm, 0, 0);
	fixture_write_bytes(fixture, path, text, (uint64_t)length + 1);
}
