/* SPDX-License-Identifier: Apache-2.0 */
/* Which cases --run means, and which subjects --subject does. Pure. Test:
 * tests/unit/bench_numbers.c. */
#include <fnmatch.h>
#include <string.h>

#include "bench/frame/frame.h"

/* "stream" is all of "stream/...". */
static bool is_tree_of(const char *folder, const char *name)
{
	size_t length = strlen(folder);

	return !strncmp(folder, name, length) && name[length] == '/';
}

bool bench_matches(const char *glob, unsigned int number, const char *name)
{
	char numbered[160];

	snprintf(numbered, sizeof(numbered), "%u/%s", number, name);
	/* A * takes slashes, too: there is nothing that it should spare. */
	return !fnmatch(glob, name, 0) || !fnmatch(glob, numbered, 0) ||
	       is_tree_of(glob, name) || is_tree_of(glob, numbered);
}

bool bench_selected(const struct bench_options *options,
		    const struct bench_question *question,
		    const struct bench_case *c)
{
	for (unsigned int i = 0; i < options->glob_count; i++)
		if (bench_matches(options->globs[i], question->number, c->name))
			return true;
	return !options->glob_count;
}

bool bench_subject_selected(const struct bench_options *options,
			    const struct bench_case *c, unsigned int subject)
{
	const struct bench_subject *s = c->subjects[subject];
	char name[128];

	bench_subject_name(s, name, sizeof(name));
	for (unsigned int i = 0; i < options->subject_count; i++)
		if (!fnmatch(options->subjects[i], name, 0))
			return true;
	/* Without Tapio there is nothing to compare them with. */
	return !options->subject_count || s->peer->kind == BENCH_TAPIO;
}
