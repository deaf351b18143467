/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of `tapio-shmstat check` at the end of a run, when producers have ended and
 * consumers are still members. Findings go to standard error.
 */
#include "tools/common/tool.h"
#include "tools/inspect/check.h"
#include "tools/load/report.h"

#define LINE_BYTES 1024

void load_check_rules(struct load_run *run, struct load_result *result)
{
	const struct tpi_check_options options = {
		.patience_ns = TPI_CHECK_PATIENCE_NS,
		.gap_ns = TPI_CHECK_GAP_NS,
		.processes = true,
	};
	struct tpi_check_report report;
	char line[LINE_BYTES];

	if (tpi_check(run->inspect, &options, &report)) {
		load_fail(run, "out of memory for a check of the rules");
		return;
	}
	for (uint32_t i = 0; i < report.count; i++) {
		tpi_finding_print(run->inspect, &report.findings[i], line,
				  sizeof(line));
		tpi_say("%s", line);
	}
	result->broken = report.of[TPI_BROKEN];
	result->suspicious = report.of[TPI_SUSPICIOUS];
	result->unsettled = report.of[TPI_UNSETTLED];
	tpi_check_free(&report);
}
