/* SPDX-License-Identifier: Apache-2.0 */
/* tapio-bench: options, machine, turns, report. */
#include <errno.h>
#include <locale.h>
#include <time.h>

#include "bench/frame/frame.h"
#include "tools/common/tool.h"

static bool tapio_failed(const struct bench_results *results)
{
	for (unsigned int i = 0; i < results->question_count; i++) {
		const struct bench_question_result *q = &results->questions[i];

		for (unsigned int j = 0; j < q->case_count; j++)
			for (unsigned int k = 0; k < q->cases[j].subjects;
			     k++) {
				const struct bench_outcome *s =
					&q->cases[j].subject[k];

				if (s->of->peer->kind == BENCH_TAPIO &&
				    s->state == BENCH_FAILED)
					return true;
			}
	}
	return false;
}

static bool is_misplaced(const struct bench_results *results)
{
	for (unsigned int i = 0; i < results->question_count; i++)
		if (results->questions[i].placed.short_cases)
			return true;
	return false;
}

static void note_start(struct bench_results *results)
{
	time_t now = time(NULL);
	struct tm utc;

	bench_machine_read(&results->machine);
	gmtime_r(&now, &utc);
	strftime(results->started, sizeof(results->started),
		 "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static int run(const struct bench_options *options,
	       struct bench_results *results)
{
	int err;

	if (options->json && bench_json_check(options->json))
		return TPI_EXIT_FAILURE;
	note_start(results);
	tpi_signals_init();
	if (options->table)
		bench_table_head(options, results);
	err = bench_turns(options, results);
	if (err == -EINTR) {
		tpi_say("stopped");
		return 128 + tpi_stop_signal();
	}
	if (err) {
		tpi_say("out of memory");
		return TPI_EXIT_FAILURE;
	}
	if (options->table)
		bench_table_summary(options, results);
	if (options->json && bench_json_write(options->json, options, results))
		return TPI_EXIT_FAILURE;
	if (tapio_failed(results))
		return TPI_EXIT_FAILURE;
	return is_misplaced(results) ? BENCH_EXIT_MISPLACED : TPI_EXIT_OK;
}

int main(int argc, char **argv)
{
	static struct bench_options options;
	struct bench_results results = {.questions = NULL};
	int status;

	/* Signs alone: numbers keep their decimal point. */
	setlocale(LC_CTYPE, "");
	tpi_tool_init("tapio-bench");
	bench_options_parse(&options, argc, argv);
	if (options.list) {
		bench_list(&options);
		return TPI_EXIT_OK;
	}
	if (options.cpu_count < 2) {
		tpi_say("two CPUs are needed, and there is one to run on");
		return BENCH_EXIT_TOO_FEW;
	}
	status = run(&options, &results);
	bench_results_free(&results);
	return status;
}
