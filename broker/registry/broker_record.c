/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's own record in the catalog: its identity, the features that the kernel
 * allows (found out by asking it), and the results of making the segments. It is written
 * at start, before the catalog leaves this process. The verdict on rseq is the exception:
 * where the test could not be made, the broker tries again on each tick.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tapio/version.h>

#include "broker/keep/keep.h"
#include "broker/registry/registry.h"
#include "lib/base/atomic.h"
#include "lib/base/rseq.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"
#include "lib/lane/wake.h"

uint64_t tpi_realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

void tpi_boot_id(uint8_t id[16])
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	unsigned int digit, count = 0;

	memset(id, 0, 16);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = 0;
	close(fd);
	for (const char *at = text; *at && count < 32; at++) {
		if (*at == '-' || sscanf(at, "%1x", &digit) != 1)
			continue;
		id[count / 2] = (uint8_t)(id[count / 2] << 4 | digit);
		count++;
	}
}

void tpi_registry_prepare(void)
{
	/* probe_features() asks again, and reports a failure. */
	(void)tpi_barrier_register();
}

bool tpi_host_has_cpu_lanes(void)
{
	return !tpi_barrier_register() && !tpi_barrier() &&
	       tpi_rseq_selftest(NULL) == TAPIO_RSEQ_PROVEN;
}

/* The features that this kernel allows, found out by asking it. */
static uint32_t probe_features(struct tpi_registry *registry,
			       struct tpi_log *log)
{
	uint32_t features = 0;
	int err, fd;

	/* The sweep publishes like any producer, so this process registers. */
	err = tpi_barrier_register();
	if (!err)
		err = tpi_barrier();
	registry->membarrier = !err;
	if (!err)
		features |= TAPIO_FEATURE_MEMBARRIER;
	else
		tpi_log(log, TAPIO_LOG_WARNING,
			"membarrier is not available (%s; a seccomp filter is "
			"the usual cause): producers use side lanes with a "
			"fence for each event, and consumers poll",
			strerror(-err));
	fd = tpi_sys_pidfd_open(getpid(), 0);
	if (fd >= 0) {
		features |= TAPIO_FEATURE_PIDFD;
		close(fd);
	}
	return features;
}

void tpi_registry_learn(struct tpi_registry *registry)
{
	struct tapio_shm_broker *shm = registry->catalog.broker;

	for (uint32_t i = 0; i < registry->catalog.segment_count; i++) {
		const struct tapio_shm_segment *s =
			&registry->catalog.segments[i];

		if (!s->ready)
			continue;
		if (s->rung == TAPIO_RUNG_HUGETLB)
			shm->features |= TAPIO_FEATURE_HUGETLB;
		if (s->placement == TAPIO_PLACED_VERIFIED)
			shm->features |= TAPIO_FEATURE_MBIND;
	}
	shm->used_bytes = registry->used_bytes;
}

void tpi_registry_test_rseq(struct tpi_registry *registry, struct tpi_log *log)
{
	struct tapio_shm_broker *shm = registry->catalog.broker;
	uint32_t before = shm->rseq_verdict, verdict;
	const char *reason;

	if (before != TAPIO_RSEQ_UNKNOWN && before != TAPIO_RSEQ_INCONCLUSIVE)
		return;
	verdict = tpi_rseq_selftest(&reason);
	if (verdict == before)
		return;
	snprintf(shm->rseq_reason, sizeof(shm->rseq_reason), "%s", reason);
	/*
	 * ORDER broker.rseq (release): the reason before the verdict. Pairs with
	 * the acquire of clients (tpi_client_hear_verdict()): it counts for those
	 * whose own test could not be made. And with that of tools.
	 */
	tpi_store_release(&shm->rseq_verdict, verdict);
	TPI_TESTPOINT("broker.verdict");
	if (verdict == TAPIO_RSEQ_PROVEN)
		tpi_log(log, TAPIO_LOG_INFO, "rseq self-test: %s", reason);
	else
		tpi_log(log, TAPIO_LOG_WARNING,
			"rseq self-test: %s; producers use side lanes", reason);
}

/* Which process the broker is, and where its number and those of clients mean something. */
static void describe_process(struct tapio_shm_broker *shm)
{
	shm->pid = (uint64_t)getpid();
	shm->start_time_ticks = tpi_start_ticks(getpid());
	shm->pid_namespace = tpi_sys_pid_namespace();
}

void tpi_registry_note_keeper(struct tpi_registry *registry)
{
	struct tapio_shm_broker *shm = registry->catalog.broker;
	const struct tpi_keep *keep = registry->keep;
	uint32_t pid = keep ? (uint32_t)keep->pid : 0;

	/* Relaxed: two words that are shown, each by itself. */
	tpi_store_relaxed(&shm->keeper_pid, pid);
	tpi_store_relaxed(&shm->keeper, !keep ? TAPIO_KEEPER_NONE
					: pid ? TAPIO_KEEPER_PROCESS
					      : TAPIO_KEEPER_SERVICE);
}

void tpi_registry_describe(struct tpi_registry *registry,
			   const struct tpi_config *config,
			   const struct tpi_topology *topology,
			   struct tpi_log *log)
{
	struct tapio_shm_broker *shm = registry->catalog.broker;

	shm->state = TAPIO_BROKER_STARTING;
	describe_process(shm);
	tpi_registry_note_keeper(registry);
	tpi_boot_id(shm->boot_id);
	shm->started_ns = tpi_realtime_ns();
	shm->budget_bytes = config->budget_bytes;
	shm->features = probe_features(registry, log);
	tpi_registry_test_rseq(registry, log);
	shm->cpus_possible = topology->cpus_possible;
	shm->nodes = topology->node_count;
	shm->clients_max = config->clients_max;
	snprintf(shm->version, sizeof(shm->version), "%s", tapio_version());
}

void tpi_registry_describe_again(struct tpi_registry *registry,
				 const struct tpi_config *config,
				 struct tpi_log *log)
{
	struct tapio_shm_broker *shm = registry->catalog.broker;

	/* Before anybody can see that it runs again. A kill in between counts, too. */
	shm->restarts = ++registry->state.head->restarts;
	describe_process(shm);
	tpi_registry_note_keeper(registry);
	shm->started_ns = tpi_realtime_ns();
	shm->budget_bytes = config->budget_bytes;
	shm->features = probe_features(registry, log);
	tpi_registry_test_rseq(registry, log);
	shm->clients_max = config->clients_max;
	snprintf(shm->version, sizeof(shm->version), "%s", tapio_version());
	tpi_registry_learn(registry);
	TPI_TESTPOINT("adopt.described");
}
