/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat check`: every rule of the memory (tools/inspect/check.h). */
#include <errno.h>
#include <stdio.h>

#include "tools/shmstat/text.h"

#define ATTEMPTS 3 /* to map the memory as it is */

struct check {
	struct stat_args *args;
	struct tpi_inspect *inspect;
	bool last;
};

/* Whether there is no fault that no rule is about. */
static bool print(const struct check *c, const struct tpi_check_report *report)
{
	json_t *look = stat_check(c->inspect, report);
	bool none = !json_array_size(json_object_get(look, "faults"));

	if (c->args->json) {
		json_object_set_new(look, "schema",
				    json_string(STAT_SCHEMA_CHECK));
		json_dumpf(look, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		stat_check_print(c->inspect, report, look, text_width(c->args));
	}
	json_decref(look);
	return none;
}

/*
 * Its exit status, or -ESTALE: the memory of a slot was replaced since it was mapped, and
 * another attempt may be made.
 */
static int check(void *context)
{
	const struct tpi_check_options thorough = {
		.patience_ns = TPI_CHECK_PATIENCE_NS,
		.gap_ns = TPI_CHECK_GAP_NS,
		.processes = true,
	};
	const struct check *c = context;
	struct tpi_check_report report;
	int status = TPI_EXIT_OK;
	bool none;

	if (tpi_check(c->inspect, &thorough, &report)) {
		tpi_say("out of memory");
		return TPI_EXIT_FAILURE;
	}
	if (report.stale && !c->last) {
		tpi_check_free(&report);
		return -ESTALE;
	}
	if (report.count || report.left_out)
		status = report.corrupt ? TPI_EXIT_CORRUPT : TPI_EXIT_FAILURE;
	none = print(c, &report);
	if (!none && !status)
		status = TPI_EXIT_FAILURE;
	else if (none && tpi_inspect_denied(c->inspect) && !report.corrupt &&
		 !report.of[TPI_BROKEN] && !report.of[TPI_SUSPICIOUS])
		status = STAT_EXIT_PERMISSION;
	tpi_check_free(&report);
	return status;
}

int command_check(struct stat_args *args)
{
	bool again = args->repeat_ns || args->count;
	struct check c = {.args = args};
	int status;

	for (int left = ATTEMPTS; left; left--) {
		c.last = again || left == 1;
		status = stat_open(args, &c.inspect);
		if (status)
			return status;
		status = stat_repeat(args, check, &c);
		tpi_inspect_close(c.inspect);
		if (status != -ESTALE)
			break;
	}
	return status;
}
