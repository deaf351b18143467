/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer's notes about each event. check.h says in which order. */
#include "tools/load/check.h"

#include <string.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"
#include "tools/load/event.h"

void load_checker_init(struct load_checker *checker,
		       struct load_scoreboard *scoreboard, uint32_t consumer,
		       uint32_t life)
{
	uint32_t group = consumer / scoreboard->shape.members;

	*checker = (struct load_checker){
		.scoreboard = scoreboard,
		.counts = &scoreboard->counts[consumer],
		.bits = load_bits(scoreboard, group),
		.group = group,
		.life = life,
		.shared = scoreboard->shape.members > 1,
	};
}

static uint32_t judge_bytes(const struct load_checker *checker,
			    const struct tapio_view *view,
			    struct load_look *look)
{
	const struct load_scoreboard *scoreboard = checker->scoreboard;
	struct load_event event;

	if (view->length < sizeof(event))
		return LOAD_CORRUPT;
	memcpy(&event, view->data, sizeof(event));
	look->id = event.id;
	look->sent_ns = event.sent_ns;
	look->index = LOAD_PRODUCER_INDEX(event.producer);
	if (event.length != view->length || look->index >= scoreboard->places ||
	    event.id >= scoreboard->span_count * LOAD_SPAN_EVENTS)
		return LOAD_CORRUPT;
	if (event.hash !=
	    load_event_hash(scoreboard->shape.seed, view->data, view->length))
		return LOAD_CORRUPT;
	return LOAD_INTACT;
}

void load_look(const struct load_checker *checker,
	       const struct tapio_view *view, struct load_look *look)
{
	*look = (struct load_look){
		.position = view->position,
		.lane = view->lane,
		.length = view->length,
	};
	look->former = view->flags & TAPIO_VIEW_FORMER;
	if (view->flags & TAPIO_VIEW_GAP) {
		const struct tapio_gap *gap = view->data;

		look->verdict = gap->cause == TAPIO_GAP_INSTANCE ? LOAD_MOVED
								 : LOAD_GAP;
		look->id = gap->count;
		look->left = gap->first;
	} else if (view->type != LOAD_EVENT_TYPE) {
		look->verdict = LOAD_FOREIGN;
	} else if (view->lane >= checker->scoreboard->shape.lanes ||
		   (look->former && !checker->instance)) {
		look->verdict = LOAD_CORRUPT;
	} else {
		look->verdict = judge_bytes(checker, view, look);
	}
}

static struct load_track *track_of(const struct load_checker *c,
				   const struct load_look *look)
{
	const struct load_shape *shape = &c->scoreboard->shape;
	size_t instance = c->instance - look->former;

	return &c->scoreboard->tracks[(instance * shape->groups + c->group) *
					      shape->lanes +
				      look->lane];
}

/* a is a position below the mark, which is 1 + a position, or 0 for none. */
static bool below(uint64_t position, uint64_t mark)
{
	return mark && tapio_position_diff(position, mark) < 0;
}

/*
 * True when the position was given to this group before. The end of the run
 * shows whether that is a fault: it is none if the consumer that looked at it
 * last was killed.
 */
static bool again(struct load_checker *c, struct load_track *track,
		  uint64_t position)
{
	bool mine =
		track->holder == c->life && below(position, track->holder_pos);
	uint64_t mark = (position + 1) & TAPIO_POSITION_MASK;

	track->holder = c->life;
	track->holder_pos = mark;
	if (!below(position, track->seen)) {
		track->seen_life = c->life;
		track->seen = mark;
		return false;
	}
	if (mine || below(position, track->released) ||
	    track->seen_life == c->life) {
		c->counts->duplicated++;
	} else {
		c->counts->redelivered++;
		/* relaxed: counted here, read when everybody has ended */
		tpi_add_relaxed(&c->scoreboard->redelivered[track->seen_life],
				1);
	}
	return true;
}

/* Sets the bit of an id. Was it set? */
static bool test_and_set(struct load_checker *c, uint64_t id)
{
	uint64_t *word = &c->bits[id / 64];
	uint64_t bit = UINT64_C(1) << (id % 64), old;

	if (c->shared) {
		/* relaxed: the bit alone is what is shared */
		old = tpi_or_relaxed(word, bit);
	} else {
		old = *word;
		*word = old | bit;
	}
	return old & bit;
}

static void mark_intact(struct load_checker *c, const struct load_look *look)
{
	struct load_track *track = track_of(c, look);
	uint64_t *last =
		&c->scoreboard
			 ->last_ids[(size_t)(track - c->scoreboard->tracks) *
					    c->scoreboard->places +
				    look->index];
	bool repeated = again(c, track, look->position);

	c->counts->events++;
	c->counts->bytes += look->length;
	c->counts->late += look->former;
	if (test_and_set(c, look->id)) {
		if (!repeated)
			c->counts->duplicated++;
	}
	if (repeated)
		return;
	if (look->id + 1 <= *last)
		c->counts->disordered++;
	else
		*last = look->id + 1;
}

static void mark_move(struct load_checker *c, const struct load_look *look)
{
	/* More than there were. */
	if (c->instance + 1 >= c->scoreboard->shape.instances) {
		c->counts->corrupt++;
		return;
	}
	c->counts->before_join += look->id;
	c->counts->unread += look->left;
	c->instance++;
	/* Relaxed: the leader polls it, for no more than the number. */
	tpi_store_relaxed(&c->counts->moves, c->counts->moves + 1);
}

void load_mark(struct load_checker *c, const struct load_look *look)
{
	switch (look->verdict) {
	case LOAD_INTACT:
		mark_intact(c, look);
		break;
	case LOAD_CORRUPT:
		c->counts->corrupt++;
		break;
	case LOAD_FOREIGN:
		c->counts->foreign++;
		break;
	case LOAD_GAP:
		c->counts->gaps++;
		c->counts->gap_positions += look->id;
		break;
	case LOAD_OVERWRITTEN:
		c->counts->overwritten++;
		break;
	case LOAD_MOVED:
		mark_move(c, look);
		break;
	}
}

void load_note_released(struct load_checker *c, const struct load_look *looks,
			unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		/* Only the last of a run of events of one lane matters. */
		if (looks[i].verdict != LOAD_INTACT)
			continue;
		if (i + 1 < count && looks[i + 1].lane == looks[i].lane &&
		    looks[i + 1].former == looks[i].former &&
		    looks[i + 1].verdict == LOAD_INTACT)
			continue;
		track_of(c, &looks[i])->released =
			(looks[i].position + 1) & TAPIO_POSITION_MASK;
	}
}
