/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUs and NUMA nodes, from /sys (or from a text, for simulated machines).
 */
#ifndef TPI_TOPOLOGY_H
#define TPI_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#define TPI_CPUS_MAX 4096

struct tpi_topology {
	uint32_t cpus_possible; /* ids 0 .. cpus_possible - 1 may appear */
	uint32_t node_count;    /* nodes with at least one present CPU */
	uint32_t node_id[64];   /* kernel's number of node index i */
	/* Per possible CPU id: its node index, or TPI_CPU_ABSENT. */
	uint8_t *node_of_cpu;
};
#define TPI_CPU_ABSENT 0xff

/*
 * Reads this machine's. `root` is "/sys/devices/system" unless a test says
 * otherwise. -errno when even the CPU list cannot be read. No NUMA directory
 * means one node, 0.
 */
int tpi_topology_read(struct tpi_topology *topology, const char *root);

/*
 * Simulates one: `cpus` CPUs dealt to `nodes` nodes in blocks, as kernels number
 * them. -EINVAL past TPI_CPUS_MAX or TAPIO_NODES_MAX.
 */
int tpi_topology_simulate(struct tpi_topology *topology, uint32_t cpus,
			  uint32_t nodes);
void tpi_topology_free(struct tpi_topology *topology);

#endif
