/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each finding once, over a kill at any instant.
 *
 * One round, and where things are after each step:
 *
 *	S0  events are taken, and the engine makes findings       memory alone
 *	S1  the new state is written beside the old one, synced   a file without effect
 *	S2  it gets the old one's name                            S: engine, outbox, emitted = 0
 *	S3  the echo releases all that was emitted before       the echo's group
 *	S4  the events are released                               the groups of the channels
 *	S5  finding k is emitted                                  the channel of findings
 *	S6  emitted = k + 1, in place                             S
 *	    S5 and S6 for each finding of the outbox, then S0
 *
 * The next round begins when the outbox is empty. So a state is replaced only when all findings
 * of its outbox are emitted.
 *
 * NOTHING IS LOST. An event is released (S4) only when a state that has seen it has its name
 * (S2). So after a kill it is in the state, or the group delivers it again. A finding is in the outbox
 * of that state, or its events come again and make it again: the engine's findings depend on its
 * events alone.
 *
 * NOTHING COMES TWICE. The engine passes over events that its state has seen, by their place (lane and
 * position, of that memory). A finding is emitted (S5) only when a state that has seen its events has
 * its name. So no later run makes it again; it may only find it in the outbox.
 *
 * SIGKILL
 *	before S2     The old state counts. Its outbox is all emitted. All events since then come
 *	              again. None of their findings was emitted. An unfinished file beside it is
 *	              written anew.
 *	S2 to S4      The new state counts, and emitted is 0. Released or not, its events are
 *	              passed over.
 *	before S5     emitted = k: findings before k were emitted, and those behind k were not.
 *	S5 to S6      The same word, and k was emitted. k is THE finding in doubt, and the only one.
 *	              The echo tells (echo.h): it holds all that was emitted since S3, and S3 was after
 *	              all that the outbox before had.
 *	after S6      k is not in doubt.
 *
 * A kill of the broker changes nothing of this: its memory is taken over, with the places of
 * groups. If the memory itself is lost (docs/guide/durable.md), with events that were not read,
 * the state says so by the name of that memory, and the engine gets a gap. The finding in doubt
 * is emitted in the new memory then, with the same id.
 *
 * Where the echo has lost events (others have filled its channel meanwhile, beyond the group's lag)
 * nothing can tell. Then the finding in doubt is emitted, and a message says that it may be there
 * twice. Its id is the same.
 *
 * Standard output is no channel: a line is written between S5 and S6, so a kill there repeats it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/testpoint.h"
#include "tools/correlate/live_inner.h"
#include "tools/correlate/print.h"

/* A finding does not wait longer for the next store, unless there are many. */
#define SOON_NS INT64_C(20000000)
/* Between two tries for room in the channel: doubled up to the second. */
#define PAUSE_NS     INT64_C(1000000)
#define PAUSE_MAX_NS INT64_C(50000000)

/* ---- S0 ------------------------------------------------------------------------------ */

static size_t room_of(const struct tpi_live *live)
{
	size_t max =
		live->emits
			? tapio_producer_max_bytes(live->collector->producer)
			: 0;

	return max && max < live->buffer_bytes ? max : live->buffer_bytes;
}

void tpi_live_finding(void *arg, const struct tpi_corr_finding *finding)
{
	struct tpi_live *live = arg;
	int length = tpi_finding_build(live->buffer, room_of(live), live->corr,
				       finding, 0);
	int err = length < 0 ? length
			     : tpi_outbox_add(&live->box, live->buffer,
					      (size_t)length);

	tpi_sink_count_read(&live->sink, TPI_CORRELATE_FINDING, 1);
	if (!err)
		return;
	tpi_sink_count_refused(&live->sink, TPI_CORRELATE_FINDING, err, 1);
	tpi_say("rule %s: a finding cannot be kept: %s", finding->rule,
		strerror(-err));
}

/* ---- S1 to S4 ------------------------------------------------------------------------- */

static int store_state(struct tpi_live *live)
{
	void *inputs = NULL, *engine = NULL;
	size_t inputs_bytes = 0, engine_bytes = 0;
	int err = tpi_inputs_save(&live->inputs, &inputs, &inputs_bytes);

	if (!err)
		err = tpi_corr_save(live->corr, &engine, &engine_bytes);
	if (!err) {
		const struct tpi_state_part parts[TPI_STATE_PARTS] = {
			[TPI_STATE_INPUTS] = {inputs, inputs_bytes},
			[TPI_STATE_OUTBOX] = {live->box.data, live->box.used},
			[TPI_STATE_ENGINE] = {engine, engine_bytes},
		};

		err = tpi_state_store(&live->state, parts);
	}
	free(inputs);
	free(engine);
	return err;
}

/* False: the state cannot be stored now, and nothing may be released or emitted. */
static bool store(struct tpi_live *live)
{
	live->store_ns = tpi_monotonic_ns();
	if (live->state.path && store_state(live))
		return false;
	if (live->echo.consumer)
		tpi_echo_release(&live->echo);
	TPI_TESTPOINT("correlate.echo.released");
	tpi_inputs_release(&live->inputs);
	TPI_TESTPOINT("correlate.inputs.released");
	live->stored = true;
	live->pause_ns = PAUSE_NS;
	return true;
}

/* ---- S5 and S6 -------------------------------------------------------------------------- */

static bool no_room(int err)
{
	return err == -EAGAIN || err == -ETIMEDOUT || err == -ENOBUFS;
}

static int output(struct tpi_live *live, const void *event, uint32_t length)
{
	struct tpi_collector *c = live->collector;
	const struct tapio_event *header = event;
	int err = -EMSGSIZE;

	/* An event that an old memory takes now may be lost with it. */
	if (tpi_collector_away(c))
		return -EAGAIN;
	if (c->urgent_class >= 0)
		err = tapio_output(c->producer,
				   TAPIO_TAG_CLASS(header->type,
						   header->severity,
						   c->urgent_class),
				   event, length);
	/* Too long for that class: better another one than none. */
	if (err == -EMSGSIZE)
		err = tapio_output(c->producer, TAPIO_EVENT_TAG(header), event,
				   length);
	return err;
}

static void print(struct tpi_live *live, const void *event, uint32_t length)
{
	int err;

	if (live->broken)
		return;
	err = tpi_print_finding(live->values->output, event, length);
	if (!err)
		return;
	/* The channel matters. Without one, a finding that is not printed is lost. */
	live->broken = true;
	if (!live->emits)
		tpi_collector_fail(live->collector,
				   err == -EPIPE ? TPI_EXIT_OK
						 : TPI_EXIT_FAILURE,
				   "cannot write findings: %s", strerror(-err));
	else
		tpi_say("cannot write findings to standard output: %s; they go "
			"on to the channel",
			strerror(-err));
}

static void pass(struct tpi_live *live)
{
	int err;

	tpi_outbox_pass(&live->box);
	if (!live->state.path)
		return;
	err = tpi_state_emitted(&live->state, live->box.emitted);
	if (err)
		tpi_say("cannot note in %s what was emitted: %s",
			live->state.path, strerror(-err));
	TPI_TESTPOINT("correlate.emitted.noted");
}

/* False: the channel has no room now. */
static bool emit_one(struct tpi_live *live, const void *event, uint32_t length)
{
	int err = live->emits ? output(live, event, length) : 0;

	if (no_room(err))
		return false;
	TPI_TESTPOINT("correlate.finding.emitted");
	if (err)
		tpi_sink_count_refused(&live->sink, TPI_CORRELATE_FINDING, err,
				       1);
	else
		tpi_sink_count_emitted(&live->sink, TPI_CORRELATE_FINDING, 1);
	print(live, event, length);
	pass(live);
	return true;
}

static void emit(struct tpi_live *live)
{
	const void *event;
	uint32_t length;

	while ((event = tpi_outbox_next(&live->box, &length))) {
		if (!emit_one(live, event, length)) {
			live->retry_ns = tpi_monotonic_ns() + live->pause_ns;
			if (live->pause_ns < PAUSE_MAX_NS)
				live->pause_ns *= 2;
			return;
		}
		live->pause_ns = PAUSE_NS;
	}
	tpi_outbox_clear(&live->box);
	live->stored = false;
}

/* ---- when ---------------------------------------------------------------------------------- */

int64_t tpi_live_due_ns(const struct tpi_live *live)
{
	uint64_t sum, most = tpi_inputs_held(&live->inputs, &sum);

	if (live->stored)
		return live->retry_ns;
	if (!sum && !live->box.count)
		return INT64_MAX;
	if (!live->state.path)
		return 0;
	if (most >= live->values->hold && !live->state.failed)
		return 0;
	if (live->box.count && !live->state.failed)
		return live->store_ns + (live->values->store_ns < SOON_NS
						 ? live->values->store_ns
						 : SOON_NS);
	return live->store_ns + live->values->store_ns;
}

void tpi_live_settle(struct tpi_live *live, bool all)
{
	if (!all && tpi_monotonic_ns() < tpi_live_due_ns(live))
		return;
	if (!live->stored && !store(live))
		return;
	emit(live);
}

/* ---- after a kill --------------------------------------------------------------------------- */

static void load_failed(struct tpi_live *live, const char *what, int err)
{
	tpi_collector_fail(live->collector, TPI_EXIT_FAILURE,
			   "the state in %s: %s: %s; without it (move it away) "
			   "all windows begin anew",
			   live->state.path, what, strerror(-err));
}

static bool was_emitted(const struct tpi_live *live, const void *event,
			uint32_t length)
{
	const struct tapio_event_finding *f;
	struct tapio_event_view v;

	if (tapio_event_view_init(&v, event, length))
		return false; /* it was looked at when it was loaded */
	f = tapio_event_view_fields(&v, TAPIO_EVENT_FINDING);
	return f && tpi_echo_has(&live->echo, f->finding_id);
}

/* The finding in doubt: it may have been emitted. More than one are if S6 has failed. */
static bool resolve(struct tpi_live *live)
{
	uint32_t length;
	const void *event = tpi_outbox_next(&live->box, &length);

	if (!event || !live->echo.consumer)
		return true;
	if (tpi_echo_read(&live->echo))
		return tpi_collector_fail(live->collector, TPI_EXIT_FAILURE,
					  "out of memory");
	if (!live->echo.sure)
		tpi_say("channel '%s' does not tell any more whether the last "
			"finding was emitted: it may be there twice, with one id",
			live->echo.channel);
	for (; event && was_emitted(live, event, length);
	     event = tpi_outbox_next(&live->box, &length)) {
		print(live, event, length);
		pass(live);
	}
	return true;
}

bool tpi_live_resume(struct tpi_live *live)
{
	const struct tpi_state_part *parts = live->state.parts;
	int err = 0;

	if (!live->state.content)
		return true;
	err = tpi_inputs_load(&live->inputs, parts[TPI_STATE_INPUTS].data,
			      parts[TPI_STATE_INPUTS].length);
	if (err) {
		load_failed(live, "channels", err);
		return false;
	}
	err = tpi_outbox_load(&live->box, parts[TPI_STATE_OUTBOX].data,
			      parts[TPI_STATE_OUTBOX].length,
			      live->state.emitted);
	if (err) {
		load_failed(live, "findings", err);
		return false;
	}
	err = tpi_corr_load(live->corr, parts[TPI_STATE_ENGINE].data,
			    parts[TPI_STATE_ENGINE].length);
	if (err) {
		load_failed(live, "rules", err);
		return false;
	}
	tpi_state_forget(&live->state);
	/* S2 was done. S5 goes on. */
	live->stored = live->box.count != 0;
	live->pause_ns = PAUSE_NS;
	return resolve(live);
}
