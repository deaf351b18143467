/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces to partial results. See coding.h. Any program that may emit to the channel may
 * have made the pieces, so each length, index and key is checked before it is used. */
#include <errno.h>
#include <string.h>

#include "lib/lane/histogram.h"
#include "tools/analyze/coding.h"

struct reader {
	struct an_decoder *d;
	struct an_cell *cell; /* of the last K or O */
	struct an_table *table;
	const char *at;
	size_t left;
};

static bool take(struct reader *r, void *to, size_t length)
{
	if (r->left < length)
		return false;
	memcpy(to, r->at, length);
	r->at += length;
	r->left -= length;
	return true;
}

/* ---- records --------------------------------------------------------------- */

static int read_name(struct reader *r, char kind)
{
	struct an_decoder *d = r->d;
	struct an_pane *pane;
	int64_t number;

	if (!take(r, &number, sizeof(number)))
		return -EBADMSG;
	/* Its times must be times. */
	if (number > INT64_MAX / d->spec->slide_ns - AN_PANES_MAX - 1 ||
	    number < INT64_MIN / d->spec->slide_ns + AN_PANES_MAX + 1)
		return -EBADMSG;
	pane = an_delta_pane(&d->delta, d->budget, number);
	if (!pane)
		return -ENOMEM;
	r->table = &pane->table;
	if (kind == 'O') {
		pane->table.has_other = true;
		r->cell = &pane->table.other;
		return r->left ? -EBADMSG : 0;
	}
	if (r->left > AN_KEY_BYTES ||
	    !an_values_check(r->at, (uint32_t)r->left, d->spec->by_count))
		return -EBADMSG;
	r->cell = an_table_cell(r->table, d->spec, d->budget, r->at,
				(uint32_t)r->left);
	if (!r->cell)
		r->cell = an_table_other(r->table, d->budget, r->at,
					 (uint32_t)r->left);
	return 0;
}

static int read_counts(struct reader *r)
{
	struct an_cell from = {0};

	if (!take(r, &from.count, 8) || !take(r, &from.valued, 8) ||
	    !take(r, &from.negative, 8) || !take(r, &from.sum, 16) ||
	    !take(r, &from.min, 16) || !take(r, &from.max, 16) ||
	    !take(r, &from.cut, 4) || r->left)
		return -EBADMSG;
	if (from.valued > from.count || from.negative > from.valued ||
	    from.count > UINT64_MAX / 4 ||
	    (from.valued && from.min > from.max) || from.cut > 7)
		return -EBADMSG;
	an_cell_merge(r->cell, r->d->spec, r->d->budget, &from);
	return 0;
}

static int read_spread(struct reader *r)
{
	while (r->left) {
		uint16_t bucket;
		uint64_t count;

		if (!take(r, &bucket, sizeof(bucket)) ||
		    !take(r, &count, sizeof(count)) ||
		    bucket >= TAPIO_HISTOGRAM_BUCKETS || !count ||
		    count > UINT64_MAX / 4)
			return -EBADMSG;
		if (!an_spread_add(&r->cell->spread, r->d->budget, bucket,
				   count))
			r->cell->cut |= AN_CUT_SPREAD;
	}
	return 0;
}

static int read_distinct(struct reader *r, struct an_distinct *distinct,
			 uint32_t precision)
{
	while (r->left) {
		uint16_t index;
		uint8_t rank;

		if (!take(r, &index, sizeof(index)) || !take(r, &rank, 1) ||
		    index >> precision || !rank || rank > 65 - precision)
			return -EBADMSG;
		if (!an_distinct_raise(distinct, r->d->budget,
				       (uint8_t)precision, index, rank))
			r->cell->cut |= AN_CUT_DISTINCT;
	}
	return 0;
}

static int read_top(struct reader *r)
{
	const struct an_spec *spec = r->d->spec;

	while (r->left) {
		char bytes[AN_VALUE_BYTES];
		uint64_t count, error;
		uint8_t length;

		if (!take(r, &count, 8) || !take(r, &error, 8) ||
		    !take(r, &length, 1) || length > sizeof(bytes) ||
		    !take(r, bytes, length) || error > count || !count ||
		    count > UINT64_MAX / 4 ||
		    !an_values_check(bytes, length, 1))
			return -EBADMSG;
		if (r->cell->top.used >= spec->counters)
			return -EBADMSG;
		if (!an_heavy_add(&r->cell->top, r->d->budget, spec->counters,
				  an_top_hash(bytes, length), bytes, length,
				  count, error))
			r->cell->cut |= AN_CUT_TOP;
	}
	return 0;
}

static int read_contents(struct reader *r, char kind)
{
	if (kind == 'K' || kind == 'O')
		return read_name(r, kind);
	if (!r->cell)
		return -EBADMSG;
	switch (kind) {
	case 'C':
		return read_counts(r);
	case 'S':
		return read_spread(r);
	case 'D':
		return read_distinct(r, &r->cell->distinct,
				     r->d->spec->precision);
	case 'E':
		return read_distinct(r, &r->table->other_keys,
				     AN_PRECISION_DEFAULT);
	case 'T':
		return read_top(r);
	default:
		return -EBADMSG;
	}
}

static int read_records(struct an_decoder *d, const char *bytes, size_t length)
{
	struct reader r = {.d = d};

	while (length) {
		uint16_t contents;
		int err;

		if (length < 4)
			return -EBADMSG;
		memcpy(&contents, bytes + 2, sizeof(contents));
		if (contents > length - 4)
			return -EBADMSG;
		r.at = bytes + 4;
		r.left = contents;
		err = read_contents(&r, bytes[0]);
		if (err)
			return err;
		bytes += 4u + contents;
		length -= 4u + contents;
	}
	return 0;
}

/* ---- pieces ---------------------------------------------------------------- */

bool an_piece_member(const void *bytes, size_t length, uint64_t *member)
{
	struct an_piece head;

	if (length < sizeof(head))
		return false;
	memcpy(&head, bytes, sizeof(head));
	*member = head.member;
	return head.magic == AN_PARTIAL_TYPE;
}

/* With room for a lateness on both sides. */
static bool is_time(int64_t ns)
{
	return ns == INT64_MIN || (ns > INT64_MIN / 2 && ns < INT64_MAX / 2);
}

static int check_head(const struct an_decoder *d, const struct an_piece *head,
		      size_t length)
{
	if (head->magic != AN_PARTIAL_TYPE)
		return -EBADMSG;
	if (head->version != AN_PARTIAL_VERSION)
		return -EPROTONOSUPPORT;
	if (head->digest != d->digest)
		return -ESTALE;
	if (head->length != length || head->reserved ||
	    !is_time(head->watermark_ns) || !is_time(head->began_ns) ||
	    head->last < head->first || head->lost > UINT64_MAX / 4)
		return -EBADMSG;
	return 0;
}

static void begin(struct an_decoder *d, const struct an_piece *head)
{
	an_delta_clear(&d->delta, d->budget);
	d->delta.member = head->member;
	d->delta.sequence = head->sequence;
	d->delta.lane = head->lane;
	d->delta.covers = head->flags & AN_PIECE_COVERS;
	d->delta.leaves = head->flags & AN_PIECE_LEAVES;
	d->delta.reset = head->flags & AN_PIECE_RESET;
	d->delta.moved = head->flags & AN_PIECE_MOVED;
	d->delta.joins = head->flags & AN_PIECE_JOINS;
	d->delta.gaps = head->gaps;
	d->delta.group_lost = head->group_lost;
	d->delta.idle = head->flags & AN_PIECE_IDLE;
	d->delta.has_hole = head->flags & AN_PIECE_HOLE;
	d->delta.first = head->first;
	d->delta.last = head->last;
	d->delta.events = head->events;
	d->delta.passed = head->passed;
	d->delta.future = head->future;
	d->delta.untimed = head->untimed;
	d->delta.lost = head->lost;
	d->delta.lost_from_ns = head->lost_from_ns;
	d->delta.lost_to_ns = head->lost_to_ns;
	d->delta.began_ns = head->began_ns;
	d->delta.watermark_ns = head->watermark_ns;
	d->next = 0;
}

/* The counts of the head and the cells are of the same events. */
static bool adds_up(const struct an_delta *delta)
{
	uint64_t events = 0;

	for (uint32_t i = 0; i < delta->pane_count; i++)
		events += an_table_events(&delta->panes[i].table);
	return events == delta->events;
}

static int fail(struct an_decoder *d, int err)
{
	an_delta_clear(&d->delta, d->budget);
	d->next = UINT32_MAX;
	return err;
}

int an_decoder_take(struct an_decoder *d, const void *bytes, size_t length)
{
	struct an_piece head;
	int err;

	if (length < sizeof(head))
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	err = check_head(d, &head, length);
	if (err)
		return err;
	if (!head.number) {
		begin(d, &head);
	} else if (head.number != d->next ||
		   head.sequence != d->delta.sequence) {
		return fail(d, -ENODATA);
	}
	d->next++;
	err = read_records(d, (const char *)bytes + sizeof(head),
			   length - sizeof(head));
	if (err)
		return fail(d, err);
	if (!(head.flags & AN_PIECE_LAST))
		return 0;
	d->next = 0;
	if (!adds_up(&d->delta))
		return fail(d, -EBADMSG);
	return AN_DECODED;
}

void an_decoder_free(struct an_decoder *d)
{
	an_delta_clear(&d->delta, d->budget);
}
