/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog, which only the broker writes, and the broker's record in it.
 *
 *  header, regions, record	Written once, before READY. SURE.
 *  counters	Additions to single words: two loads in order are SURE.
 *  clock	A piece is written before `calibrations` counts it, with a base beyond all
 *	before. When the counter of the machine begins anew, the broker fills the ring
 *	piece by piece (lib/memory/calibration.h), and may be stopped there: LEFT. No piece
 *	has a shift that does not fit: SURE, if the piece was not overwritten meanwhile.
 *  gone	LEFT, since nothing is wrong with the memory.
 */
#include <string.h>

#include "lib/memory/calibration.h"
#include "lib/memory/layout_inner.h"
#include "tools/inspect/check_inner.h"
#include "tools/inspect/process.h"

static bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a < b_end && b < a_end;
}

/* Each against the header with its table, and against those before it. */
static void check_regions(struct tpi_checker *c, const struct tpi_view *view,
			  const struct tpi_where *where)
{
	uint64_t table = view->header.region_offset;
	uint64_t table_end =
		table + view->header.region_count * sizeof(view->regions[0]);

	for (uint32_t i = 0; i < view->header.region_count; i++) {
		const struct tapio_shm_region *r = &view->regions[i];
		uint64_t end = r->offset + r->stride * r->count;
		bool apart = r->offset >= sizeof(view->header) &&
			     !overlap(r->offset, end, table, table_end);

		for (uint32_t j = 0; j < i; j++) {
			const struct tapio_shm_region *o = &view->regions[j];

			apart &= !overlap(r->offset, end, o->offset,
					  o->offset + o->stride * o->count);
		}
		tpi_check_that(c, apart, TPI_SURE, TPI_RULE_CATALOG_REGIONS,
			       where, r->offset, {"kind", r->kind},
			       {"begin", r->offset}, {"end", end});
	}
}

void tpi_check_catalog(struct tpi_checker *c)
{
	const struct tpi_catalog *catalog = &c->inspect->catalog;
	struct tpi_where where = TPI_NOWHERE;
	char why[256] = "";
	struct tpi_report report = {why, sizeof(why), "catalog"};
	struct tpi_catalog again;
	struct tpi_view view;

	c->report->checks++;
	if (tpi_catalog_attach(&again, &catalog->map, why, sizeof(why)) ||
	    again.channels != catalog->channels ||
	    again.channel_count != catalog->channel_count) {
		c->report->corrupt = true;
		tpi_check_fail(c, TPI_SURE, TPI_RULE_CATALOG_HEADER, &where, 0,
			       NULL, *why ? why : "it was changed after READY");
		return;
	}
	if (!tpi_view_open(&view, &catalog->map, &report))
		check_regions(c, &view, &where);
}

/* ---- the broker ------------------------------------------------------------------ */

static void check_record(struct tpi_checker *c,
			 const struct tapio_shm_broker *b,
			 const struct tpi_where *where)
{
	/* Relaxed: single words. */
	uint32_t state = tpi_load_relaxed(&b->state);
	uint32_t id = tpi_load_relaxed(&b->attachment);
	uint32_t verdict = tpi_load_relaxed(&b->rseq_verdict);

	tpi_check_that(c,
		       state >= TAPIO_BROKER_STARTING &&
			       state <= TAPIO_BROKER_STOPPED &&
			       verdict <= TAPIO_RSEQ_INCONCLUSIVE &&
			       id != TAPIO_NOBODY &&
			       TAPIO_ATTACHMENT_INDEX(id) <
				       c->inspect->catalog.attachment_count,
		       TPI_SURE, TPI_RULE_BROKER_RECORD, where, state,
		       {"state", state}, {"attachment", id},
		       {"rseq_verdict", verdict});
}

static void check_counters(struct tpi_checker *c,
			   const struct tapio_shm_broker *b,
			   const struct tpi_where *where)
{
#define WORD(name, ...) &b->name,
	const uint64_t *words[TAPIO_BROKER_COUNTER_COUNT] = {
		TAPIO_BROKER_COUNTERS(WORD)};
#undef WORD

	for (uint32_t i = 0; i < TAPIO_BROKER_COUNTER_COUNT; i++) {
		/* Relaxed: counts, each by itself. */
		uint64_t now = tpi_load_relaxed(words[i]);

		tpi_check_that(c, now >= c->counters[i], TPI_SURE,
			       TPI_RULE_BROKER_COUNTERS, where, now,
			       {"counter", i}, {"value", now},
			       {"value_before", c->counters[i]});
		c->counters[i] = now;
	}
}

/* The pieces that cannot be overwritten while one publication is under way. */
static void check_pieces(struct tpi_checker *c, uint64_t count,
			 const struct tpi_where *where)
{
	const struct tpi_catalog *catalog = &c->inspect->catalog;
	uint64_t ring = catalog->calibration_count, before = 0, i;

	/* The oldest are where the next publication writes. */
	i = count > ring - TPI_CALIBRATION_PIECES
		    ? count - ring + TPI_CALIBRATION_PIECES
		    : 0;
	for (uint64_t first = i; i < count; i++) {
		const struct tapio_shm_calibration *p =
			&catalog->calibrations[i % ring];
		uint64_t base = tpi_load_relaxed(&p->base_tsc);
		uint32_t shift = tpi_load_relaxed(&p->shift);

		/* ORDER broker.calibrations (load-load): the piece before the
		 * second look at their number. Pairs with the store-store in
		 * tpi_calibration_publish(). */
		tpi_fence_load_load();
		if (tpi_load_relaxed(&catalog->broker->calibrations) != count)
			return; /* the next look sees the rest */
		tpi_check_that(c, shift < 64, TPI_LASTS, TPI_RULE_BROKER_CLOCK,
			       where, i, {"piece", i}, {"shift", shift});
		if (i > first)
			tpi_check_that(c, base >= before, TPI_LEFT,
				       TPI_RULE_BROKER_CLOCK, where, i,
				       {"piece", i}, {"base", base},
				       {"base_before", before});
		before = base;
	}
}

static void check_clock(struct tpi_checker *c, const struct tapio_shm_broker *b,
			const struct tpi_where *where)
{
	/* ORDER broker.calibrations (acquire): the pieces that it counts are
	 * whole. Pairs with the release in tpi_calibration_publish(). */
	uint64_t count = tpi_load_acquire(&b->calibrations);

	tpi_check_that(c, count >= c->calibrations, TPI_SURE,
		       TPI_RULE_BROKER_CLOCK, where, count, {"pieces", count},
		       {"pieces_before", c->calibrations});
	c->calibrations = count;
	check_pieces(c, count, where);
}

static void check_process(struct tpi_checker *c,
			  const struct tapio_shm_broker *b,
			  const struct tpi_where *where)
{
	uint64_t pid = tpi_load_relaxed(&b->pid);
	uint64_t start = tpi_load_relaxed(&b->start_time_ticks);
	uint32_t state = tpi_load_relaxed(&b->state);

	if (!c->pids_known || state == TAPIO_BROKER_STOPPED)
		return;
	tpi_check_that(c,
		       tpi_inspect_process_state(c->inspect, pid, start) !=
			       TPI_PROCESS_GONE,
		       TPI_LEFT, TPI_RULE_BROKER_GONE, where, pid, {"pid", pid},
		       {"start_time_ticks", start});
}

void tpi_check_broker(struct tpi_checker *c)
{
	const struct tapio_shm_broker *b = c->inspect->catalog.broker;
	struct tpi_where where = TPI_NOWHERE;

	check_record(c, b, &where);
	check_counters(c, b, &where);
	check_clock(c, b, &where);
	check_process(c, b, &where);
}
