/* SPDX-License-Identifier: Apache-2.0 */
/* --list: the cases that can run, and the peers that they compare. */
#include <string.h>

#include "bench/frame/frame.h"

static void list_case(const struct bench_case *c)
{
	char names[1024] = "", name[96];
	size_t used = 0;

	printf("  %s%s%s  %s", bench_style(BENCH_BOLD), c->name,
	       bench_style(BENCH_PLAIN), c->title);
	if (c->events)
		printf(" (%llu events)", (unsigned long long)c->events);
	for (unsigned int i = 0; i < BENCH_SUBJECTS_MAX && c->subjects[i]; i++)
		if (used < sizeof(names))
			used += (size_t)snprintf(
				names + used, sizeof(names) - used, "%s%s",
				i ? "; " : "",
				bench_subject_name(c->subjects[i], name,
						   sizeof(name)));
	printf("\n      ");
	bench_wrapped(names, 6);
}

static void list_question(const struct bench_options *options,
			  const struct bench_question *q)
{
	bool said = false;

	for (const struct bench_case *c = q->cases; c->name; c++) {
		if (!bench_selected(options, q, c))
			continue;
		if (!said)
			printf("\n%s%u  %s%s\n", bench_style(BENCH_BOLD),
			       q->number, q->text, bench_style(BENCH_PLAIN));
		said = true;
		list_case(c);
	}
}

void bench_list(const struct bench_options *options)
{
	for (const struct bench_question *const *q = bench_questions(); *q; q++)
		list_question(options, *q);
	putchar('\n');
	for (const struct bench_built *b = bench_built; b->name; b++)
		if (!b->present)
			printf("Not built in: %s (Debian: %s)\n", b->name,
			       b->package);
}
