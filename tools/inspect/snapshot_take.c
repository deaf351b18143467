/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying memory that is in use, so that the copy says nothing that was never so.
 *
 * The copy is made in this order, and begun anew when the last step finds a difference:
 *
 *  1	The catalog, twice, until both are equal word by word. Only the broker writes it, and its
 *	words do not come back. So the copy is the catalog of one instant. (But for the broker's
 *	counters and the pieces of its clock, which always change: each word by itself.)
 *  2	All of the other segments but the blocks, as they come.
 *  3	Each lane: gate, then the cursors of its groups, then state and ring, then the gate
 *	again. It counts if the gate is the same: so gate <= head <= tail and reap <= gate hold
 *	in the copy as they do at each instant (lib/lane/ledger.c). A lane that is published to
 *	every 50 ns is caught up with (R1 to R3 of check_ring.c). A cursor counts if its lease
 *	and its head stand still meanwhile. Then the lane is WHOLE.
 *  4	Tickets change with each event and name no position, so they belong to the state only if
 *	that stood still from before the descriptors to after the tickets: TICKETS.
 *  5	The catalog is compared. Attachments are in it before their ids are in a lane, and leave
 *	after. So with an equal catalog each id in the copy is one that it knows: CATALOG_WHOLE.
 *  6	Three later looks compare the lane and its cursors, for rules that need them to last
 *	(check.c, LASTS). A lane that has not changed is STILL. Where processes are dead or
 *	stopped, all lanes are.
 *  7	Blocks, when they are written. A lane's state afterwards says which events are whole.
 *
 * A lane that is not WHOLE after several attempts has no such mark, and a check does not judge it.
 */
#include "tools/inspect/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"
#include "lib/memory/layout_inner.h"
#include "tools/inspect/segment_set.h"

#define ATTEMPTS      8   /* of all */
#define CATALOG_TRIES 32  /* until two copies are equal */
#define LANE_TRIES    64  /* until the gate stands still */
#define FOLLOW_TRIES  256 /* until the copy of a ring is that of a state */
#define CURSOR_TRIES  64
#define LATER_LOOKS   3
#define LATER_NS      2000000

/* ---- images ----------------------------------------------------------------------- */

static int compare_images(const void *a, const void *b)
{
	const struct tpi_snapshot_image *x = a, *y = b;
	uintptr_t p = (uintptr_t)x->entry->map.base;
	uintptr_t q = (uintptr_t)y->entry->map.base;

	return p < q ? -1 : p > q;
}

/* The image in which an address of the live memory lies. NULL: none, as of a lane at rest. */
static struct tpi_snapshot_image *image_of(const struct tpi_snapshot_copy *copy,
					   const void *live)
{
	uint32_t low = 0, high = copy->image_count;
	uintptr_t at = (uintptr_t)live;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct tpi_snapshot_image *i = &copy->images[middle];

		if (at < (uintptr_t)i->entry->map.base)
			high = middle;
		else if (at - (uintptr_t)i->entry->map.base >=
			 i->entry->map.bytes)
			low = middle + 1;
		else
			return i;
	}
	return NULL;
}

/* Where our copy of it is. */
static void *ours(const struct tpi_snapshot_copy *copy, const void *live)
{
	const struct tpi_snapshot_image *image = image_of(copy, live);

	return image ? image->copy + ((const unsigned char *)live -
				      image->entry->map.base)
		     : NULL;
}

static int add_image(struct tpi_snapshot_copy *copy,
		     const struct tpi_segment_set_entry *entry)
{
	struct tpi_snapshot_image *image = &copy->images[copy->image_count];
	void *base = mmap(NULL, entry->map.bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(base, entry->map.bytes, MADV_DONTDUMP);
	*image = (struct tpi_snapshot_image){.entry = entry, .copy = base};
	copy->image_count++;
	return 0;
}

/* The catalog, and the segments that its records name: a set may have others, too. */
static int add_images(struct tpi_snapshot_copy *copy)
{
	const struct tpi_inspect *inspect = copy->inspect;
	const struct tpi_segment_set *set = inspect->set;
	bool *named = calloc(set->count + 1, sizeof(*named));
	const struct tpi_segment_set_entry *entry;
	struct tapio_shm_segment record;
	int err = 0;

	copy->images = calloc(set->count + 1, sizeof(*copy->images));
	if (!named || !copy->images)
		err = -ENOMEM;
	for (uint32_t i = 0; !err && i < inspect->catalog.segment_count; i++) {
		if (!tpi_inspect_segment(inspect, i, &record))
			continue;
		entry = tpi_segment_set_find(set, &record);
		if (entry)
			named[entry - set->entries] = true;
	}
	for (uint32_t i = 0; !err && i < set->count; i++) {
		entry = &set->entries[i];
		if (named[i] || entry->map.base == inspect->catalog.map.base)
			err = add_image(copy, entry);
	}
	free(named);
	if (err)
		return err;
	qsort(copy->images, copy->image_count, sizeof(*copy->images),
	      compare_images);
	copy->catalog = image_of(copy, inspect->catalog.map.base);
	return copy->catalog ? 0 : -EBADMSG;
}

static int add_span(struct tpi_snapshot_image *image, const struct tpi_lane *l)
{
	struct tpi_snapshot_span *spans = image->spans;

	if (image->span_count == image->span_room) {
		image->span_room = image->span_room ? image->span_room * 2 : 64;
		spans = realloc(spans, image->span_room * sizeof(*spans));
		if (!spans)
			return -ENOMEM;
		image->spans = spans;
	}
	spans[image->span_count++] = (struct tpi_snapshot_span){
		.offset = (uint64_t)(l->blocks - image->entry->map.base),
		.bytes = ((uint64_t)l->mask + 1) * l->block_bytes,
	};
	return 0;
}

static int compare_spans(const void *a, const void *b)
{
	const struct tpi_snapshot_span *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int add_lanes(struct tpi_snapshot_copy *copy)
{
	const struct tpi_inspect *inspect = copy->inspect;
	struct tpi_snapshot_image *image;
	uint32_t count = 0;
	int err = 0;

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++)
		count += inspect->channels[c].channel.lane_count;
	copy->lanes = calloc(count + 1, sizeof(*copy->lanes));
	if (!copy->lanes)
		return -ENOMEM;
	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tpi_channel *ch = &inspect->channels[c].channel;

		for (uint32_t i = 0; !err && i < ch->lane_count; i++) {
			copy->lanes[copy->lane_count++] =
				(struct tpi_snapshot_lane){.channel = c,
							   .lane = i};
			image = image_of(copy, ch->lanes[i].shm);
			if (image)
				err = add_span(image, &ch->lanes[i]);
		}
	}
	for (uint32_t i = 0; i < copy->image_count; i++)
		if (copy->images[i].span_count)
			qsort(copy->images[i].spans, copy->images[i].span_count,
			      sizeof(*copy->images[i].spans), compare_spans);
	return err;
}

/* ---- the catalog ------------------------------------------------------------------ */

/* The broker's counters and its clock change all the time, and are of no weight. */
static bool weighs(const struct tpi_catalog *catalog, uint64_t offset)
{
	const unsigned char *at = catalog->map.base + offset;
	const unsigned char *b = (const void *)catalog->broker;
	const unsigned char *p = (const void *)catalog->calibrations;

	if (at >= b && at < b + sizeof(*catalog->broker))
		return at < b + offsetof(struct tapio_shm_broker, budget_bytes);
	return at < p || at >= p + (size_t)catalog->calibration_count *
						 sizeof(*catalog->calibrations);
}

/* Whether the catalog still is as it was copied. */
static bool same_catalog(const struct tpi_snapshot_copy *copy)
{
	const struct tpi_catalog *catalog = &copy->inspect->catalog;
	const uint64_t *live = (const void *)catalog->map.base;
	const uint64_t *mine = (const void *)copy->catalog->copy;
	bool same = true;

	/* ORDER channel.ready (load-load): all that was copied is older than this look.
	 * Pairs with the store-store in tpi_channel_hide(). */
	tpi_fence_load_load();
	for (uint64_t i = 0; same && i < catalog->map.bytes / 8; i++)
		/* Relaxed: single words. */
		same = tpi_load_relaxed(&live[i]) == mine[i] ||
		       !weighs(catalog, i * 8);
	tpi_fence_load_load(); /* and older than what is copied next */
	return same;
}

static bool take_catalog(struct tpi_snapshot_copy *copy)
{
	const struct tpi_map *map = &copy->inspect->catalog.map;

	for (int i = 0; i < CATALOG_TRIES; i++) {
		tpi_copy_once(copy->catalog->copy, map->base, map->bytes);
		if (same_catalog(copy))
			return true;
	}
	return false;
}

/* ---- lanes ------------------------------------------------------------------------ */

/* Of one lane while it is copied: the live one, and ours. */
struct pen {
	struct tpi_snapshot_copy *copy;
	const struct tpi_inspect_channel *channel;
	const struct tapio_shm_group *groups;
	const struct tpi_lane *lane;
	uint64_t *desc; /* ours */
	uint64_t state; /* of which they are */
};

static void copy_descs(struct pen *p, uint64_t from, uint64_t count)
{
	uint32_t mask = p->lane->mask;

	/* Relaxed: after the state, by its acquire. */
	for (; count--; from++)
		p->desc[from & mask] =
			tpi_load_relaxed(&p->lane->desc[from & mask]);
}

/* All of them, whatever the state is. */
static void begin_ring(struct pen *p)
{
	p->state = tpi_lane_peek(p->lane);
	copy_descs(p, 0, (uint64_t)p->lane->mask + 1);
}

/*
 * Until a load of the state finds the one that the copy is of. Each round copies the
 * positions that were published since. A position that was overtaken during its copy is below
 * reap, and its entry is copied again, since it is published again (R1, R2 of check_ring.c).
 */
static bool follow_ring(struct pen *p)
{
	uint64_t n = (uint64_t)p->lane->mask + 1, tail, state;
	int64_t came;

	for (int i = 0; i < FOLLOW_TRIES; i++) {
		/* ORDER lane.state (load-load): the descriptors that were copied, before
		 * this look. Pairs with the order of a section's stores. */
		tpi_fence_load_load();
		state = tpi_lane_peek(p->lane);
		if (state == p->state)
			return true;
		tail = TAPIO_STATE_TAIL(p->state);
		came = tapio_position_diff(TAPIO_STATE_TAIL(state), tail);
		if (came < 0 || (uint64_t)came > n)
			came = (int64_t)n;
		p->state = state;
		copy_descs(p, TAPIO_STATE_TAIL(state) - (uint64_t)came,
			   (uint64_t)came);
	}
	return false;
}

/* One group on the lane. True: the copy is of one head. */
static bool take_cursor(const struct pen *p, uint32_t slot)
{
	const struct tapio_shm_cursor *live =
		&p->channel->cursors[slot].cursors[p->lane->id];
	struct tapio_shm_cursor *mine = ours(p->copy, live);

	for (int i = 0; mine && i < CURSOR_TRIES; i++) {
		/* ORDER cursor.lease (acquire): the cell that it names was filled before.
		 * Pairs with T4, in move(). */
		uint64_t lease = tpi_load_acquire(&live->lease);
		const struct tapio_shm_cell *cell =
			&live->cells[tpi_lease_cell(lease)];
		/* ORDER cursor.head (acquire): the tally that it names was written before.
		 * Pairs with the release of a head by its holder. */
		uint64_t head = tpi_load_acquire(&cell->head);

		tpi_copy_once(mine, live, sizeof(*mine));
		/* ORDER cursor.head (load-load): the copy before this look. Pairs with the
		 * release of a head. ORDER cursor.lease (load-load): the same. Pairs with
		 * T1, in tpi_lease_take(). */
		tpi_fence_load_load();
		if (tpi_load_relaxed(&cell->head) == head &&
		    tpi_load_relaxed(&live->lease) == lease)
			return true;
	}
	return !mine;
}

static bool is_active(const struct pen *p, uint32_t slot)
{
	/* ORDER group.slot (acquire): the slot's words belong to this group. Pairs with
	 * the broker's release when it activates the slot. */
	return p->channel->cursors[slot].cursors &&
	       TAPIO_SLOT_STATE(tpi_load_acquire(&p->groups[slot].slot)) ==
		       TAPIO_SLOT_ACTIVE;
}

static bool take_cursors(const struct pen *p)
{
	bool whole = true;

	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (is_active(p, slot))
			whole &= take_cursor(p, slot);
	return whole;
}

/* Gate, cursors, ring, gate: once. */
static bool take_positions(struct pen *p, struct tapio_shm_lane *mine)
{
	const struct tapio_shm_lane *shm = p->lane->shm;
	/* ORDER lane.gate (acquire): older than the heads, and than the state. Pairs with
	 * the swap in raise_gate() of a value that was computed from them. */
	uint64_t gate = tpi_load_acquire(&shm->gate);
	bool whole = take_cursors(p);

	TPI_TESTPOINT("snapshot.heads");
	whole &= follow_ring(p);
	tpi_copy_once(mine, shm, sizeof(*mine));
	mine->gate = gate;
	mine->state = p->state;
	/* ORDER lane.state (load-load): all of it before this look. Pairs with the order of
	 * a section's stores. */
	tpi_fence_load_load();
	return whole && tpi_load_relaxed(&shm->gate) == gate;
}

static void take_lane(struct pen *p, struct tpi_snapshot_lane *mark)
{
	struct tapio_shm_lane *mine = ours(p->copy, p->lane->shm);
	uint64_t bytes = ((uint64_t)p->lane->mask + 1) * sizeof(uint64_t);
	uint64_t begun;

	mark->flags = TPI_LANE_WHOLE | TPI_LANE_TICKETS | TPI_LANE_STILL;
	if (!mine)
		return; /* at rest: it is made anew when the file is read */
	p->desc = ours(p->copy, p->lane->desc);
	begin_ring(p);
	begun = p->state;
	tpi_copy_once(ours(p->copy, p->lane->tickets), p->lane->tickets, bytes);
	TPI_TESTPOINT("snapshot.tickets");
	if (p->lane->time)
		tpi_copy_once(ours(p->copy, p->lane->time), p->lane->time,
			      bytes);
	for (int i = 0; !take_positions(p, mine); i++)
		if (i == LANE_TRIES) {
			mark->flags = 0;
			return;
		}
	if (p->state != begun)
		mark->flags &= ~TPI_LANE_TICKETS;
}

static struct pen pen_for(struct tpi_snapshot_copy *copy, uint32_t i)
{
	const struct tpi_snapshot_lane *l = &copy->lanes[i];
	const struct tpi_inspect_channel *c =
		&copy->inspect->channels[l->channel];

	return (struct pen){
		.copy = copy,
		.channel = c,
		.groups = tpi_inspect_groups(copy->inspect, l->channel),
		.lane = &c->channel.lanes[l->lane],
	};
}

/* All but blocks, as it comes. Lanes and cursors are taken again, with more care. */
static void take_rest(const struct tpi_snapshot_image *image)
{
	const unsigned char *live = image->entry->map.base;
	uint64_t at = 0, end;

	for (uint32_t i = 0; i <= image->span_count; i++) {
		end = i < image->span_count ? image->spans[i].offset
					    : image->entry->map.bytes & ~7ull;
		/* Spans begin and end at multiples of 64. */
		if (end > at)
			tpi_copy_once(image->copy + at, live + at, end - at);
		if (i < image->span_count &&
		    image->spans[i].offset + image->spans[i].bytes > at)
			at = image->spans[i].offset + image->spans[i].bytes;
	}
}

/* ---- later looks ------------------------------------------------------------------ */

/* But for the words that a member changes by looking alone. */
static bool same_cursor(const struct tapio_shm_cursor *live,
			const struct tapio_shm_cursor *mine)
{
	struct tapio_shm_cursor now, then = *mine;

	tpi_copy_once(&now, live, sizeof(now));
	for (uint32_t i = 0; i < TAPIO_CELLS; i++) {
		now.cells[i].beat = then.cells[i].beat = 0;
		now.cells[i].next = then.cells[i].next = 0;
		now.cells[i].peak = then.cells[i].peak = 0;
	}
	return !memcmp(&now, &then, sizeof(now));
}

static bool same_lane(const struct pen *p)
{
	const struct tapio_shm_lane *mine = ours(p->copy, p->lane->shm);
	struct tapio_shm_lane now;

	if (!mine)
		return true;
	tpi_copy_once(&now, p->lane->shm, sizeof(now));
	if (memcmp(&now, mine, sizeof(now)) != 0)
		return false;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		const struct tapio_shm_cursor *live =
			&p->channel->cursors[slot].cursors[p->lane->id];

		if (is_active(p, slot) && ours(p->copy, live) &&
		    !same_cursor(live, ours(p->copy, live)))
			return false;
	}
	return true;
}

static void look_later(struct tpi_snapshot_copy *copy)
{
	const struct timespec gap = {.tv_nsec = LATER_NS};

	copy->facts.flags |= TPI_SNAPSHOT_CATALOG_STILL;
	for (int look = 0; look < LATER_LOOKS; look++) {
		nanosleep(&gap, NULL);
		if (!same_catalog(copy))
			copy->facts.flags &= ~TPI_SNAPSHOT_CATALOG_STILL;
		for (uint32_t i = 0; i < copy->lane_count; i++) {
			struct pen p = pen_for(copy, i);

			if (copy->lanes[i].flags & TPI_LANE_STILL &&
			    !same_lane(&p))
				copy->lanes[i].flags &= ~TPI_LANE_STILL;
		}
	}
}

/* ---- all of it -------------------------------------------------------------------- */

/* A slot or a channel that has other memory now than the one that we map. */
static bool is_stale(const struct tpi_inspect *inspect)
{
	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tpi_inspect_channel *ic = &inspect->channels[c];
		const struct tapio_shm_group *groups =
			tpi_inspect_groups(inspect, c);

		if (!tpi_inspect_same(inspect, c))
			return true;
		for (uint32_t s = 0; ic->there && s < TAPIO_GROUP_SLOTS; s++)
			if (ic->cursors[s].cursors &&
			    tpi_load_relaxed(&groups[s].epoch) != ic->epochs[s])
				return true;
	}
	return false;
}

static void take_once(struct tpi_snapshot_copy *copy)
{
	bool whole = take_catalog(copy);

	for (uint32_t i = 0; i < copy->image_count; i++)
		if (&copy->images[i] != copy->catalog)
			take_rest(&copy->images[i]);
	for (uint32_t i = 0; i < copy->lane_count; i++) {
		struct pen p = pen_for(copy, i);

		take_lane(&p, &copy->lanes[i]);
	}
	TPI_TESTPOINT("snapshot.lanes");
	copy->facts.flags &= ~TPI_SNAPSHOT_CATALOG_WHOLE;
	if (whole && same_catalog(copy))
		copy->facts.flags |= TPI_SNAPSHOT_CATALOG_WHOLE;
}

int tpi_snapshot_take(struct tpi_snapshot_copy *copy,
		      const struct tpi_inspect *inspect)
{
	int err;

	*copy = (struct tpi_snapshot_copy){.inspect = inspect};
	err = add_images(copy);
	if (!err)
		err = add_lanes(copy);
	if (err)
		return err;
	tpi_snapshot_facts(&copy->facts, inspect);
	do {
		take_once(copy);
		copy->facts.attempts++;
	} while (!(copy->facts.flags & TPI_SNAPSHOT_CATALOG_WHOLE) &&
		 copy->facts.attempts < ATTEMPTS);
	TPI_TESTPOINT("snapshot.taken");
	if (is_stale(inspect))
		return -ESTALE;
	look_later(copy);
	return tpi_snapshot_processes(copy);
}

void tpi_snapshot_drop(struct tpi_snapshot_copy *copy)
{
	for (uint32_t i = 0; i < copy->image_count; i++) {
		munmap(copy->images[i].copy, copy->images[i].entry->map.bytes);
		free(copy->images[i].spans);
	}
	free(copy->images);
	free(copy->lanes);
	free(copy->processes);
	*copy = (struct tpi_snapshot_copy){0};
}
