/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that tapio-analyze reads of others: pieces of partial results, and lines of recordings.
 * Whatever they are,
 *   - a piece is refused, or its cells add up to what its head says;
 *   - what was taken comes out whole when it is encoded and decoded again;
 *   - the windows have exactly the events that were taken, and no more memory is used than
 *     is allowed;
 *   - each line of output is valid JSON.
 *
 * The first byte says which: 0 a piece whose head is put right, 1 as it is, 2 lines.
 */
#include <string.h>

#include "fuzz.h"
#include "tools/analyze/coding.h"
#include "tools/analyze/replay.h"

static struct an_spec spec;
static struct an_budget budget;
static struct an_reporter reporter;
static uint64_t events;

static void set_up(void)
{
	memset(&spec, 0, sizeof(spec));
	memset(&reporter, 0, sizeof(reporter));
	budget = (struct an_budget){.max_bytes = 1 << 20};
	spec.by_count = 2;
	tpi_field_find(&spec.by[0], "severity");
	tpi_field_find(&spec.by[1], "comm");
	spec.window_ns = spec.slide_ns = 1000000000;
	spec.keys_max = 20;
	spec.counters = 16;
	spec.precision = 6;
	spec.has_value = spec.has_distinct = spec.has_top = true;
	tpi_field_find(&spec.value, "duration_ns");
	tpi_field_find(&spec.distinct, "comm");
	tpi_field_find(&spec.top, "peer");
	reporter.o.spec = &spec;
	reporter.o.top = 5;
	reporter.o.quantile_count = 2;
	reporter.o.quantiles[0] = 0.5;
	reporter.o.quantiles[1] = 0.99;
	reporter.budget = &budget;
	events = 0;
}

static void check_lines(void)
{
	size_t from = 0;

	for (size_t i = 0; i < reporter.used; i++) {
		if (reporter.text[i] != '\n')
			continue;
		FUZZ_CHECK(fuzz_json_valid(reporter.text + from, i - from));
		from = i + 1;
	}
	FUZZ_CHECK(from == reporter.used);
	reporter.used = 0;
}

static void take_result(void *arg, const struct an_result *result)
{
	(void)arg;
	events += result->events;
	FUZZ_CHECK(budget.used_bytes <= budget.max_bytes);
	FUZZ_CHECK(result->start_ns < result->end_ns);
	an_report_json(&reporter, result);
	check_lines();
	an_report_text(&reporter, result);
	reporter.used = 0;
}

static uint64_t events_of(const struct an_delta *delta)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < delta->pane_count; i++)
		sum += an_table_events(&delta->panes[i].table);
	return sum;
}

struct again {
	struct an_decoder decoder;
	int last;
};

static int decode_again(void *arg, const void *bytes, uint32_t length)
{
	struct again *again = arg;

	again->last = an_decoder_take(&again->decoder, bytes, length);
	return 0;
}

/* Memory may be short, and then keys move to `other`: the events stay. */
static void check_again(const struct an_delta *delta)
{
	struct again again = {.decoder = {.spec = &spec,
					  .budget = &budget,
					  .digest = an_spec_digest(&spec)}};

	FUZZ_CHECK(!an_delta_encode(delta, &spec, 600, decode_again, &again));
	if (again.last == AN_DECODED)
		FUZZ_CHECK(events_of(&again.decoder.delta) == delta->events);
	an_decoder_free(&again.decoder);
}

static void try_piece(const uint8_t *data, size_t size, bool put_right,
		      struct an_merger *merger)
{
	struct an_decoder decoder = {.spec = &spec,
				     .budget = &budget,
				     .digest = an_spec_digest(&spec)};
	uint8_t *copy = malloc(size + 1);
	struct an_piece head;
	uint64_t wanted = 0;

	memcpy(copy, data, size);
	if (put_right && size >= sizeof(head)) {
		memcpy(&head, copy, sizeof(head));
		head.magic = AN_PARTIAL_TYPE;
		head.version = AN_PARTIAL_VERSION;
		head.digest = decoder.digest;
		head.length = (uint32_t)size;
		head.reserved = 0;
		head.number = 0;
		memcpy(copy, &head, sizeof(head));
	}
	if (an_decoder_take(&decoder, copy, size) == AN_DECODED) {
		wanted = decoder.delta.events;
		FUZZ_CHECK(events_of(&decoder.delta) == wanted);
		check_again(&decoder.delta);
		an_merger_take(merger, &decoder.delta, 0);
		an_merger_look(merger, 0);
	}
	an_merger_finish(merger, true);
	/* All in windows, or lost for want of memory, and counted so. */
	FUZZ_CHECK(events <= wanted || wanted > UINT64_MAX / 8);
	an_decoder_free(&decoder);
	free(copy);
}

static void try_lines(const char *text, size_t size, struct an_merger *merger)
{
	struct an_replay *replay = an_replay_new(&spec, &budget, merger);
	char why[AN_REPLAY_WHY_BYTES];

	while (size) {
		const char *end = memchr(text, '\n', size);
		const size_t length = end ? (size_t)(end - text) : size;

		an_replay_line(replay, text, length, why);
		text += length + !!end;
		size -= length + !!end;
	}
	an_replay_flush(replay);
	an_merger_finish(merger, true);
	FUZZ_CHECK(an_merger_totals(merger)->events >= events);
	an_replay_free(replay);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct an_merger *merger;

	if (!size || size > 65536)
		return 0;
	set_up();
	merger = an_merger_new(&spec, &budget, INT64_MIN, 0, take_result, NULL);
	FUZZ_CHECK(merger != NULL);
	reporter.merger = merger;
	if (data[0] % 3 == 2)
		try_lines((const char *)data + 1, size - 1, merger);
	else
		try_piece(data + 1, size - 1, !(data[0] % 3), merger);
	an_merger_free(merger);
	an_reporter_free(&reporter);
	FUZZ_CHECK(!budget.used_bytes);
	return 0;
}
