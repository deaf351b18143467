/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's rte_mempool with its cache per lcore.
 *
 * Its environment is started once, in the frame's process, without huge pages,
 * devices and files of its own. Its memory is then shared with what is forked, and
 * so are the lcores: the first side goes on as the main one, the second registers
 * as another, or both would use one cache. Starting it pins the thread that does
 * it, which is undone.
 */
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peers/pool_peer.h"

#define CACHE 256 /* objects per lcore */

static inline void *get(struct rte_mempool *pool)
{
	void *object = NULL;

	rte_mempool_get(pool, &object);
	return object;
}

static inline bool put_burst(struct rte_mempool *pool, void **objects)
{
	rte_mempool_put_bulk(pool, objects, POOL_BURST);
	return true;
}

#define POOL              struct rte_mempool
#define GET(pool, spec)   get(pool)
#define PUT(pool, object) (rte_mempool_put(pool, object), true)
#define GET_BURST(pool, spec, objects) \
	(rte_mempool_get_bulk(pool, objects, POOL_BURST) == 0)
#define PUT_BURST(pool, objects) put_burst(pool, objects)

#include "bench/peers/pool_loops.h"

static struct rte_mempool *mempool;

/*
 * It makes a directory for files, of which there are none here: in /var/run, or
 * wherever it is told to.
 */
static int init(int count, char **arguments)
{
	const char *temporary = getenv("TMPDIR");
	char root[256], path[300];
	int err;

	snprintf(root, sizeof(root), "%s/tapio-bench-XXXXXX",
		 temporary ? temporary : "/tmp");
	if (!mkdtemp(root)) {
		bench_why("%s: %s", root, strerror(errno));
		return -1;
	}
	setenv("RUNTIME_DIRECTORY", root, 1);
	err = rte_eal_init(count, arguments);
	unsetenv("RUNTIME_DIRECTORY");
	snprintf(path, sizeof(path), "%s/dpdk/rte", root);
	rmdir(path);
	*strrchr(path, '/') = 0;
	rmdir(path);
	rmdir(root);
	if (err < 0)
		bench_why("rte_eal_init: %s", rte_strerror(rte_errno));
	return err < 0 ? -1 : 0;
}

static int start_environment(int cpu)
{
	char lcores[32];
	char *arguments[] = {
		"tapio-bench",
		"--no-huge",
		"-m",
		"64",
		"--no-pci",
		"--no-telemetry",
		"--log-level=1",
		"--no-shconf",
		lcores,
		NULL,
	};

	snprintf(lcores, sizeof(lcores), "--lcores=0@%d", cpu);
	return init(sizeof(arguments) / sizeof(arguments[0]) - 1, arguments);
}

static int start(void)
{
	cpu_set_t before;
	int cpu = 0, err;

	if (sched_getaffinity(0, sizeof(before), &before)) {
		bench_why("the CPUs of this process cannot be read");
		return -1;
	}
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &before))
		cpu++;
	err = start_environment(cpu);
	sched_setaffinity(0, sizeof(before), &before);
	if (err)
		return err;
	mempool = rte_mempool_create("bench", POOL_OBJECTS - 1, 64, CACHE, 0,
				     NULL, NULL, NULL, NULL, SOCKET_ID_ANY, 0);
	if (mempool)
		return 0;
	bench_why("rte_mempool_create: %s", rte_strerror(rte_errno));
	return -1;
}

static void stop(void)
{
	rte_eal_cleanup();
}

static int make(void **pool, const struct pool_spec *spec)
{
	(void)spec; /* of 64 bytes, as in every case */
	*pool = mempool;
	return 0;
}

static int open_side(void **handle, void *pool, unsigned int index)
{
	*handle = pool;
	if (!index || !rte_thread_register())
		return 0;
	bench_why("rte_thread_register: %s", rte_strerror(rte_errno));
	return -1;
}

const struct bench_peer peer_rte_mempool = {
	.name = "rte_mempool",
	.package = "libdpdk-dev",
	.copies = "",
	.across = "processes",
	.death = "what the dead one had, and its cache, are lost",
	.kind = BENCH_PEER,
	.start = start,
	.stop = stop,
};

const struct pool_ops pool_rte = {.make = make, .open = open_side, POOL_LOOPS};
