/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text around the tables: the machine and how to read the figures at the
 * top. Per question its text, what has to be known before comparing, and what
 * kind of moment it was. The goals at the end.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "bench/frame/frame.h"
#include "tools/common/tool.h"

#define LABEL_COLUMNS 13

/* A label, then a text that is wrapped behind it. */
static void labelled(const char *label, const char *text)
{
	printf("  %s", bench_style(BENCH_DIM));
	bench_cell(label, LABEL_COLUMNS, false);
	fputs(bench_style(BENCH_PLAIN), stdout);
	bench_wrapped(text, 2 + LABEL_COLUMNS);
}

static void machine_text(const struct bench_machine *m, char *text,
			 size_t bytes)
{
	snprintf(text, bytes, "%s, %u CPUs%s, %s%s%s%s%s", m->cpu,
		 m->cpus_online, m->hypervisor ? " of a virtual machine" : "",
		 m->system, *m->system ? ", " : "", m->kernel,
		 *m->governor ? ", governor " : "", m->governor);
}

static void show_wanted(const struct bench_options *o)
{
	char text[256];

	if (o->placement == BENCH_ANYWHERE)
		return;
	snprintf(
		text, sizeof(text),
		"only turns with the CPUs %s, where a cache line takes %.0f ns "
		"or %s; a question may wait %.0f s for that",
		bench_placement_name(o->placement),
		o->placement == BENCH_APART ? BENCH_APART_LEAST_NS
					    : BENCH_TOGETHER_MOST_NS,
		o->placement == BENCH_APART ? "more" : "less", o->wait_s);
	labelled("placement", text);
}

void bench_table_head(const struct bench_options *options,
		      const struct bench_results *results)
{
	const struct bench_machine *m = &results->machine;
	char text[512];

	printf("%stapio-bench %s%s%s%s  %s\n", bench_style(BENCH_BOLD),
	       tapio_version(), *BENCH_COMMIT ? ", " : "", BENCH_COMMIT,
	       bench_style(BENCH_PLAIN), results->started);
	machine_text(m, text, sizeof(text));
	labelled("machine", text);
	snprintf(
		text, sizeof(text),
		"CPUs %d and %d, %s%u turn%s of each case; figures are medians "
		"of the turns",
		options->cpus[0], options->cpus[1],
		options->all_turns || options->turns == 1 ? "" : "up to ",
		options->turns, options->turns == 1 ? "" : "s");
	labelled("measured on", text);
	show_wanted(options);
	labelled("vs Tapio", "a row's figure over Tapio's, turn by turn: 5 x "
			     "in ns is five times as slow");
	if (m->load > 0.5) {
		snprintf(text, sizeof(text),
			 "the load is %.1f: other programs are running, so "
			 "look at the ratios, not at the figures",
			 m->load);
		labelled("beware", text);
	}
	if (options->quick)
		labelled("quick",
			 "far too few events for any figure to mean anything");
	fflush(stdout);
}

void bench_table_question(const struct bench_question_result *question)
{
	char title[256];
	unsigned int used;

	snprintf(title, sizeof(title), "%u  %s", question->of->number,
		 question->of->text);
	printf("\n%s%s%s ", bench_style(BENCH_BOLD), title,
	       bench_style(BENCH_PLAIN));
	fputs(bench_style(BENCH_DIM), stdout);
	for (used = bench_width(title) + 1; used < BENCH_TABLE_COLUMNS; used++)
		fputs(bench_rule(), stdout);
	printf("%s\n", bench_style(BENCH_PLAIN));
	fflush(stdout);
}

/* ---- what has to be known ------------------------------------------------------ */

#define PEERS_MAX 128

/* A run's peers, each told of once: most take part in several questions. */
static const struct bench_peer *told[PEERS_MAX];
static unsigned int told_count;

static bool is_told(const struct bench_peer *peer)
{
	for (unsigned int i = 0; i < told_count; i++)
		if (told[i] == peer)
			return true;
	return false;
}

/*
 * The peers of a question that were measured and not told of before, which are
 * the last of `told`: how many. *others: whether there are more.
 */
static unsigned int new_peers(const struct bench_question_result *q,
			      bool *others)
{
	const unsigned int before = told_count;

	*others = false;
	for (unsigned int i = 0; i < q->case_count; i++)
		for (unsigned int j = 0; j < q->cases[i].subjects; j++) {
			const struct bench_outcome *s = &q->cases[i].subject[j];

			if (s->state != BENCH_OK)
				continue;
			if (!is_told(s->of->peer) && told_count < PEERS_MAX)
				told[told_count++] = s->of->peer;
			for (unsigned int k = 0; k < before; k++)
				*others |= told[k] == s->of->peer;
		}
	return told_count - before;
}

/* A column of the table below: the property of a peer that it shows. */
struct known {
	const char *title;
	size_t offset;
	unsigned int most;    /* columns. Longer texts are wrapped */
	unsigned int columns; /* it takes. 0: no peer has a value */
};
#define KNOWN 4

static const char *text_of(const struct bench_peer *peer, const struct known *k)
{
	const char *text;

	memcpy(&text, (const char *)peer + k->offset, sizeof(text));
	return text ? text : "";
}

static void fit(struct known *k, const struct bench_peer *const *peers,
		unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		unsigned int width = bench_width(text_of(peers[i], k));

		if (width && k->columns < strlen(k->title))
			k->columns = (unsigned int)strlen(k->title);
		if (width > k->columns)
			k->columns = width;
	}
	if (k->columns > k->most)
		k->columns = k->most;
}

/* One peer, over as many lines as its longest text takes. */
static void show_peer(const struct bench_peer *peer, const struct known *known)
{
	const char *left[KNOWN];
	char line[128];
	bool more = true;

	for (unsigned int k = 0; k < KNOWN; k++)
		left[k] = text_of(peer, &known[k]);
	while (more) {
		more = false;
		for (unsigned int k = 0; k < KNOWN; k++) {
			left[k] = bench_line(left[k], known[k].columns, line,
					     sizeof(line));
			more |= *left[k];
			if (known[k].columns)
				printf("  ");
			bench_cell(line,
				   k + 1 < KNOWN ? known[k].columns
						 : bench_width(line),
				   false);
		}
		putchar('\n');
	}
}

static void show_differences(const struct bench_question_result *q)
{
	struct known known[KNOWN] = {
		{"who", offsetof(struct bench_peer, name), 29, 0},
		{"copies", offsetof(struct bench_peer, copies), 17, 0},
		{"across", offsetof(struct bench_peer, across), 11, 0},
		{"when one dies", offsetof(struct bench_peer, death), 90, 0},
	};
	bool others;
	unsigned int n = new_peers(q, &others), used = 0;
	const struct bench_peer *const *peers = &told[told_count - n];

	if (!n)
		return;
	printf("\n%s", bench_style(BENCH_DIM));
	for (unsigned int k = 0; k < KNOWN; k++) {
		known[k].most = k + 1 < KNOWN ? known[k].most
					      : BENCH_TABLE_COLUMNS - used - 2;
		fit(&known[k], peers, n);
		used += known[k].columns ? known[k].columns + 2 : 0;
		if (!known[k].columns)
			continue;
		printf("  ");
		bench_cell(known[k].title,
			   k + 1 < KNOWN ? known[k].columns
					 : bench_width(known[k].title),
			   false);
	}
	printf("%s\n", bench_style(BENCH_PLAIN));
	for (unsigned int i = 0; i < n; i++)
		show_peer(peers[i], known);
	if (others)
		printf("  %s(the others: as above)%s\n", bench_style(BENCH_DIM),
		       bench_style(BENCH_PLAIN));
}

static void show_published(const struct bench_published *p)
{
	char text[512], number[32];
	const char *label = "published";

	for (; p && p->what; p++) {
		snprintf(text, sizeof(text), "%s: %s %s (%s)", p->what,
			 bench_number(p->value, number, sizeof(number)),
			 p->unit, p->source);
		labelled(label, text);
		label = "";
	}
}

static void show_moment(const struct bench_machine_state *before,
			const struct bench_machine_state *after)
{
	char text[256];

	if (!isfinite(before->line_ns) || !isfinite(after->line_ns))
		return;
	snprintf(text, sizeof(text),
		 "a cache line from CPU to CPU took %.0f ns before and %.0f "
		 "after; 64 bytes of plain stores %.2f and %.2f ns",
		 before->line_ns, after->line_ns, before->store_ns,
		 after->store_ns);
	labelled("the moment", text);
}

static void show_placed(const struct bench_question_result *q)
{
	const struct bench_placed *p = &q->placed;
	double least = INFINITY, most = 0;
	char text[256];
	int used;

	for (unsigned int i = 0; i < q->case_count; i++)
		for (unsigned int j = 0; j < q->cases[i].placed.kept; j++) {
			least = fmin(least, q->cases[i].line_ns[j]);
			most = fmax(most, q->cases[i].line_ns[j]);
		}
	used = snprintf(text, sizeof(text), "%u turn%s", p->kept,
			p->kept == 1 ? "" : "s");
	if (p->got != BENCH_ANYWHERE && isfinite(least))
		used += snprintf(text + used, sizeof(text) - (size_t)used,
				 " with the CPUs %s (a cache line in %.0f to "
				 "%.0f ns)",
				 bench_placement_name(p->got), least, most);
	snprintf(text + used, sizeof(text) - (size_t)used,
		 ", %u thrown away, %.0f s waited", p->thrown, p->waited_s);
	labelled("placement", text);
}

void bench_table_question_end(const struct bench_question_result *question)
{
	if (*question->why) {
		printf("  %snot asked:%s %s\n", bench_style(BENCH_BAD),
		       bench_style(BENCH_PLAIN), question->why);
		return;
	}
	show_differences(question);
	putchar('\n');
	show_published(question->of->published);
	show_moment(&question->before, &question->after);
	show_placed(question);
	fflush(stdout);
}

/* ---- the end ------------------------------------------------------------------ */

struct sums {
	unsigned int verdict[3];
	unsigned int state[4];
};

static void add_case(struct sums *sums, const struct bench_case_result *c)
{
	for (unsigned int i = 0; i < c->subjects; i++)
		sums->state[c->subject[i].state]++;
	for (unsigned int i = 0; i < bench_goal_count(c->of); i++)
		sums->verdict[bench_judge(c, &c->of->goals[i]).verdict]++;
}

static bool has_missed(const struct bench_case_result *c)
{
	for (unsigned int i = 0; i < bench_goal_count(c->of); i++)
		if (bench_judge(c, &c->of->goals[i]).verdict == BENCH_MISSED)
			return true;
	return false;
}

static void show_failed(const struct bench_case_result *c)
{
	char text[512], name[96];

	for (unsigned int i = 0; i < c->subjects; i++) {
		const struct bench_outcome *s = &c->subject[i];

		if (s->state != BENCH_FAILED)
			continue;
		snprintf(text, sizeof(text), "%s: %s: %s", c->of->name,
			 bench_subject_name(s->of, name, sizeof(name)), s->why);
		labelled("FAILED", text);
	}
}

static void show_missing(void)
{
	const char *label = "not built in";
	char text[256];

	for (const struct bench_built *b = bench_built; b->name; b++) {
		if (b->present)
			continue;
		snprintf(text, sizeof(text), "%s (Debian: %s)", b->name,
			 b->package);
		labelled(label, text);
		label = "";
	}
}

static void show_unanswered(const struct bench_options *options,
			    const struct bench_results *results)
{
	unsigned int count = 0;
	char text[160];

	for (unsigned int i = 0; i < results->question_count; i++)
		count += results->questions[i].placed.short_cases;
	if (!count)
		return;
	snprintf(text, sizeof(text),
		 "%u case%s: the CPUs were not %s for long enough", count,
		 count == 1 ? "" : "s",
		 bench_placement_name(options->placement));
	labelled("NO ANSWER", text);
}

void bench_table_summary(const struct bench_options *options,
			 const struct bench_results *results)
{
	struct sums sums = {{0}, {0}};
	unsigned int cases = 0;

	for (unsigned int i = 0; i < results->question_count; i++)
		for (unsigned int j = 0; j < results->questions[i].case_count;
		     j++, cases++)
			add_case(&sums, &results->questions[i].cases[j]);
	printf("\n%s%u case%s in %.0f s%s: %u measured, %u not here, %s%u "
	       "failed%s\n",
	       bench_style(BENCH_BOLD), cases, cases == 1 ? "" : "s",
	       results->seconds, bench_style(BENCH_PLAIN), sums.state[BENCH_OK],
	       sums.state[BENCH_NOT_HERE],
	       sums.state[BENCH_FAILED] ? bench_style(BENCH_BAD) : "",
	       sums.state[BENCH_FAILED], bench_style(BENCH_PLAIN));
	for (unsigned int i = 0; i < results->question_count; i++)
		for (unsigned int j = 0; j < results->questions[i].case_count;
		     j++)
			show_failed(&results->questions[i].cases[j]);
	show_missing();
	show_unanswered(options, results);
	if (options->quick)
		return;
	printf("%sGoals%s: %u reached, %u missed, %u open\n",
	       bench_style(BENCH_BOLD), bench_style(BENCH_PLAIN),
	       sums.verdict[BENCH_REACHED], sums.verdict[BENCH_MISSED],
	       sums.verdict[BENCH_OPEN]);
	for (unsigned int i = 0; i < results->question_count; i++)
		for (unsigned int j = 0; j < results->questions[i].case_count;
		     j++) {
			const struct bench_case_result *c =
				&results->questions[i].cases[j];

			if (!has_missed(c))
				continue;
			printf("  %s\n", c->of->name);
			bench_goals_show(c, true);
		}
}
