/* SPDX-License-Identifier: Apache-2.0 */
/* A merger without a broker: samples, deltas, and the windows that come out. */
#ifndef TESTS_ANALYZE_RIG_H
#define TESTS_ANALYZE_RIG_H

#include <string.h>

#include "tests/check_main.h"
#include "tools/analyze/change.h"
#include "tools/analyze/coding.h"
#include "tools/analyze/merger.h"

#define SECOND     INT64_C(1000000000)
#define KEYS       8u
#define RESULTS    4096u
#define BASE_NS    (INT64_C(1700000000) * SECOND)
#define AT(second) (BASE_NS + (int64_t)((second)*1e9))

/* One window, as far as tests look at it. */
struct window {
	double start; /* seconds after BASE_NS */
	double end;
	uint64_t events;
	uint64_t count[KEYS];
	uint64_t other;
	uint64_t lost;
	uint32_t notes;
};

static struct an_spec spec;
static struct an_budget budget;
static struct an_merger *merger;
static struct window windows[RESULTS];
static uint32_t window_count;
static struct an_baselines *baselines;
static double scores[64];
static uint32_t change_count;

static inline void take_change(void *arg, const struct an_change *change)
{
	(void)arg;
	ck_assert_uint_lt(change_count, 64);
	scores[change_count++] = change->score;
}

static inline void take_result(void *arg, const struct an_result *result)
{
	struct window *w = &windows[window_count++];

	(void)arg;
	ck_assert_uint_le(window_count, RESULTS);
	memset(w, 0, sizeof(*w));
	w->start = (double)(result->start_ns - BASE_NS) / 1e9;
	w->end = (double)(result->end_ns - BASE_NS) / 1e9;
	w->events = result->events;
	w->other = result->table->other.count;
	w->lost = result->lost;
	w->notes = result->notes;
	for (uint32_t i = 0; i < result->table->used; i++) {
		const struct an_entry *e = &result->table->entries[i];
		uint64_t key;

		ck_assert_uint_eq(e->key_length, 10);
		memcpy(&key, an_table_key(result->table, e) + 2, 8);
		if (key < KEYS)
			w->count[key] = e->cell.count;
	}
	if (baselines)
		an_baselines_judge(baselines, result, take_change, NULL);
}

/* Windows of 10 s by pid, 1 s of lateness, all sketches. */
static inline void rig_open(int64_t window_ns, int64_t slide_ns)
{
	memset(&spec, 0, sizeof(spec));
	budget = (struct an_budget){.max_bytes = UINT64_C(1) << 30};
	spec.by_count = 1;
	ck_assert_int_eq(tpi_field_find(&spec.by[0], "pid"), 0);
	spec.window_ns = window_ns;
	spec.slide_ns = slide_ns;
	spec.lateness_ns = SECOND;
	spec.keys_max = 1000;
	spec.counters = 64;
	spec.precision = 10;
	spec.has_value = spec.has_distinct = spec.has_top = true;
	ck_assert_int_eq(tpi_field_find(&spec.value, "duration_ns"), 0);
	ck_assert_int_eq(tpi_field_find(&spec.distinct, "comm"), 0);
	ck_assert_int_eq(tpi_field_find(&spec.top, "comm"), 0);
	window_count = change_count = 0;
	baselines = NULL;
	merger = an_merger_new(&spec, &budget, INT64_MIN, 10 * SECOND,
			       take_result, NULL);
	ck_assert_ptr_nonnull(merger);
}

static inline void rig_close(void)
{
	an_merger_free(merger);
	an_baselines_free(baselines);
	baselines = NULL;
	ck_assert_uint_eq(budget.used_bytes, 0);
}

static inline struct an_delta delta_of(uint64_t member, uint32_t lane)
{
	static uint64_t sequence;

	return (struct an_delta){.member = member,
				 .lane = lane,
				 .sequence = ++sequence,
				 .began_ns = INT64_MIN,
				 .watermark_ns = INT64_MIN};
}

static inline void sample_of(struct an_sample *s, double second, uint64_t key,
			     uint64_t value)
{
	memset(s, 0, sizeof(*s));
	s->time_ns = AT(second);
	s->key[0] = 'u';
	s->key[1] = 8;
	memcpy(s->key + 2, &key, 8);
	s->key_length = 10;
	s->value = (__int128)value * AN_FRACTION;
	s->has_value = true;
	s->distinct[0] = 'u';
	s->distinct[1] = 8;
	memcpy(s->distinct + 2, &value, 8);
	s->distinct_length = 10;
	s->distinct_hash = an_hash(s->distinct, 10, 0);
	memcpy(s->top, s->distinct, 10);
	s->top_length = 10;
}

static inline void add_value(struct an_delta *d, double second, uint64_t key,
			     uint64_t value)
{
	struct an_sample sample;

	sample_of(&sample, second, key, value);
	ck_assert(an_delta_add(d, &spec, &budget, &sample));
}

static inline void add(struct an_delta *d, double second, uint64_t key)
{
	add_value(d, second, key, 1);
}

/* The event at a position. */
static inline void read_at(struct an_delta *d, uint64_t position, double second,
			   uint64_t key)
{
	an_delta_cover(d, position);
	add(d, second, key);
}

static inline void take(struct an_delta *d, double monotonic)
{
	an_merger_take(merger, d, AT(monotonic));
}

/* A member says how far it is. */
static inline void watermark(uint64_t member, double second, double monotonic)
{
	struct an_delta d = delta_of(member, AN_LANE_NONE);

	d.watermark_ns = AT(second);
	take(&d, monotonic);
	an_merger_look(merger, AT(monotonic));
}

#endif
