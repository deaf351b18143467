/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts beside the memory: where and when it was taken, and of each process
 * that the catalog names whether it was there. Its number may be another's tomorrow.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <tapio/version.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "lib/base/topology.h"
#include "tools/common/tool.h"
#include "tools/inspect/process.h"
#include "tools/inspect/segment_set.h"
#include "tools/inspect/snapshot.h"

static void add_boot_id(uint8_t id[16])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	unsigned int digit, count = 0;
	int c;

	memset(id, 0, 16);
	if (!file)
		return;
	while (count < 32 && (c = fgetc(file)) != EOF) {
		char text[2] = {(char)c, 0};

		if (sscanf(text, "%1x", &digit) != 1)
			continue; /* a hyphen */
		id[count / 2] = (uint8_t)(id[count / 2] << 4 | digit);
		count++;
	}
	fclose(file);
}

static void add_machine(struct tpi_snapshot_facts *facts)
{
	struct tpi_topology topology;
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	struct utsname name;

	facts->cpus_online = online > 0 ? (uint32_t)online : 0;
	if (!tpi_topology_read(&topology, "/sys/devices/system")) {
		facts->cpus_possible = topology.cpus_possible;
		facts->nodes = topology.node_count;
		tpi_topology_free(&topology);
	}
	if (uname(&name))
		return;
	snprintf(facts->host, sizeof(facts->host), "%.63s", name.nodename);
	snprintf(facts->kernel, sizeof(facts->kernel), "%.32s %.40s %.40s",
		 name.sysname, name.release, name.machine);
}

void tpi_snapshot_facts(struct tpi_snapshot_facts *facts,
			const struct tpi_inspect *inspect)
{
	*facts = (struct tpi_snapshot_facts){
		.begin_ns = tpi_clock_read_ns(CLOCK_REALTIME),
		.begin_monotonic_ns = tpi_clock_read_ns(CLOCK_MONOTONIC),
		.pid_namespace = tpi_sys_pid_namespace(),
		.source = (uint32_t)inspect->source,
		.pid = (uint32_t)inspect->pid,
		.uid = geteuid(),
	};
	if (inspect->set->denied)
		facts->flags |= TPI_SNAPSHOT_DENIED;
	add_boot_id(facts->boot_id);
	add_machine(facts);
	snprintf(facts->tool, sizeof(facts->tool), "%d.%d.%d",
		 TAPIO_VERSION_MAJOR, TAPIO_VERSION_MINOR, TAPIO_VERSION_PATCH);
	snprintf(facts->note, sizeof(facts->note), "%s", inspect->note);
}

static void add_process(struct tpi_snapshot_copy *copy, uint64_t pid,
			uint64_t start)
{
	if (!pid)
		return;
	copy->processes[copy->process_count++] = (struct tpi_snapshot_process){
		.pid = pid,
		.start_time_ticks = start,
		.state = (uint32_t)tpi_inspect_process_state(copy->inspect, pid,
							     start),
	};
}

int tpi_snapshot_processes(struct tpi_snapshot_copy *copy)
{
	const struct tpi_catalog *catalog = &copy->inspect->catalog;
	const struct tapio_shm_broker *b = catalog->broker;
	struct tapio_shm_attachment a;

	copy->processes = calloc((size_t)catalog->attachment_count + 1,
				 sizeof(*copy->processes));
	if (!copy->processes)
		return -ENOMEM;
	/* Relaxed: written before anybody was served. */
	add_process(copy, tpi_load_relaxed(&b->pid),
		    tpi_load_relaxed(&b->start_time_ticks));
	/* Index 0 is never given. */
	for (uint32_t i = 1; i < catalog->attachment_count; i++)
		if (tpi_inspect_attachment(&catalog->attachments[i], &a))
			add_process(copy, a.pid, a.start_time_ticks);
	return 0;
}
