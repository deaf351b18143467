/* SPDX-License-Identifier: Apache-2.0 */
/* The segments, as they were really obtained. */
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/shmstat/stat.h"

static const char *const rungs[] = {"hugetlb", "thp", "pages"};
#define RUNGS (sizeof(rungs) / sizeof(rungs[0]))

/* Why each better rung was not reached: {"hugetlb": "ENOMEM"}. */
static json_t *failed_rungs(const struct tapio_shm_segment *s)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < RUNGS; i++)
		if (s->rung_errno[i])
			json_object_set_new(object, rungs[i],
					    value_errno(s->rung_errno[i]));
	return object;
}

static void add_memory(json_t *object, const struct tapio_shm_segment *s)
{
	static const char *const seals[] = {"seal",  "shrink",       "grow",
					    "write", "future_write", "exec"};

	json_object_set_new(object, "length_bytes",
			    value_count(s->length_bytes));
	json_object_set_new(object, "page_bytes", value_count(s->page_bytes));
	json_object_set_new(object, "huge_bytes", value_count(s->huge_bytes));
	json_object_set_new(object, "rung", value_word(rungs, RUNGS, s->rung));
	json_object_set_new(object, "rungs_failed", failed_rungs(s));
	json_object_set_new(object, "seals", value_bits(seals, 6, s->seals));
}

static void add_placement(json_t *object, const struct tapio_shm_segment *s)
{
	static const char *const placements[] = {"unchecked", "verified",
						 "unbound", "elsewhere"};

	json_object_set_new(object, "node",
			    s->node == UINT32_MAX ? json_null()
						  : value_count(s->node));
	json_object_set_new(object, "placement",
			    value_word(placements, 4, s->placement));
	json_object_set_new(object, "placement_error",
			    value_errno(s->placement_errno));
	json_object_set_new(object, "misplaced_pages",
			    value_count(s->misplaced_pages));
}

static json_t *one(const struct tpi_inspect *inspect,
		   const struct tapio_shm_segment *s)
{
	static const char *const kinds[] = {NULL, "catalog", "channel",
					    "cursors"};
	json_t *object = json_object();

	json_object_set_new(object, "kind", value_word(kinds, 4, s->kind));
	json_object_set_new(object, "channel",
			    s->kind == TAPIO_SEGMENT_CATALOG
				    ? json_null()
				    : value_channel(inspect, s->channel));
	json_object_set_new(object, "index", value_count(s->index));
	add_memory(object, s);
	add_placement(object, s);
	return object;
}

json_t *stat_segments(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < inspect->catalog.segment_count; i++) {
		const struct tapio_shm_segment *shared =
			&inspect->catalog.segments[i];
		struct tapio_shm_segment copy;

		/*
		 * ORDER segment_record.ready (acquire): the record is complete.
		 * Pairs with the broker's release.
		 */
		if (tpi_load_acquire(&shared->ready) != TAPIO_SEGMENT_READY)
			continue;
		memcpy(&copy, shared, sizeof(copy));
		tpi_fence_compiler(); /* the copy is what is looked at */
		json_array_append_new(array, one(inspect, &copy));
	}
	return array;
}
