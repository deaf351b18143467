/* SPDX-License-Identifier: Apache-2.0 */
/* --replay: from a file to its windows. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tools/analyze/replay.h"
#include "tools/emit/emit.h"

static int read_file(const struct an_arguments *args, struct an_replay *r,
		     const struct an_reporter *reporter)
{
	struct tpi_input input;
	struct tpi_line line;
	char why[AN_REPLAY_WHY_BYTES];
	int got = tpi_input_open(&input, args->replay), status = 0;

	if (got) {
		tpi_say("%s: %s", args->replay, strerror(-got));
		tpi_input_close(&input);
		return TPI_EXIT_FAILURE;
	}
	while (!reporter->err &&
	       !(reporter->limit && reporter->shown >= reporter->limit) &&
	       (got = tpi_input_line(&input, &line)) > 0) {
		if (line.cut)
			strcpy(why, "it is longer than an event can be");
		else if (!line.length ||
			 an_replay_line(r, line.text, line.length, why))
			continue;
		tpi_say("%s, line %" PRIu64 ": %s", args->replay, input.line,
			why);
		status = TPI_EXIT_FAILURE;
		break;
	}
	if (got < 0 && got != -EINTR) {
		tpi_say("%s: %s", args->replay, strerror(-got));
		status = TPI_EXIT_FAILURE;
	}
	tpi_input_close(&input);
	return status;
}

int an_run_replay(struct an_arguments *args, struct an_reporter *reporter)
{
	struct an_merger *merger = an_merger_new(
		&args->spec, &args->budget, INT64_MIN, 0, an_report, reporter);
	struct an_replay *r =
		merger ? an_replay_new(&args->spec, &args->budget, merger)
		       : NULL;
	int status = TPI_EXIT_FAILURE;

	reporter->merger = merger;
	if (r) {
		status = read_file(args, r, reporter);
		an_replay_flush(r);
		an_merger_finish(merger, !status && !tpi_stop_signal());
		an_say_totals(args, reporter);
		if (reporter->err && reporter->err != -EPIPE)
			status = TPI_EXIT_FAILURE;
	} else {
		tpi_say("no memory");
	}
	an_replay_free(r);
	an_merger_free(merger);
	return status;
}
