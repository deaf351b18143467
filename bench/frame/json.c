/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All results, as one JSON object. docs/man/tapio-bench.1 describes it, and
 * bench/report reads it. NAN is null.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/frame/frame.h"
#include "tools/common/tool.h"

#define FORMAT_VERSION 1

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text(const char *value)
{
	return value && *value ? json_string(value) : json_null();
}

/* Empty, never null. */
static json_t *word(const char *value)
{
	return json_string(value ? value : "");
}

static json_t *whole(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static const char *const kinds[] = {"tapio", "peer", "floor"};

/* ---- a case ------------------------------------------------------------------- */

static json_t *figure_list(const struct bench_case_result *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->figures; i++) {
		const struct bench_figure *f = &c->of->figures[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name",
						      f->name, "unit", f->unit,
						      "more_is_better",
						      f->more_is_better));
	}
	return list;
}

static json_t *measured(const struct bench_case_result *c,
			const struct bench_outcome *s, unsigned int figure)
{
	const struct bench_outcome *tapio = bench_reference(c);
	const double *values = s->turns[figure];
	json_t *turns = json_array();

	for (unsigned int i = 0; i < c->turns; i++)
		json_array_append_new(turns, number(values[i]));
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o}", "median",
		number(bench_median(values, c->turns)), "min",
		number(bench_least(values, c->turns)), "max",
		number(bench_most(values, c->turns)), "ratio",
		number(tapio ? bench_ratio(values, tapio->turns[figure],
					   c->turns)
			     : NAN),
		"turns", turns);
}

static json_t *subject(const struct bench_case_result *c,
		       const struct bench_outcome *s)
{
	static const char *const states[] = {"absent", "ok", "absent",
					     "failed"};
	json_t *figures = json_array();
	char name[128];

	for (unsigned int i = 0; s->state == BENCH_OK && i < c->figures; i++)
		json_array_append_new(figures, measured(c, s, i));
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o}", "name",
			 bench_subject_name(s->of, name, sizeof(name)), "peer",
			 s->of->peer->name, "variant", text(s->of->variant),
			 "status", states[s->state], "why", text(s->why),
			 "figures", figures);
}

static json_t *goal(const struct bench_case_result *c,
		    const struct bench_goal *g, bool quick)
{
	static const char *const goal_kinds[] = {"value", "subject",
						 "best_peer"};
	struct bench_judgement j = bench_judge(c, g);
	json_t *reached = json_null();
	const char *why = j.why;
	char name[128] = "", note[256] = "";

	if (quick)
		why = "too few events to judge by";
	else if (j.verdict != BENCH_OPEN)
		reached = json_boolean(j.verdict == BENCH_REACHED);
	if (j.against)
		bench_subject_name(j.against, name, sizeof(name));
	else if (g->against)
		snprintf(name, sizeof(name), "%s", g->against);
	if (!quick)
		bench_note(c, g, &j, note, sizeof(note));
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:i, s:f, s:o, s:o, s:o, "
			 "s:o}",
			 "text", g->text, "kind", goal_kinds[g->kind], "of",
			 text(g->of), "against", text(name), "plus",
			 text(g->plus), "figure", (int)g->figure, "limit",
			 g->limit, "value", number(j.value), "reached", reached,
			 "why", text(why), "note", text(note));
}

/* Where the CPUs were. `line_ns`: of each turn that was kept, or NULL. */
static json_t *placed(const struct bench_placed *p, json_t *line_ns)
{
	json_t *all =
		json_pack("{s:o, s:i, s:i, s:f, s:f, s:i}", "got",
			  p->kept && p->got != BENCH_ANYWHERE
				  ? json_string(bench_placement_name(p->got))
				  : json_null(),
			  "kept", (int)p->kept, "thrown_away", (int)p->thrown,
			  "waited_s", p->waited_s, "thrown_away_s", p->thrown_s,
			  "unanswered", (int)p->short_cases);

	json_object_set_new(all, "line_ns", line_ns);
	return all;
}

static json_t *line_list(const struct bench_case_result *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->placed.kept; i++)
		json_array_append_new(list, number(c->line_ns[i]));
	return list;
}

/* Of all turns of a question that were kept. */
static json_t *line_median(const struct bench_question_result *q)
{
	const size_t room = (size_t)q->placed.kept + 1;
	double *all = calloc(room, sizeof(*all));
	unsigned int count = 0;
	json_t *median;

	for (unsigned int i = 0; all && i < q->case_count; i++)
		for (unsigned int j = 0; j < q->cases[i].placed.kept; j++)
			if (isfinite(q->cases[i].line_ns[j]))
				all[count++] = q->cases[i].line_ns[j];
	median = number(all ? bench_median(all, count) : NAN);
	free(all);
	return median;
}

static json_t *one_case(const struct bench_options *o,
			const struct bench_case_result *c)
{
	json_t *subjects = json_array(), *goals = json_array();

	for (unsigned int i = 0; i < c->subjects; i++)
		json_array_append_new(subjects, subject(c, &c->subject[i]));
	for (unsigned int i = 0; i < bench_goal_count(c->of); i++)
		json_array_append_new(goals,
				      goal(c, &c->of->goals[i], o->quick));
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o}",
		"name", c->of->name, "title", c->of->title, "bytes",
		whole(c->of->bytes), "batch", whole(c->of->batch), "param",
		whole(c->of->param), "param_name", text(c->of->param_name),
		"events", whole(o->quick ? c->of->quick_events : c->of->events),
		"turns", (int)c->turns, "placement",
		placed(&c->placed, line_list(c)), "figures", figure_list(c),
		"subjects", subjects, "goals", goals);
}

/* ---- a question --------------------------------------------------------------- */

static json_t *moment(const struct bench_machine_state *m)
{
	return json_pack("{s:o, s:o}", "line_ns", number(m->line_ns),
			 "store_ns", number(m->store_ns));
}

static json_t *question(const struct bench_options *o,
			const struct bench_question_result *q)
{
	json_t *cases = json_array();

	for (unsigned int i = 0; i < q->case_count; i++)
		json_array_append_new(cases, one_case(o, &q->cases[i]));
	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "number",
			 whole(q->of->number), "text", q->of->text, "absent",
			 text(q->why), "before", moment(&q->before), "after",
			 moment(&q->after), "placement",
			 placed(&q->placed, line_median(q)), "cases", cases);
}

/* ---- what is around ----------------------------------------------------------- */

static json_t *machine(const struct bench_options *o,
		       const struct bench_machine *m)
{
	json_t *cpus = json_array();

	for (unsigned int i = 0; i < o->cpu_count; i++)
		json_array_append_new(cpus, json_integer(o->cpus[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:b, "
			 "s:f}",
			 "cpu", m->cpu, "architecture", m->architecture,
			 "kernel", m->kernel, "os", m->system, "cpus_online",
			 (int)m->cpus_online, "cpus", cpus, "memory_bytes",
			 whole(m->memory_bytes), "huge_pages",
			 whole(m->huge_pages), "governor", text(m->governor),
			 "hypervisor", m->hypervisor, "load", m->load);
}

/* The reason of the first case, if a peer was never available. */
static const char *nowhere(const struct bench_results *r,
			   const struct bench_peer *peer)
{
	const char *why = "";

	for (unsigned int i = 0; i < r->question_count; i++)
		for (unsigned int j = 0; j < r->questions[i].case_count; j++) {
			const struct bench_case_result *c =
				&r->questions[i].cases[j];

			for (unsigned int k = 0; k < c->subjects; k++) {
				const struct bench_outcome *s = &c->subject[k];

				if (s->of->peer != peer)
					continue;
				if (s->state != BENCH_NOT_HERE)
					return "";
				if (!*why)
					why = s->why;
			}
		}
	return why;
}

static bool is_listed(const json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_object_get(
				    json_array_get(list, i), "name")),
			    name))
			return true;
	return false;
}

static void add_peers(json_t *list, const struct bench_results *r,
		      const struct bench_case_result *c)
{
	for (unsigned int i = 0; i < c->subjects; i++) {
		const struct bench_peer *p = c->subject[i].of->peer;

		if (is_listed(list, p->name))
			continue;
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "name",
				  p->name, "kind", kinds[p->kind], "package",
				  word(p->package), "copies", word(p->copies),
				  "across", word(p->across), "death",
				  word(p->death), "absent",
				  text(nowhere(r, p))));
	}
}

/* Those that no question knows of in this build, so that they are missed. */
static void add_missing(json_t *list)
{
	for (const struct bench_built *b = bench_built; b->name; b++)
		if (!b->present && !is_listed(list, b->name))
			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
					  "name", b->name, "kind", "peer",
					  "package", b->package, "copies", "",
					  "across", "", "death", "", "absent",
					  "its package was not there when this "
					  "was built"));
}

static json_t *peers(const struct bench_results *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->question_count; i++)
		for (unsigned int j = 0; j < r->questions[i].case_count; j++)
			add_peers(list, r, &r->questions[i].cases[j]);
	add_missing(list);
	return list;
}

static json_t *published(const struct bench_results *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->question_count; i++) {
		const struct bench_published *p = r->questions[i].of->published;

		for (; p && p->what; p++)
			json_array_append_new(
				list,
				json_pack("{s:s, s:f, s:s, s:s}", "what",
					  p->what, "value", p->value, "unit",
					  p->unit, "source", p->source));
	}
	return list;
}

static json_t *built(void)
{
	json_t *list = json_array();

	for (const struct bench_built *b = bench_built; b->name; b++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:b}", "name",
						b->name, "package", b->package,
						"present", b->present));
	return list;
}

static json_t *command(const struct bench_options *o)
{
	char line[1024] = "tapio-bench";
	size_t used = strlen(line);

	for (int i = 1; i < o->argc && used < sizeof(line); i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used,
					 " %s", o->argv[i]);
	return json_string(line);
}

/* The machine's first and last moment. */
static json_t *pingpong(const struct bench_results *r)
{
	double before = NAN, after = NAN;

	if (r->question_count) {
		before = r->questions[0].before.line_ns;
		after = r->questions[r->question_count - 1].after.line_ns;
	}
	return json_pack("{s:o, s:o}", "before", number(before), "after",
			 number(after));
}

/* The wanted one, its limits, and the sum of all turns. */
static json_t *placement(const struct bench_options *o,
			 const struct bench_results *r)
{
	struct bench_placed sum = {.kept = 0};
	json_t *all;

	for (unsigned int i = 0; i < r->question_count; i++)
		bench_placed_add(&sum, &r->questions[i].placed);
	all = placed(&sum, json_null());
	json_object_del(all, "line_ns");
	json_object_set_new(all, "wanted",
			    json_string(bench_placement_name(o->placement)));
	json_object_set_new(all, "wait_s", json_real(o->wait_s));
	json_object_set_new(all, "together_most_ns",
			    json_real(BENCH_TOGETHER_MOST_NS));
	json_object_set_new(all, "apart_least_ns",
			    json_real(BENCH_APART_LEAST_NS));
	return all;
}

static json_t *everything(const struct bench_options *o,
			  const struct bench_results *r)
{
	json_t *questions = json_array();

	for (unsigned int i = 0; i < r->question_count; i++)
		json_array_append_new(questions, question(o, &r->questions[i]));
	return json_pack(
		"{s:s, s:i, s:s, s:o, s:o, s:b, s:i, s:s, s:f, s:o, s:o, s:o, "
		"s:o, s:o, s:o, s:o}",
		"format", "tapio-bench", "format_version", FORMAT_VERSION,
		"version", tapio_version(), "commit", text(BENCH_COMMIT),
		"command", command(o), "quick", o->quick, "turns",
		(int)o->turns, "started", r->started, "seconds", r->seconds,
		"machine", machine(o, &r->machine), "pingpong_ns", pingpong(r),
		"placement", placement(o, r), "built", built(), "peers",
		peers(r), "published", published(r), "questions", questions);
}

/* ---- writing ------------------------------------------------------------------ */

int bench_json_check(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[4096] = ".";

	if (!strcmp(path, "-"))
		return 0;
	if (slash)
		snprintf(folder, sizeof(folder), "%.*s",
			 (int)(slash > path ? slash - path : 1), path);
	/* Not by opening it: its contents MUST stay if this run is stopped. */
	if (!access(path, W_OK) ||
	    (errno == ENOENT && !access(folder, W_OK | X_OK)))
		return 0;
	tpi_say("%s: %s", path, strerror(errno));
	return -1;
}

int bench_json_write(const char *path, const struct bench_options *options,
		     const struct bench_results *results)
{
	json_t *all = everything(options, results);
	FILE *file = strcmp(path, "-") ? fopen(path, "we") : stdout;
	bool good = all && file;

	good = good &&
	       !json_dumpf(all, file, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	good = good && fputc('\n', file) != EOF && !fflush(file);
	if (file && file != stdout && fclose(file))
		good = false;
	if (!good)
		tpi_say("%s: %s", path,
			all ? strerror(errno) : "something is not UTF-8");
	json_decref(all);
	return good ? 0 : -1;
}
