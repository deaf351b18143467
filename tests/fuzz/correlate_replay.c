/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as lines of a recording. A line is refused with a reason, passed over, or
 * becomes an event that the library reads, or a gap. The same lines give the same numbers again.
 */
#include <errno.h>
#include <string.h>

#include <tapio/event.h>

#include "fuzz.h"
#include "tools/correlate/replay.h"

static const char text[] =
	"rule all { k: has severity or not has pid count(k) >= 1 within 1s }";

static void on_finding(void *arg, const struct tpi_corr_finding *f)
{
	uint64_t *findings = arg;
	struct tapio_event_view view;

	FUZZ_CHECK(f->evidence_count == 1 && f->evidence[0].data);
	FUZZ_CHECK(!tapio_event_view_init(&view, f->evidence[0].data,
					  f->evidence[0].length));
	FUZZ_CHECK(view.type && view.header.time_ns);
	++*findings;
}

/* One line, in memory of its own. */
static void feed(struct tpi_corr *corr, const uint8_t *data, size_t size)
{
	char why[TPI_REPLAY_WHY_BYTES];
	char *line = malloc(size + !size);
	uint64_t time_ns;
	int result;

	FUZZ_CHECK(line);
	memcpy(line, data, size);
	result = tpi_replay_line(corr, line, size, &time_ns, why);
	FUZZ_CHECK(result == 1 || result == 0 || result == -EINVAL ||
		   result == -ENOSPC);
	FUZZ_CHECK(result >= 0 || why[0]);
	free(line);
}

static void replay(const uint8_t *data, size_t size, uint64_t *findings,
		   struct tpi_corr_stats *stats)
{
	const struct tpi_corr_options options = {.on_finding = on_finding,
						 .arg = findings};
	struct tpi_rules_errors errors;
	struct tpi_rules *rules;
	struct tpi_corr *corr;

	*findings = 0;
	FUZZ_CHECK(!tpi_rules_parse("fuzz", text, sizeof(text) - 1, &rules,
				    &errors));
	FUZZ_CHECK(!tpi_corr_new(&corr, rules, &options));
	while (size) {
		const uint8_t *end = memchr(data, '\n', size);
		const size_t length = end ? (size_t)(end - data) : size;

		feed(corr, data, length);
		data += length + !!end;
		size -= length + !!end;
	}
	tpi_corr_time(corr, UINT64_MAX);
	tpi_corr_stats(corr, stats);
	tpi_corr_free(corr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tpi_corr_stats first, second;
	uint64_t findings, again;

	replay(data, size, &findings, &first);
	FUZZ_CHECK(findings == first.candidates && !first.malformed);
	replay(data, size, &again, &second);
	FUZZ_CHECK(findings == again && first.events == second.events &&
		   first.gaps == second.gaps && first.again == second.again);
	return 0;
}
