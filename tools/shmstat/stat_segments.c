/* SPDX-License-Identifier: Apache-2.0 */
/* The segments, as they were really obtained. */
#include "tools/shmstat/stat.h"

/* Why each better rung was not reached: {"hugetlb": "ENOMEM"}. */
static json_t *failed_rungs(const struct tapio_shm_segment *s)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < STAT_RUNGS; i++)
		if (s->rung_errno[i])
			json_object_set_new(object, stat_rungs[i],
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
	json_object_set_new(object, "rung",
			    value_word(stat_rungs, STAT_RUNGS, s->rung));
	json_object_set_new(object, "rungs_failed", failed_rungs(s));
	json_object_set_new(object, "seals", value_bits(seals, 6, s->seals));
}

static void add_placement(json_t *object, const struct tapio_shm_segment *s)
{
	json_object_set_new(object, "node",
			    s->node == UINT32_MAX ? json_null()
						  : value_count(s->node));
	json_object_set_new(object, "placement", value_placement(s->placement));
	json_object_set_new(object, "placement_error",
			    value_errno(s->placement_errno));
	json_object_set_new(object, "misplaced_pages",
			    s->misplaced_pages == UINT64_MAX
				    ? json_null()
				    : value_count(s->misplaced_pages));
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
	json_object_set_new(object, "epoch",
			    s->kind == TAPIO_SEGMENT_CURSORS
				    ? value_count(s->epoch)
				    : json_null());
	add_memory(object, s);
	add_placement(object, s);
	return object;
}

/* A record that is being replaced is looked at again. */
static bool look_settled(const struct tpi_inspect *inspect, uint32_t i,
			 struct tapio_shm_segment *copy)
{
	for (int attempt = 0; attempt < 4; attempt++)
		if (tpi_inspect_segment(inspect, i, copy))
			return true;
	return false;
}

json_t *stat_segments(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < inspect->catalog.segment_count; i++) {
		struct tapio_shm_segment copy;

		if (look_settled(inspect, i, &copy))
			json_array_append_new(array, one(inspect, &copy));
	}
	return array;
}
