/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laying out the scoreboard. The mapping is as large as the worst case needs and
 * mostly never touched: MAP_NORESERVE, and only what is written takes memory.
 */
#include "tools/load/scoreboard.h"

#include <errno.h>
#include <sys/mman.h>

#include "lib/base/atomic.h"
#include "tools/load/event.h"

/* Takes `count` records off the mapping. With base NULL only adds them up. */
static void *carve(unsigned char *base, size_t *at, size_t count, size_t bytes)
{
	size_t offset = (*at + LOAD_LINE - 1) & ~(size_t)(LOAD_LINE - 1);

	*at = offset + count * bytes;
	return base ? base + offset : NULL;
}

static size_t lay_out(struct load_scoreboard *b, unsigned char *base)
{
	size_t tracks = (size_t)(b->shape.instances ? b->shape.instances : 1) *
			b->shape.groups * b->shape.lanes;
	size_t at = sizeof(*b);

	b->spans = carve(base, &at, b->span_count, sizeof(*b->spans));
	b->bits = carve(base, &at, b->shape.groups * b->bit_words,
			sizeof(*b->bits));
	b->tracks = carve(base, &at, tracks, sizeof(*b->tracks));
	b->last_ids =
		carve(base, &at, tracks * b->places, sizeof(*b->last_ids));
	b->producer = carve(base, &at, b->places, sizeof(*b->producer));
	b->consumer = carve(base, &at, b->consumers, sizeof(*b->consumer));
	b->counts = carve(base, &at, b->consumers, sizeof(*b->counts));
	b->redelivered =
		carve(base, &at, b->life_count, sizeof(*b->redelivered));
	b->life_killed =
		carve(base, &at, b->life_count, sizeof(*b->life_killed));
	return at;
}

static bool shape_ok(const struct load_shape *shape)
{
	return shape->producers && shape->producers < LOAD_PLACES_MAX &&
	       shape->groups && shape->groups <= 64 && shape->members &&
	       shape->members <= 4096 && shape->lanes &&
	       shape->lanes <= 1u << 20 && shape->events_max &&
	       shape->events_max <= UINT64_C(1) << 38;
}

int load_board_create(struct load_scoreboard **out,
		      const struct load_shape *shape)
{
	struct load_scoreboard plan = {.shape = *shape};
	void *base;

	*out = NULL;
	if (!shape_ok(shape))
		return -EINVAL;
	plan.places = shape->producers + 1;
	plan.consumers = shape->groups * shape->members;
	plan.life_count = plan.consumers + shape->kills_consumers;
	plan.span_count = shape->events_max / LOAD_SPAN_EVENTS + 1;
	plan.bit_words = plan.span_count * LOAD_SPAN_EVENTS / 64;
	plan.bytes = lay_out(&plan, NULL);
	base = mmap(NULL, plan.bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	lay_out(&plan, base);
	*out = base;
	**out = plan;
	return 0;
}

void load_board_destroy(struct load_scoreboard *scoreboard)
{
	if (scoreboard)
		munmap(scoreboard, scoreboard->bytes);
}

static bool next_span(struct load_emitter *e)
{
	/* relaxed: a ticket. The span is ours alone */
	uint64_t n = tpi_add_relaxed(&e->scoreboard->next_span, 1);

	if (n >= e->scoreboard->span_count) {
		/* relaxed: a flag that the leader polls */
		tpi_store_relaxed(&e->scoreboard->exhausted, 1);
		return false;
	}
	e->span = &e->scoreboard->spans[n];
	e->span->producer = e->producer;
	e->first = n * LOAD_SPAN_EVENTS;
	e->used = 0;
	return true;
}

uint64_t load_emit_try(struct load_emitter *e, uint32_t count)
{
	if (!e->span || e->used + count > LOAD_SPAN_EVENTS)
		if (!next_span(e))
			return UINT64_MAX;
	/*
	 * relaxed: read after this process is dead, or has ended, by one that
	 * waited for it. That the store comes before the call that emits is
	 * program order, which a SIGKILL keeps.
	 */
	tpi_store_relaxed(&e->span->intent, e->used + count);
	tpi_fence_compiler();
	return e->first + e->used;
}

void load_emit_done(struct load_emitter *e, uint32_t count)
{
	e->used += count;
	/*
	 * accepted first: between the two stores nothing is in doubt that was
	 * refused, which would be harmless, and nothing is missing.
	 */
	tpi_fence_compiler();
	tpi_store_relaxed(&e->span->accepted, e->used);
	tpi_fence_compiler();
	tpi_store_relaxed(&e->span->intent, e->used);
}
