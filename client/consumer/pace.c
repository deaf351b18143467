/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of pace.h. Nothing here is shared, and nothing is a promise but the limit. */
#include "client/consumer/pace.h"

void tpi_pace_clock(struct tpi_pace *pace, uint64_t mult, uint32_t shift)
{
	unsigned __int128 ticks = 0;

	if (mult && shift < 64)
		ticks = ((unsigned __int128)PACE_MOST_NS << shift) / mult;
	pace->most = ticks <= UINT32_MAX ? (uint64_t)ticks : 0;
	if (pace->away > pace->most)
		pace->away = pace->most;
}

static void enter(struct tpi_pace *pace, enum tpi_pace_phase phase,
		  uint32_t looks, uint64_t away)
{
	pace->phase = phase;
	pace->looks = looks;
	pace->away = away;
	pace->ticks = pace->events = 0;
	pace->pauses = 0;
}

/* How long it takes until a look finds enough, at the rate of the probe. */
static uint64_t away_for(const struct tpi_pace *pace)
{
	uint64_t away = pace->ticks * PACE_TARGET / pace->events;

	return away < pace->most ? away : pace->most;
}

static void rest(struct tpi_pace *pace)
{
	pace->rest *= 2;
	if (pace->rest < PACE_REST_LEAST)
		pace->rest = PACE_REST_LEAST;
	if (pace->rest > PACE_REST_MOST)
		pace->rest = PACE_REST_MOST;
	enter(pace, TPI_PACE_REST, pace->rest, 0);
}

/* Another look of a probe; whether it was the last one. */
static bool probe(struct tpi_pace *pace, uint64_t ticks)
{
	pace->ticks += ticks;
	pace->events += pace->fresh;
	return ++pace->looks == PACE_PROBE;
}

static void bare(struct tpi_pace *pace, uint64_t ticks, bool pause)
{
	if (pause || pace->fresh >= PACE_ENOUGH) {
		enter(pace, TPI_PACE_BARE, 0, 0);
		return;
	}
	if (!probe(pace, ticks))
		return;
	pace->bare_ticks = pace->ticks;
	pace->bare_events = pace->events;
	enter(pace, TPI_PACE_TRIAL, 0, away_for(pace));
}

static void trial(struct tpi_pace *pace, uint64_t ticks, bool pause)
{
	if (pause) { /* which says nothing of the rate */
		enter(pace, TPI_PACE_BARE, 0, 0);
		return;
	}
	if (!probe(pace, ticks))
		return;
	/* Both are eight looks of a microsecond or so: nothing overflows. */
	if (pace->ticks * pace->bare_events * 4 >
	    pace->bare_ticks * pace->events * 3) {
		rest(pace);
		return;
	}
	pace->rest = 0;
	enter(pace, TPI_PACE_PACED, PACE_TERM, away_for(pace));
}

/*
 * One pause is the end of a burst. Many are events that are far apart, or bursts of a few
 * looks, of which most events would come late: a pause counts as much as PACE_PROBE looks.
 */
static void paced(struct tpi_pace *pace, bool pause)
{
	if (pause)
		pace->pauses += PACE_PROBE;
	else if (pace->pauses)
		pace->pauses--;
	if (!--pace->looks || pace->pauses >= PACE_PROBE * PACE_PROBE)
		enter(pace, TPI_PACE_BARE, 0, 0);
}

void tpi_pace_news(struct tpi_pace *pace, uint64_t now)
{
	uint64_t ticks = now - pace->looked;
	bool pause = ticks > pace->most * pace->fresh;

	if (pace->phase == TPI_PACE_REST) {
		if (!--pace->looks)
			enter(pace, TPI_PACE_BARE, 0, 0);
		pace->fresh = 0;
		return;
	}
	if (pace->phase == TPI_PACE_BARE)
		bare(pace, ticks, pause);
	else if (pace->phase == TPI_PACE_TRIAL)
		trial(pace, ticks, pause);
	else
		paced(pace, pause);
	pace->looked = now;
	pace->fresh = 0;
}
