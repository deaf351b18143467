/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. A process that ends while it is read has nothing. */
#include "tests/stress/belongings.h"

#include <check.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MEMFD "/memfd:tapio"

/* ---- descriptors ---------------------------------------------------------------------- */

static void count_kind(struct descriptors *d, const char *kind)
{
	uint32_t i;

	d->count++;
	for (i = 0; i < d->kinds; i++)
		if (!strcmp(d->of[i].kind, kind))
			break;
	ck_assert_uint_lt(i, BELONGINGS_KINDS);
	if (i == d->kinds) {
		snprintf(d->of[i].kind, sizeof(d->of[i].kind), "%s", kind);
		d->kinds++;
	}
	d->of[i].count++;
}

/* "socket:[123]" is "socket:[]", and each memory file is the same. */
static void kind_of(const char *link, char kind[64])
{
	size_t n = 0;

	if (!strncmp(link, MEMFD, strlen(MEMFD))) {
		strcpy(kind, MEMFD);
		return;
	}
	for (; *link && n < 63; link++)
		if (!isdigit((unsigned char)*link))
			kind[n++] = *link;
	kind[n] = '\0';
}

static int by_kind(const void *a, const void *b)
{
	return strcmp(a, b);
}

void descriptors_read(struct descriptors *d, pid_t pid)
{
	char path[320], link[256], kind[64];
	const struct dirent *entry;
	DIR *folder;

	memset(d, 0, sizeof(*d));
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	ck_assert_msg(folder != NULL, "%s", path);
	while ((entry = readdir(folder))) {
		ssize_t n;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid,
			 entry->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		kind_of(link, kind);
		count_kind(d, kind);
	}
	closedir(folder);
	qsort(d->of, d->kinds, sizeof(d->of[0]), by_kind);
}

static void print_descriptors(const struct descriptors *d, const char *whose)
{
	printf("%s:", whose);
	for (uint32_t i = 0; i < d->kinds; i++)
		printf(" %u %s", d->of[i].count, d->of[i].kind);
	putchar('\n');
}

bool descriptors_same(const struct descriptors *a, const struct descriptors *b,
		      const char *whose)
{
	bool same = a->kinds == b->kinds &&
		    !memcmp(a->of, b->of, a->kinds * sizeof(a->of[0]));

	if (same)
		return true;
	print_descriptors(a, whose);
	print_descriptors(b, "now");
	return false;
}

/* ---- segments -------------------------------------------------------------------------- */

bool segments_have(const struct segments *s, uint64_t file)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->of[i].file == file)
			return true;
	return false;
}

/* Two file systems have memory files, and may give the same number. */
static uint64_t file_of(unsigned int major_number, unsigned int minor_number,
			uint64_t inode)
{
	return (uint64_t)major_number << 56 ^ (uint64_t)minor_number << 40 ^
	       inode;
}

static void add_file(struct segments *s, const char *path)
{
	struct stat st;
	uint64_t file;

	if (stat(path, &st))
		return;
	file = file_of(major(st.st_dev), minor(st.st_dev), st.st_ino);
	if (segments_have(s, file))
		return;
	ck_assert_uint_lt(s->count, BELONGINGS_SEGMENTS);
	s->of[s->count++] = (struct segment){
		.file = file,
		.bytes = (uint64_t)st.st_blocks * 512,
		.huge = st.st_blksize >= 1 << 20,
	};
}

static void add_descriptors(struct segments *s, pid_t pid)
{
	char path[320], link[256];
	const struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	while (folder && (entry = readdir(folder))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid,
			 entry->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n > 0 && !strncmp(link, MEMFD, strlen(MEMFD)))
			add_file(s, path);
	}
	if (folder)
		closedir(folder);
}

/* The files alone: how much memory they have, a descriptor says. */
static void add_mappings(struct segments *s, pid_t pid)
{
	unsigned int major_number, minor_number;
	char path[64], line[512];
	unsigned long long inode;
	uint64_t number;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (!strstr(line, MEMFD) ||
		    sscanf(line, "%*s %*s %*s %x:%x %llu", &major_number,
			   &minor_number, &inode) != 3)
			continue;
		number = file_of(major_number, minor_number, inode);
		if (segments_have(s, number))
			continue;
		ck_assert_uint_lt(s->count, BELONGINGS_SEGMENTS);
		s->of[s->count++] = (struct segment){.file = number};
	}
	if (file)
		fclose(file);
}

void segments_add(struct segments *s, pid_t pid, bool mapped)
{
	add_descriptors(s, pid);
	if (mapped)
		add_mappings(s, pid);
}

uint64_t segments_bytes(const struct segments *s, bool huge)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->count; i++)
		if (s->of[i].huge == huge)
			sum += s->of[i].bytes;
	return sum;
}

/* Calls `each` for every process. */
static void for_processes(void (*each)(pid_t pid, void *arg), void *arg)
{
	const struct dirent *entry;
	DIR *folder = opendir("/proc");

	ck_assert_ptr_nonnull(folder);
	while ((entry = readdir(folder)))
		if (isdigit((unsigned char)entry->d_name[0]))
			each(atoi(entry->d_name), arg);
	closedir(folder);
}

struct search {
	struct segments *found;
	const struct segments *ever;
	const pid_t *except;
	uint32_t except_count, processes;
};

static void search_one(pid_t pid, void *arg)
{
	struct search *search = arg;
	static struct segments has;
	bool any = false;

	for (uint32_t i = 0; i < search->except_count; i++)
		if (search->except[i] == pid)
			return;
	has.count = 0;
	segments_add(&has, pid, true);
	for (uint32_t i = 0; i < has.count; i++) {
		if (!segments_have(search->ever, has.of[i].file))
			continue;
		any = true;
		if (!segments_have(search->found, has.of[i].file))
			search->found->of[search->found->count++] = has.of[i];
	}
	search->processes += any;
}

uint32_t segments_search(struct segments *found, const struct segments *ever,
			 const pid_t *except, uint32_t except_count)
{
	struct search search = {found, ever, except, except_count, 0};

	for_processes(search_one, &search);
	return search.processes;
}

struct foreign {
	pid_t ours;
	bool found;
};

static void look_for_foreign(pid_t pid, void *arg)
{
	struct foreign *foreign = arg;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (pid != foreign->ours && proc_number(path, "HugetlbPages"))
		foreign->found = true;
}

bool others_use_huge_pages(pid_t pid)
{
	struct foreign foreign = {pid, false};

	for_processes(look_for_foreign, &foreign);
	return foreign.found;
}

/* ---- the rest ---------------------------------------------------------------------------- */

uint64_t proc_number(const char *path, const char *name)
{
	unsigned long long number = 0;
	size_t length = strlen(name);
	FILE *file = fopen(path, "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			sscanf(line + length + 1, "%llu", &number);
	if (file)
		fclose(file);
	return number;
}

static bool is_called(pid_t pid, const char *name)
{
	char path[64], comm[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fgets(comm, sizeof(comm), file))
		comm[strcspn(comm, "\n")] = '\0';
	fclose(file);
	return !strcmp(comm, name);
}

static uint32_t children_called(pid_t parent, const char *name, pid_t *pids,
				uint32_t count, uint32_t max)
{
	char path[64];
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent,
		 parent);
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1) {
		if (count < max && is_called(pid, name))
			pids[count++] = pid;
		count = children_called(pid, name, pids, count, max);
	}
	if (file)
		fclose(file);
	return count;
}

uint32_t descendants(const char *name, pid_t *pids, uint32_t max)
{
	return children_called(getpid(), name, pids, 0, max);
}

char *folder_names(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	ck_assert(count >= 0 && out);
	for (int i = 0; i < count; i++) {
		fprintf(out, "%s\n", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	fclose(out);
	return text;
}
