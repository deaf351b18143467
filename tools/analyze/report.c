/* SPDX-License-Identifier: Apache-2.0 */
/* Results, in the forms that are wanted. See the header. */
#include "tools/analyze/report.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static void write_out(struct an_reporter *r)
{
	size_t done = 0;

	while (done < r->used && !r->err) {
		ssize_t length = write(r->o.fd, r->text + done, r->used - done);
		struct pollfd wait = {.fd = r->o.fd, .events = POLLOUT};

		if (length >= 0)
			done += (size_t)length;
		else if (errno == EAGAIN)
			poll(&wait, 1, 100);
		else if (errno != EINTR)
			r->err = -errno;
	}
	r->used = 0;
}

/* ---- windows --------------------------------------------------------------- */

struct finding {
	struct an_reporter *r;
	const struct an_result *result;
};

static void report_change(void *arg, const struct an_change *change)
{
	const struct finding *f = arg;

	f->r->changes++;
	if (f->r->o.fd >= 0 && f->r->o.json)
		an_report_json_change(f->r, f->result, change);
	else if (f->r->o.fd >= 0)
		an_report_text_change(f->r, change);
	if (f->r->producer)
		an_report_metric_change(f->r, f->result, change);
}

void an_report(void *arg, const struct an_result *result)
{
	struct an_reporter *r = arg;
	struct finding finding = {r, result};

	if (r->limit && r->shown == r->limit)
		return;
	r->shown++;
	if (r->o.fd >= 0 && r->o.json)
		an_report_json(r, result);
	else if (r->o.fd >= 0)
		an_report_text(r, result);
	if (r->producer)
		an_report_metrics(r, result);
	if (r->baselines)
		an_baselines_judge(r->baselines, result, report_change,
				   &finding);
	if (r->o.fd >= 0)
		write_out(r);
	r->late = an_merger_totals(r->merger)->late;
}
