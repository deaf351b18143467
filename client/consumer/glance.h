/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a lane without a look at it. Called by poll.c and merge_poll.c. */
#ifndef TPI_GLANCE_H
#define TPI_GLANCE_H

#include "client/consumer/consumer.h"

/* A lane that is not to be read now. */
static inline bool tpi_lane_closed(const struct tpi_track *t)
{
	return t->giving || !t->leased || t->past != t->past_end || t->shut;
}

/*
 * Events that an earlier look has seen and not handed out are there without another, up to
 * *tail: the state's line is left to the producer, who writes it for every event. Only
 * where producers wait for us, since what may be overrun has to be looked at first.
 */
static inline bool tpi_lane_known(const struct tpi_consumer *c,
				  const struct tpi_track *t, uint64_t *tail)
{
	*tail = t->seen;
	return c->lossless && tapio_position_diff(t->seen, t->next) > 0 &&
	       !tpi_lane_closed(t);
}

/* poll.c: not any lane's state. */
extern const uint64_t tpi_no_state;

static inline struct tpi_glance tpi_glance_none(void)
{
	return (struct tpi_glance){&tpi_no_state, 0};
}

static inline bool tpi_glance_is_idle(const struct tpi_glance *glance)
{
	/* Relaxed: nothing is followed from here. If the state is another one,
	 * a look loads it again. */
	return tpi_load_relaxed(glance->state) == glance->idle;
}

/*
 * A look has found nothing. The state that is loaded now is in our cache still, or it is
 * another one. A lane that may not be read, or has something that was seen, is not idle.
 */
static inline struct tpi_glance tpi_glance_at(const struct tpi_track *t)
{
	/* Relaxed: as in tpi_glance_is_idle(). */
	uint64_t state = tpi_load_relaxed(&t->lane->shm->state);

	if (TAPIO_STATE_TAIL(state) != t->next ||
	    tapio_position_diff(t->seen, t->next) > 0)
		return tpi_glance_none();
	return (struct tpi_glance){&t->lane->shm->state, state};
}

#endif
