/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facts of this machine, asked in other ways than Tapio asks: a CPU's node
 * by running there, a page's by move_pages on the test's own mapping. A mistake
 * in asking fails the test.
 */
#ifndef TEST_MACHINE_H
#define TEST_MACHINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/memory/segment.h"

#define MACHINE_CPUS  64
#define MACHINE_NODES 2

struct machine {
	unsigned int cpus; /* ids 0 .. cpus - 1, all of them on line */
	unsigned int node_of[MACHINE_CPUS];
	int first_cpu[MACHINE_NODES]; /* -1: the node has none */
};

/* NULL, or why the tests cannot run: they want two nodes, each with a CPU. */
const char *machine_read(struct machine *machine);

/* Moves the calling thread to a CPU, and checks that it is there. */
void machine_go_to(unsigned int cpu);

/* Takes a CPU off line, or brings it back. The caller MUST NOT be pinned to it. */
void machine_cpu_set(unsigned int cpu, bool online);

/*
 * A cgroup of that name in /sys/fs/cgroup, with these CPUs and, if not NULL, these
 * nodes ("0-1"); also to change one. And a process that goes into it.
 */
void machine_cpuset(const char *name, const char *cpus, const char *nodes);
void machine_cpuset_enter(const char *name, pid_t pid);

/* The node of the page at an address. It is read first, so that it is there. */
int machine_node_of(const void *address);

/* How many pages of a mapping are not on the node. */
uint64_t machine_misplaced(const struct tpi_map *map, unsigned int node);

/* The pool of 2 MiB pages of one node, all of which MUST be free. */
void machine_pool_set(unsigned int node, unsigned int pages);
unsigned int machine_pool_free(unsigned int node);

/* The output of tapio-shmstat about a broker. For json_decref(). */
json_t *machine_shmstat(const char *socket);

/* A row's number or word. Fails when it is none. */
long long row_number(const json_t *row, const char *key);
const char *row_word(const json_t *row, const char *key);

#endif
