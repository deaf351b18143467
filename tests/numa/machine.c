/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "tests/numa/machine.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/cli/command.h"

const char *machine_read(struct machine *machine)
{
	unsigned int cpu, node;
	cpu_set_t one;
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	*machine = (struct machine){.first_cpu = {-1, -1}};
	if (count > MACHINE_CPUS)
		return "more CPUs than this test is made for";
	machine->cpus = (unsigned int)count;
	for (unsigned int i = 0; i < machine->cpus; i++) {
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		if (sched_setaffinity(0, sizeof(one), &one) ||
		    getcpu(&cpu, &node) || cpu != i)
			return "not every CPU may be used";
		if (node >= MACHINE_NODES)
			return "more nodes than this test is made for";
		machine->node_of[i] = node;
		if (machine->first_cpu[node] < 0)
			machine->first_cpu[node] = (int)i;
	}
	for (node = 0; node < MACHINE_NODES; node++)
		if (machine->first_cpu[node] < 0)
			return "this machine has one node";
	return NULL;
}

void machine_go_to(unsigned int cpu)
{
	unsigned int now = ~0U, node;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_int_eq(getcpu(&now, &node), 0);
	ck_assert_uint_eq(now, cpu);
}

/* ---- CPUs and cgroups ----------------------------------------------------------- */

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t length = (ssize_t)strlen(text);

	ck_assert_msg(fd >= 0 && write(fd, text, (size_t)length) == length,
		      "%s = %s: %s", path, text, strerror(errno));
	close(fd);
}

void machine_cpu_set(unsigned int cpu, bool online)
{
	char path[64], now = '?';
	int fd;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online",
		 cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* The first CPU has no such file, and cannot go. */
	ck_assert_msg(fd >= 0 && read(fd, &now, 1) == 1, "%s: %s", path,
		      strerror(errno));
	close(fd);
	if (now != (online ? '1' : '0'))
		write_text(path, online ? "1" : "0");
}

#define CGROUPS "/sys/fs/cgroup"

static void mount_cgroups(void)
{
	struct stat st;

	if (!stat(CGROUPS "/cgroup.procs", &st))
		return;
	ck_assert_msg(!mount("cgroup2", CGROUPS, "cgroup2", 0, NULL),
		      "mount cgroup2: %s", strerror(errno));
	write_text(CGROUPS "/cgroup.subtree_control", "+cpuset");
}

void machine_cpuset(const char *name, const char *cpus, const char *nodes)
{
	char path[128];

	mount_cgroups();
	snprintf(path, sizeof(path), CGROUPS "/%s", name);
	ck_assert(!mkdir(path, 0755) || errno == EEXIST);
	snprintf(path, sizeof(path), CGROUPS "/%s/cpuset.cpus", name);
	write_text(path, cpus);
	if (!nodes)
		return;
	snprintf(path, sizeof(path), CGROUPS "/%s/cpuset.mems", name);
	write_text(path, nodes);
}

void machine_cpuset_enter(const char *name, pid_t pid)
{
	char path[128], text[16];

	snprintf(path, sizeof(path), CGROUPS "/%s/cgroup.procs", name);
	snprintf(text, sizeof(text), "%d", pid);
	write_text(path, text);
}

/* ---- memory ---------------------------------------------------------------------- */

int machine_node_of(const void *address)
{
	void *page = (void *)((uintptr_t)address & ~(uintptr_t)4095);
	int status = -1;

	(void)*(const volatile unsigned char *)address;
	ck_assert_int_eq(
		syscall(SYS_move_pages, 0, 1UL, &page, NULL, &status, 0), 0);
	ck_assert_int_ge(status, 0);
	return status;
}

uint64_t machine_misplaced(const struct tpi_map *map, unsigned int node)
{
	uint64_t count = 0;

	ck_assert_uint_gt(map->bytes, 0);
	for (uint64_t at = 0; at < map->bytes; at += map->page_bytes)
		count += machine_node_of(map->base + at) != (int)node;
	return count;
}

static void pool_path(char path[128], unsigned int node, const char *file)
{
	snprintf(path, 128,
		 "/sys/devices/system/node/node%u/hugepages/"
		 "hugepages-2048kB/%s",
		 node, file);
}

void machine_pool_set(unsigned int node, unsigned int pages)
{
	char path[128], text[16];

	pool_path(path, node, "nr_hugepages");
	snprintf(text, sizeof(text), "%u", pages);
	write_text(path, text);
	ck_assert_uint_eq(machine_pool_free(node), pages);
}

unsigned int machine_pool_free(unsigned int node)
{
	unsigned int pages = 0;
	char path[128];
	FILE *file;

	pool_path(path, node, "free_hugepages");
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%u", &pages), 1);
	fclose(file);
	return pages;
}

json_t *machine_shmstat(const char *socket)
{
	struct command run;
	json_error_t why;
	json_t *look;

	command_run(&run, "tapio-shmstat", "--json", "--timeout", "30s",
		    "--socket", socket, "all", NULL);
	look = json_loads(run.out, JSON_REJECT_DUPLICATES, &why);
	ck_assert_msg(look != NULL, "%s%s", why.text, run.err);
	ck_assert_msg(run.status ==
			      !json_is_true(json_object_get(look, "healthy")),
		      "status %d: %s%s", run.status, run.out, run.err);
	command_free(&run);
	return look;
}

long long row_number(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	ck_assert_msg(json_is_integer(value), "%s is no number", key);
	return json_integer_value(value);
}

const char *row_word(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	ck_assert_msg(json_is_string(value), "%s is no word", key);
	return json_string_value(value);
}
