/* SPDX-License-Identifier: Apache-2.0 */
/* What the first lines of every text form say: is it alive, and by what means. */
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/base/versions.h"
#include "tools/inspect/process.h"
#include "tools/shmstat/stat.h"

static void add_process(json_t *object, const struct tpi_inspect *inspect)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	/* relaxed, here and below: words that are shown, each by itself */
	uint64_t pid = tpi_load_relaxed(&b->pid);
	const char *process = tpi_inspect_process(
		inspect, pid, tpi_load_relaxed(&b->start_time_ticks));
	bool gone = !strcmp(process, "gone");
	uint32_t keeper_pid = tpi_load_relaxed(&b->keeper_pid);

	json_object_set_new(object, "pid", value_count(pid));
	json_object_set_new(object, "process", json_string(process));
	json_object_set_new(object, "state",
			    value_broker_state(tpi_load_relaxed(&b->state)));
	json_object_set_new(object, "uptime_s",
			    gone ? json_null() : value_uptime(inspect));
	json_object_set_new(object, "restarts",
			    value_count(tpi_load_relaxed(&b->restarts)));
	json_object_set_new(object, "keeper",
			    value_keeper(tpi_load_relaxed(&b->keeper)));
	json_object_set_new(object, "keeper_pid",
			    keeper_pid ? value_count(keeper_pid) : json_null());
	json_object_set_new(object, "keeper_process",
			    keeper_pid ? json_string(tpi_inspect_number(
						 inspect, keeper_pid))
				       : json_null());
}

static void add_versions(json_t *object, const struct tpi_inspect *inspect)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	const struct tapio_shm_header *header =
		(const void *)inspect->catalog.map.base;

	json_object_set_new(object, "version",
			    value_text(b->version, sizeof(b->version)));
	/* Checked when it was attached, and constant. */
	json_object_set_new(
		object, "abi",
		json_sprintf("%d.%d", header->abi_major, header->abi_minor));
	json_object_set_new(object, "tool_version",
			    json_string(tapio_version()));
	json_object_set_new(
		object, "tool_abi",
		json_sprintf("%d.%d", TAPIO_ABI_MAJOR, TPI_ABI_MINOR));
}

/* The worst placement of the segments of channels, and the bytes of each rung. */
struct memory {
	uint64_t bytes[TAPIO_RUNGS];
	uint32_t placement;
	uint64_t misplaced;
};

static void add_up(const struct tpi_inspect *inspect, struct memory *m)
{
	/* Of UNCHECKED, VERIFIED, UNBOUND, ELSEWHERE: the larger, the worse. */
	static const uint8_t badness[] = {1, 0, 2, 3};
	struct tapio_shm_segment s;

	*m = (struct memory){.placement = TAPIO_PLACED_VERIFIED};
	for (uint32_t i = 0; i < inspect->catalog.segment_count; i++) {
		if (!tpi_inspect_segment(inspect, i, &s) ||
		    s.kind != TAPIO_SEGMENT_CHANNEL)
			continue;
		if (s.rung < TAPIO_RUNGS)
			m->bytes[s.rung] += s.length_bytes;
		if (s.placement <= TAPIO_PLACED_ELSEWHERE &&
		    badness[s.placement] > badness[m->placement])
			m->placement = s.placement;
		if (s.misplaced_pages != UINT64_MAX)
			m->misplaced += s.misplaced_pages;
	}
}

static void add_memory(json_t *object, const struct tpi_inspect *inspect)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	json_t *pages = json_object();
	struct memory m;

	add_up(inspect, &m);
	for (uint32_t rung = 0; rung < STAT_RUNGS; rung++)
		if (m.bytes[rung])
			json_object_set_new(pages, stat_rungs[rung],
					    value_count(m.bytes[rung]));
	json_object_set_new(object, "pages_bytes", pages);
	json_object_set_new(object, "placement", value_placement(m.placement));
	json_object_set_new(object, "misplaced_pages",
			    value_count(m.misplaced));
	json_object_set_new(object, "budget_bytes",
			    value_count(tpi_load_relaxed(&b->budget_bytes)));
	json_object_set_new(object, "used_bytes",
			    value_count(tpi_load_relaxed(&b->used_bytes)));
}

static uint32_t count_clients(const struct tpi_inspect *inspect)
{
	const struct tpi_catalog *catalog = &inspect->catalog;
	struct tapio_shm_attachment copy;
	uint32_t count = 0;

	/* Index 0 is never given, and 1 is the broker's own. */
	for (uint32_t i = 2; i < catalog->attachment_count; i++)
		count +=
			tpi_inspect_attachment(&catalog->attachments[i], &copy);
	return count;
}

/* Which lanes producers of this host use, and why not those of CPUs. */
static void add_lanes(json_t *object, const struct tapio_shm_broker *b)
{
	bool barrier =
		tpi_load_relaxed(&b->features) & TAPIO_FEATURE_MEMBARRIER;
	/* ORDER broker.rseq (acquire): the reason is of this verdict. Pairs with
	 * the release in tpi_registry_test_rseq(). */
	uint32_t verdict = tpi_load_acquire(&b->rseq_verdict);
	bool cpu = barrier && verdict == TAPIO_RSEQ_PROVEN;

	json_object_set_new(object, "lanes", json_string(cpu ? "cpu" : "side"));
	json_object_set_new(object, "rseq", value_rseq(verdict));
	json_object_set_new(
		object, "lanes_why",
		barrier ? value_text(b->rseq_reason, sizeof(b->rseq_reason))
			: json_string("membarrier is not "
				      "available"));
}

json_t *stat_liveness(const struct tpi_inspect *inspect)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	json_t *object = json_object();

	add_process(object, inspect);
	add_versions(object, inspect);
	add_memory(object, inspect);
	add_lanes(object, b);
	json_object_set_new(object, "clients",
			    value_count(count_clients(inspect)));
	json_object_set_new(object, "clients_max",
			    value_count(tpi_load_relaxed(&b->clients_max)));
	return object;
}
