/* SPDX-License-Identifier: Apache-2.0 */
/* Partial results through a channel. See the header. */
#include "tools/analyze/partials.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/tool.h"

#define MEMBERS_MAX 256u
#define PAUSE_NS    INT64_C(1000000)
#define STOP_NS     INT64_C(1000000000)

/* ---- the member's end ------------------------------------------------------- */

/* Room may come, or a lane. Nothing else gets better. */
static bool may_be_tried_again(int err)
{
	return err == -EAGAIN || err == -ETIMEDOUT || err == -ENOBUFS;
}

static int emit_piece(void *arg, const void *bytes, uint32_t length)
{
	struct an_emitter *e = arg;
	const uint32_t tag = TAPIO_TAG(AN_PARTIAL_TYPE, TAPIO_SEVERITY_INFO);
	int64_t end_ns = INT64_MAX;
	int err;

	for (;;) {
		err = tapio_output(e->producer, tag, bytes, length);
		if (!may_be_tried_again(err))
			break;
		if (tpi_stop_signal() && end_ns == INT64_MAX)
			end_ns = tpi_monotonic_ns() + STOP_NS;
		if (tpi_monotonic_ns() >= end_ns)
			return -EINTR;
		if (!tpi_sleep_until(tpi_monotonic_ns() + PAUSE_NS))
			sched_yield();
	}
	if (err)
		tapio_producer_explain(e->producer, err, tag, length, e->error,
				       sizeof(e->error));
	else
		e->pieces++;
	return err;
}

int an_emit(void *arg, struct an_delta *delta)
{
	struct an_emitter *e = arg;
	int err = an_delta_encode(delta, e->spec,
				  tapio_producer_max_bytes(e->producer),
				  emit_piece, e);

	if (!err)
		an_delta_clear(delta, e->budget);
	return err;
}

/* ---- the merger's end ------------------------------------------------------- */

static struct an_decoder *decoder_of(struct an_collector *c, uint64_t member)
{
	struct an_decoder *d;

	if (!c->decoders) {
		c->decoders = an_grow(c->budget, NULL, 0,
				      MEMBERS_MAX * sizeof(*c->decoders));
		if (!c->decoders)
			return NULL;
	}
	for (uint32_t i = 0; i < c->count; i++)
		if (c->decoders[i].delta.member == member)
			return &c->decoders[i];
	if (c->count == MEMBERS_MAX) {
		/* Members that were killed do not say that they leave. */
		an_decoder_free(&c->decoders[0]);
		memmove(c->decoders, c->decoders + 1,
			--c->count * sizeof(*c->decoders));
	}
	d = &c->decoders[c->count++];
	*d = (struct an_decoder){.spec = c->spec,
				 .budget = c->budget,
				 .digest = an_spec_digest(c->spec)};
	d->delta.member = member;
	return d;
}

static void forget(struct an_collector *c, struct an_decoder *d)
{
	an_decoder_free(d);
	*d = c->decoders[--c->count];
}

static void take_gap(struct an_collector *c, const struct tapio_view *view)
{
	struct tapio_gap gap = {0};

	memcpy(&gap, view->data,
	       view->length < sizeof(gap) ? view->length : sizeof(gap));
	if (gap.cause == TAPIO_GAP_INSTANCE)
		an_merger_moved(c->merger, gap.count + gap.first);
	else
		an_merger_lose(c->merger, gap.count);
}

/* A delta that is whole goes to the merger. */
static void add(struct an_collector *c, struct an_decoder *d, int err,
		int64_t monotonic_ns)
{
	bool leaves;

	switch (err) {
	case AN_DECODED:
		leaves = d->delta.leaves;
		an_merger_take(c->merger, &d->delta, monotonic_ns);
		if (leaves)
			forget(c, d);
		return;
	case 0:
		return;
	case -ESTALE:
	case -EPROTONOSUPPORT:
		c->stale++;
		return;
	case -ENODATA:
		c->unended++;
		return;
	default:
		/* Its events were to be counted, if it was meant well. */
		c->foreign++;
		an_merger_lose(c->merger, 1);
		return;
	}
}

void an_collect(struct an_collector *c, struct tapio_consumer *consumer,
		const struct tapio_view *view, int64_t monotonic_ns)
{
	struct an_decoder *d;
	uint64_t member;
	char *copy;
	int err;

	if (view->flags & TAPIO_VIEW_GAP) {
		take_gap(c, view);
		return;
	}
	/* A copy, since a length that is checked must stay as it is. */
	copy = malloc(view->length + 1u);
	if (copy)
		memcpy(copy, view->data, view->length);
	if (!copy || tapio_view_intact(consumer, view) != 1) {
		an_merger_lose(c->merger, 1);
		goto out;
	}
	if (view->type != AN_PARTIAL_TYPE ||
	    !an_piece_member(copy, view->length, &member)) {
		c->foreign++;
		goto out;
	}
	d = decoder_of(c, member);
	err = d ? an_decoder_take(d, copy, view->length) : -ENOMEM;
	add(c, d, err, monotonic_ns);
out:
	free(copy);
}

void an_collector_free(struct an_collector *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		an_decoder_free(&c->decoders[i]);
	an_give(c->budget, c->decoders, MEMBERS_MAX * sizeof(*c->decoders));
	c->decoders = NULL;
}
