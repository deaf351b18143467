/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of segments, and the files.
 *
 * A record is written once. That of a slot's cursors may be written anew, and those of a
 * channel that is given back are cleared: READY is taken
 * off meanwhile, and tpi_inspect_segment() throws a copy away that is not of one
 * writing. So a copy is SURE. A broker that is stopped there leaves the record unready,
 * so what is not ready is LEFT. Length, seals and mode are those of the file that the record
 * names by device and inode, as it was opened. Seals and phase of an isolated producer's
 * segment are two words, so what they say together LASTS.
 */
#include <fcntl.h>

#include "tools/inspect/check_inner.h"
#include "tools/inspect/segment_set.h"

#define MODE 0600
/* Records change rarely, and comparing all takes long. */
#define SINGLE_LOOKS 4

static void check_range(struct tpi_checker *c, const struct tpi_where *where,
			const struct tapio_shm_segment *s)
{
	bool catalog = s->kind == TAPIO_SEGMENT_CATALOG;
	uint32_t indices = s->kind == TAPIO_SEGMENT_CURSORS ? TAPIO_GROUP_SLOTS
							    : TAPIO_NODES_MAX;

	tpi_check_that(
		c,
		s->kind >= TAPIO_SEGMENT_CATALOG &&
			s->kind <= TAPIO_SEGMENT_CURSORS &&
			(catalog ||
			 s->channel < c->inspect->catalog.channel_count) &&
			s->index < indices && s->rung < TAPIO_RUNGS &&
			s->placement <= TAPIO_PLACED_ELSEWHERE,
		TPI_SURE, TPI_RULE_SEGMENT_RECORD, where, s->inode,
		{"kind", s->kind}, {"of_channel", s->channel},
		{"index", s->index}, {"rung", s->rung},
		{"placement", s->placement});
}

/*
 * A broker that is stopped while it makes a channel, or gives one back, leaves records of
 * an entry that is not READY.
 */
static void check_channel(struct tpi_checker *c, const struct tpi_where *where,
			  const struct tapio_shm_segment *s)
{
	tpi_check_that(
		c,
		s->kind == TAPIO_SEGMENT_CATALOG ||
			tpi_channel_exists(&c->inspect->catalog, s->channel),
		TPI_LEFT, TPI_RULE_SEGMENT_RECORD, where, s->inode,
		{"kind", s->kind}, {"of_channel", s->channel}, {"ready", 0});
}

/* Another record of the same thing, or of the same file. */
static void check_single(struct tpi_checker *c, const struct tpi_where *where,
			 uint32_t number, const struct tapio_shm_segment *s)
{
	struct tapio_shm_segment other;

	for (uint32_t i = 0; i < number; i++) {
		/* Cheap first. */
		const struct tapio_shm_segment *o =
			&c->inspect->catalog.segments[i];
		bool near = tpi_load_relaxed(&o->inode) == s->inode ||
			    (tpi_load_relaxed(&o->kind) == s->kind &&
			     tpi_load_relaxed(&o->index) == s->index &&
			     tpi_load_relaxed(&o->channel) == s->channel);

		if (!near || !tpi_inspect_segment(c->inspect, i, &other))
			continue;
		tpi_check_that(c,
			       (other.inode != s->inode ||
				other.device != s->device) &&
				       (other.kind != s->kind ||
					other.index != s->index ||
					other.channel != s->channel),
			       TPI_LASTS, TPI_RULE_SEGMENT_RECORD, where,
			       s->inode, {"same_as_segment", i},
			       {"kind", s->kind}, {"of_channel", s->channel},
			       {"index", s->index}, {"inode", s->inode});
	}
}

/* The segment of an isolated producer. */
static bool is_own(const struct tpi_checker *c,
		   const struct tapio_shm_segment *s)
{
	return s->kind == TAPIO_SEGMENT_CHANNEL && s->index &&
	       c->inspect->catalog.channels[s->channel].flags &
		       TAPIO_CHANNEL_ISOLATED;
}

/*
 * It gets the last seals when its producer has mapped it, which may be after this tool
 * has opened the file, and then its record says so. While it is FRESH its producer may add
 * seals, too.
 */
static bool own_sealed(const struct tapio_shm_segment *s, uint32_t seals)
{
	uint32_t need = TAPIO_SEGMENT_READABLE(s->epoch) ? TPI_SEALS_OWN
							 : TPI_SEALS_LENGTH;

	return (seals & TPI_SEALS_LENGTH) == TPI_SEALS_LENGTH &&
	       (s->seals & need) == need;
}

static void check_file(struct tpi_checker *c, const struct tpi_where *where,
		       const struct tapio_shm_segment *s)
{
	const struct tpi_segment_set_entry *e =
		tpi_segment_set_find(c->inspect->set, s);
	bool own = is_own(c, s), sealed;

	if (!e)
		return; /* segment.missing, or slot.missing, if it is needed */
	sealed = own ? own_sealed(s, e->seals)
		     : e->seals == s->seals &&
				 (s->seals & TPI_SEALS) == TPI_SEALS;
	tpi_check_that(c,
		       e->map.bytes == s->length_bytes && sealed &&
			       e->mode == MODE && !(e->received && e->writable),
		       own ? TPI_LASTS : TPI_SURE, TPI_RULE_SEGMENT_FILE, where,
		       s->inode, {"bytes", e->map.bytes},
		       {"of", s->length_bytes}, {"seals", e->seals},
		       {"recorded_seals", s->seals}, {"mode", e->mode},
		       {"writable", e->writable});
}

static void check_one(struct tpi_checker *c, uint32_t i)
{
	struct tpi_where where = TPI_NOWHERE;
	struct tapio_shm_segment copy;

	where.segment = i;
	if (tpi_inspect_segment(c->inspect, i, &copy)) {
		c->report->segments++;
		check_range(c, &where, &copy);
		check_channel(c, &where, &copy);
		if (c->look <= SINGLE_LOOKS)
			check_single(c, &where, i, &copy);
		check_file(c, &where, &copy);
		return;
	}
	/* One that was never filled is zero. */
	if (!tpi_load_relaxed(&c->inspect->catalog.segments[i].kind))
		return;
	tpi_check_fail(c, TPI_LEFT, TPI_RULE_SEGMENT_RECORD, &where, 0,
		       TPI_COUNTED({"ready", 0}), NULL);
}

void tpi_check_segments(struct tpi_checker *c)
{
	for (uint32_t i = 0; i < c->inspect->catalog.segment_count; i++)
		check_one(c, i);
}
