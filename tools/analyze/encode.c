/* SPDX-License-Identifier: Apache-2.0 */
/* Partial results to pieces. See coding.h. */
#include <string.h>

#include "tools/analyze/coding.h"

#define PIECE_MAX 65536u

struct encoder {
	const struct an_spec *spec;
	an_piece_fn *put;
	void *arg;
	uint32_t max;
	uint32_t used;
	uint32_t record; /* where the open one begins. 0: none */
	int err;
	struct an_piece head;
	/* The begin of each piece. */
	int64_t pane;
	bool is_other;
	bool has_cell;
	const char *key;
	uint32_t key_length;
	char bytes[PIECE_MAX];
};

static void add(struct encoder *e, const void *data, size_t length)
{
	if (length)
		memcpy(e->bytes + e->used, data, length);
	e->used += (uint32_t)length;
}

static void end_record(struct encoder *e)
{
	const uint16_t length = (uint16_t)(e->used - e->record - 4);

	if (e->record)
		memcpy(e->bytes + e->record + 2, &length, sizeof(length));
	e->record = 0;
}

static void begin_record(struct encoder *e, char kind)
{
	const char head[4] = {kind, 0, 0, 0};

	end_record(e);
	e->record = e->used;
	add(e, head, sizeof(head));
}

static void name_cell(struct encoder *e)
{
	begin_record(e, e->is_other ? 'O' : 'K');
	add(e, &e->pane, sizeof(e->pane));
	if (!e->is_other)
		add(e, e->key, e->key_length);
	end_record(e);
}

static void begin_piece(struct encoder *e)
{
	e->used = sizeof(e->head);
	if (e->has_cell)
		name_cell(e);
}

static void end_piece(struct encoder *e, uint16_t flags)
{
	end_record(e);
	e->head.flags |= flags;
	e->head.length = e->used;
	memcpy(e->bytes, &e->head, sizeof(e->head));
	if (!e->err)
		e->err = e->put(e->arg, e->bytes, e->used);
	e->head.number++;
}

/* Makes room for a whole record, or for one more part of the open one. */
static void need(struct encoder *e, char kind, uint32_t length)
{
	if (e->used + (e->record ? 0 : 4) + length > e->max) {
		end_piece(e, 0);
		begin_piece(e);
	}
	if (!e->record)
		begin_record(e, kind);
}

static void put_counts(struct encoder *e, const struct an_cell *cell)
{
	const uint64_t counts[] = {cell->count, cell->valued, cell->negative};
	const __int128 values[] = {cell->sum, cell->min, cell->max};

	need(e, 'C', sizeof(counts) + sizeof(values) + sizeof(cell->cut));
	add(e, counts, sizeof(counts));
	add(e, values, sizeof(values));
	add(e, &cell->cut, sizeof(cell->cut));
	end_record(e);
}

static void put_spread(struct encoder *e, const struct an_spread *s)
{
	for (uint32_t i = 0; s->total && i < TAPIO_HISTOGRAM_BUCKETS; i++) {
		const uint64_t count = an_spread_bucket(s, i);
		const uint16_t bucket = (uint16_t)i;

		if (!count)
			continue;
		need(e, 'S', sizeof(bucket) + sizeof(count));
		add(e, &bucket, sizeof(bucket));
		add(e, &count, sizeof(count));
	}
	end_record(e);
}

static void put_register(struct encoder *e, char kind, uint32_t index,
			 uint8_t rank)
{
	const uint16_t short_index = (uint16_t)index;

	need(e, kind, sizeof(short_index) + 1);
	add(e, &short_index, sizeof(short_index));
	add(e, &rank, 1);
}

static void put_distinct(struct encoder *e, char kind,
			 const struct an_distinct *d)
{
	const uint32_t count = d->registers ? UINT32_C(1) << d->precision : 0;

	for (uint32_t i = 0; i < d->listed; i++)
		put_register(e, kind, d->list[i] >> 8, (uint8_t)d->list[i]);
	for (uint32_t i = 0; i < count; i++)
		if (d->registers[i])
			put_register(e, kind, i, d->registers[i]);
	end_record(e);
}

static void put_top(struct encoder *e, const struct an_heavy *h)
{
	for (uint32_t i = 0; i < h->used; i++) {
		const struct an_counter *c = &h->counters[i];
		const uint8_t length = (uint8_t)c->length;

		need(e, 'T', 17u + length);
		add(e, &c->count, 8);
		add(e, &c->error, 8);
		add(e, &length, 1);
		add(e, c->bytes, length);
	}
	end_record(e);
}

static void put_cell(struct encoder *e, const struct an_cell *cell)
{
	/* With room for its name and its counts, so that neither stands alone. */
	if (e->used + 4 + 8 + e->key_length + 100 > e->max) {
		e->has_cell = false;
		end_piece(e, 0);
		begin_piece(e);
	}
	e->has_cell = true;
	name_cell(e);
	put_counts(e, cell);
	put_spread(e, &cell->spread);
	put_distinct(e, 'D', &cell->distinct);
	put_top(e, &cell->top);
}

static void put_pane(struct encoder *e, const struct an_pane *pane)
{
	const struct an_table *t = &pane->table;

	e->pane = pane->number;
	e->is_other = false;
	for (uint32_t i = 0; i < t->used && !e->err; i++) {
		e->key = an_table_key(t, &t->entries[i]);
		e->key_length = t->entries[i].key_length;
		put_cell(e, &t->entries[i].cell);
	}
	if (!t->has_other)
		return;
	e->is_other = true;
	e->key_length = 0;
	put_cell(e, &t->other);
	put_distinct(e, 'E', &t->other_keys);
}

static struct an_piece head_of(const struct an_delta *d,
			       const struct an_spec *spec)
{
	return (struct an_piece){
		.magic = AN_PARTIAL_TYPE,
		.version = AN_PARTIAL_VERSION,
		.flags = (uint16_t)((d->covers ? AN_PIECE_COVERS : 0) |
				    (d->leaves ? AN_PIECE_LEAVES : 0) |
				    (d->reset ? AN_PIECE_RESET : 0) |
				    (d->moved ? AN_PIECE_MOVED : 0) |
				    (d->joins ? AN_PIECE_JOINS : 0) |
				    (d->idle ? AN_PIECE_IDLE : 0) |
				    (d->has_hole ? AN_PIECE_HOLE : 0)),
		.digest = an_spec_digest(spec),
		.member = d->member,
		.sequence = d->sequence,
		.lane = d->lane,
		.first = d->first,
		.last = d->last,
		.events = d->events,
		.passed = d->passed,
		.future = d->future,
		.untimed = d->untimed,
		.lost = d->lost,
		.gaps = d->gaps,
		.group_lost = d->group_lost,
		.lost_from_ns = d->lost_from_ns,
		.lost_to_ns = d->lost_to_ns,
		.began_ns = d->began_ns,
		.watermark_ns = d->watermark_ns,
	};
}

int an_delta_encode(const struct an_delta *delta, const struct an_spec *spec,
		    uint32_t max, an_piece_fn *piece, void *arg)
{
	/* One thread encodes at a time: the member's. */
	static _Thread_local struct encoder e;

	e.spec = spec;
	e.put = piece;
	e.arg = arg;
	e.max = max < PIECE_MAX ? max : PIECE_MAX;
	e.record = 0;
	e.err = 0;
	e.has_cell = false;
	e.head = head_of(delta, spec);
	begin_piece(&e);
	for (uint32_t i = 0; i < delta->pane_count && !e.err; i++)
		put_pane(&e, &delta->panes[i]);
	end_piece(&e, AN_PIECE_LAST);
	return e.err;
}
