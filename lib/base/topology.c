/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUs and nodes, from sysfs or made up.
 *
 * Called when a broker starts and by tests. Three kinds of CPU matter and are
 * not the same: *possible* ids may appear in cpu_id, so tables are sized by
 * them. *Present* ones get a lane, also while they are offline. *Online* ones
 * are all that a node's cpulist shows. A present CPU that no cpulist has is
 * looked up by the link nodeN/cpuM, and counts for node index 0 if there is
 * none.
 */
#include "lib/base/thread.h"
#include "lib/base/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/abi.h>

#define PATH_BYTES  512
#define NODE_ID_MAX 1024 /* MAX_NUMNODES of the largest kernels */

/* A set of CPU or node numbers. */
struct set {
	uint32_t limit; /* 1 + the largest member */
	uint8_t has[TPI_CPUS_MAX];
};

static int set_add(struct set *set, unsigned long from, unsigned long to)
{
	if (from > to)
		return -EBADMSG;
	if (to >= TPI_CPUS_MAX)
		return -E2BIG;
	memset(set->has + from, 1, to - from + 1);
	if (to >= set->limit)
		set->limit = (uint32_t)to + 1;
	return 0;
}

/* Parses the kernel's lists, "0-3,8,10-11\n". Empty ones are empty sets. */
static int set_parse(struct set *set, const char *text)
{
	unsigned long from, to;
	char *end;
	int err;

	memset(set, 0, sizeof(*set));
	for (; *text >= '0' && *text <= '9'; text = end) {
		from = to = strtoul(text, &end, 10);
		if (*end == '-') {
			if (end[1] < '0' || end[1] > '9')
				return -EBADMSG;
			to = strtoul(end + 1, &end, 10);
		}
		err = set_add(set, from, to);
		if (err)
			return err;
		if (*end == ',')
			end++;
	}
	return *text == '\0' || *text == '\n' ? 0 : -EBADMSG;
}

static int set_read(struct set *set, const char *path)
{
	char text[16384]; /* every second of 4096 CPUs is below 10 KiB */
	FILE *file = fopen(path, "re");
	size_t length;
	int err = 0;

	if (!file)
		return -errno;
	length = fread(text, 1, sizeof(text) - 1, file);
	if (ferror(file))
		err = -EIO;
	else if (length == sizeof(text) - 1)
		err = -E2BIG;
	fclose(file);
	text[length] = '\0';
	return err ? err : set_parse(set, text);
}

/* An optional list. A file that is not there reads as `fallback`. */
static int set_read_or(struct set *set, const char *path,
		       const struct set *fallback)
{
	int err = set_read(set, path);

	if (err != -ENOENT)
		return err;
	*set = *fallback;
	return 0;
}

/* Scratch of one reading: the sets are too large for a stack. */
struct reader {
	const char *root;
	struct set possible;
	struct set present;
	struct set nodes;
	struct set cpus; /* of the node at hand */
	uint16_t node_of[TPI_CPUS_MAX];
};
#define NO_NODE UINT16_MAX

static void path_of(char path[PATH_BYTES], const struct reader *reader,
		    const char *rest)
{
	snprintf(path, PATH_BYTES, "%s/%s", reader->root, rest);
}

static int read_lists(struct reader *reader)
{
	static const struct set node_zero = {.limit = 1, .has = {1}};
	char path[PATH_BYTES];
	int err;

	path_of(path, reader, "cpu/possible");
	err = set_read(&reader->possible, path);
	if (err)
		return err;
	path_of(path, reader, "cpu/present");
	err = set_read_or(&reader->present, path, &reader->possible);
	if (err)
		return err;
	path_of(path, reader, "node/online");
	return set_read_or(&reader->nodes, path, &node_zero);
}

static bool linked(const struct reader *reader, uint32_t node, uint32_t cpu)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/node/node%u/cpu%u", reader->root, node,
		 cpu);
	return access(path, F_OK) == 0;
}

/* Gives each CPU of a node its number. A node without a directory has none. */
static int read_node(struct reader *reader, uint32_t node)
{
	char path[PATH_BYTES];
	int err;

	snprintf(path, sizeof(path), "%s/node/node%u/cpulist", reader->root,
		 node);
	err = set_read(&reader->cpus, path);
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	for (uint32_t cpu = 0; cpu < reader->present.limit; cpu++)
		if (reader->present.has[cpu] &&
		    reader->node_of[cpu] == NO_NODE &&
		    (reader->cpus.has[cpu] || linked(reader, node, cpu)))
			reader->node_of[cpu] = (uint16_t)node;
	return 0;
}

static int read_nodes(struct reader *reader)
{
	uint32_t first = NO_NODE;
	int err;

	if (reader->nodes.limit > NODE_ID_MAX)
		return -E2BIG;
	memset(reader->node_of, 0xff, sizeof(reader->node_of));
	for (uint32_t node = 0; node < reader->nodes.limit; node++) {
		if (!reader->nodes.has[node])
			continue;
		err = read_node(reader, node);
		if (err)
			return err;
	}
	/* CPUs of no node go to the first that has some, else to node 0. */
	for (uint32_t cpu = 0; cpu < reader->present.limit; cpu++)
		if (reader->node_of[cpu] < first)
			first = reader->node_of[cpu];
	if (first == NO_NODE)
		first = 0;
	for (uint32_t cpu = 0; cpu < reader->present.limit; cpu++)
		if (reader->present.has[cpu] && reader->node_of[cpu] == NO_NODE)
			reader->node_of[cpu] = (uint16_t)first;
	return 0;
}

/* Index of a node that has CPUs, in order of the kernel's numbers. */
static int index_nodes(struct tpi_topology *topology,
		       const struct reader *reader)
{
	uint8_t seen[NODE_ID_MAX] = {0};
	uint8_t index[NODE_ID_MAX];

	for (uint32_t cpu = 0; cpu < reader->present.limit; cpu++)
		if (reader->present.has[cpu])
			seen[reader->node_of[cpu]] = 1;
	for (uint32_t node = 0; node < NODE_ID_MAX; node++) {
		if (!seen[node])
			continue;
		if (topology->node_count == TAPIO_NODES_MAX)
			return -E2BIG;
		index[node] = (uint8_t)topology->node_count;
		topology->node_id[topology->node_count++] = node;
	}
	for (uint32_t cpu = 0; cpu < reader->present.limit; cpu++)
		if (reader->present.has[cpu])
			topology->node_of_cpu[cpu] =
				index[reader->node_of[cpu]];
	return topology->node_count ? 0 : -ENODEV;
}

static int allocate(struct tpi_topology *topology, uint32_t cpus)
{
	*topology = (struct tpi_topology){.cpus_possible = cpus};
	topology->node_of_cpu = malloc(cpus);
	if (!topology->node_of_cpu)
		return -ENOMEM;
	memset(topology->node_of_cpu, TPI_CPU_ABSENT, cpus);
	return 0;
}

static int read_topology(struct tpi_topology *topology, const char *root)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	uint32_t cpus;
	int err;

	*topology = (struct tpi_topology){0};
	if (!reader)
		return -ENOMEM;
	reader->root = root;
	err = read_lists(reader);
	if (!err)
		err = read_nodes(reader);
	if (err)
		goto out;
	cpus = reader->possible.limit;
	if (cpus < reader->present.limit)
		cpus = reader->present.limit;
	if (!cpus) {
		err = -ENODEV;
		goto out;
	}
	err = allocate(topology, cpus);
	if (!err)
		err = index_nodes(topology, reader);
	if (err)
		tpi_topology_free(topology);
out:
	free(reader);
	return err;
}

int tpi_topology_read(struct tpi_topology *topology, const char *root)
{
	int cancel = tpi_cancel_off();
	int err = read_topology(topology, root);

	tpi_cancel_restore(cancel);
	return err;
}

int tpi_topology_simulate(struct tpi_topology *topology, uint32_t cpus,
			  uint32_t nodes)
{
	int err;

	*topology = (struct tpi_topology){0};
	if (!cpus || cpus > TPI_CPUS_MAX || !nodes || nodes > TAPIO_NODES_MAX ||
	    nodes > cpus)
		return -EINVAL;
	err = allocate(topology, cpus);
	if (err)
		return err;
	topology->node_count = nodes;
	for (uint32_t node = 0; node < nodes; node++)
		topology->node_id[node] = node;
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		topology->node_of_cpu[cpu] = (uint8_t)(cpu * nodes / cpus);
	return 0;
}

void tpi_topology_free(struct tpi_topology *topology)
{
	free(topology->node_of_cpu);
	*topology = (struct tpi_topology){0};
}
