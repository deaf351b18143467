/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, and the CPUs that may be used. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/frame.h"
#include "tools/common/tool.h"

#define TURNS_DEFAULT 7
#define TURNS_QUICK   1

enum {
	KEY_LIST = 256,
	KEY_QUICK,
	KEY_JSON,
	KEY_CPUS,
	KEY_PLACEMENT,
	KEY_WAIT,
};

#define TEXT(t) 0, t, 0

static const struct argp_option options[] = {
	{"list", KEY_LIST, NULL,
	 TEXT("List questions, cases and who is compared, and run nothing")},
	{"run", 'r', "GLOB",
	 TEXT("Only cases whose name matches, as 'stream/*', or all of a "
	      "question by its number; may be repeated")},
	{"quick", KEY_QUICK, NULL,
	 TEXT("A few events and one turn: shows that everything runs, not how "
	      "fast")},
	{"repeat", 'n', "N",
	 TEXT("Turns of each case (7, or 3 and more where they take long)")},
	{"cpus", KEY_CPUS, "A,B",
	 TEXT("CPUs to measure on, at least two, as 0,2-3; then others are "
	      "used where a case needs more")},
	{"subject", 's', "GLOB",
	 TEXT("Beside Tapio only subjects whose name matches, as 'DPDK*' or "
	      "'plain stores'; may be repeated")},
	{"placement", KEY_PLACEMENT, "WHERE",
	 TEXT("Keep only turns with the two CPUs there: apart, where a cache "
	      "line takes 90 ns or more from one to the other, or together, "
	      "75 ns or less; any is the default")},
	{"placement-wait", KEY_WAIT, "SECONDS",
	 TEXT("Wait, and try again, so long in each question for that "
	      "placement (60)")},
	{"json", KEY_JSON, "FILE",
	 TEXT("Also write everything to a file; '-' is stdout, which then gets "
	      "nothing else")},
	{0},
};

static const char doc[] =
	"Measures what passing events costs with Tapio, beside what people "
	"would use instead and what this machine allows.\v"
	"The subjects of a case take turns; figures are medians of the turns, and "
	"ratios are taken turn by turn.\n"
	"\n"
	"Examples:\n"
	"  tapio-bench --quick                  does everything run here?\n"
	"  tapio-bench --json result.json       everything, for bench-report\n"
	"  tapio-bench -r 'stream/64/*' -n 21   some cases, with more turns\n"
	"  tapio-bench --placement apart        only while the CPUs are apart\n"
	"\n"
	"Exit status: 0 done, 1 Tapio failed in a case, 2 wrong usage, 3 a case has "
	"no answer because the wanted placement did not come in time, 77 fewer than "
	"two CPUs.";

struct parsed {
	struct bench_options *o;
	const char *cpus;
};

static void use_cpu(struct argp_state *state, struct bench_options *o,
		    const cpu_set_t *allowed, int cpu)
{
	if (cpu >= CPU_SETSIZE || !CPU_ISSET((unsigned int)cpu, allowed))
		argp_error(state, "--cpus: there is no CPU %d to run on", cpu);
	for (unsigned int i = 0; i < o->cpu_count; i++)
		if (o->cpus[i] == cpu)
			argp_error(state, "--cpus: CPU %d is named twice", cpu);
	o->cpus[o->cpu_count++] = cpu;
}

/* "0,2-3" */
static void named_cpus(struct argp_state *state, struct bench_options *o,
		       const cpu_set_t *allowed, const char *text)
{
	char *end;

	for (const char *at = text;; at = end + 1) {
		long first = strtol(at, &end, 10), last = first;

		if (end != at && *end == '-') {
			at = end + 1;
			last = strtol(at, &end, 10);
		}
		if (end == at || (*end && *end != ',') || first < 0 ||
		    last < first || last >= CPU_SETSIZE)
			argp_error(state,
				   "--cpus: '%s' is not a list of CPUs (as in "
				   "0,1 or 0,2-3)",
				   text);
		while (first <= last)
			use_cpu(state, o, allowed, (int)first++);
		if (!*end)
			break;
	}
	if (o->cpu_count < 2)
		argp_error(state, "--cpus: '%s' is fewer than two", text);
}

static bool is_named(const struct bench_options *o, int cpu)
{
	for (unsigned int i = 0; i < o->cpu_count; i++)
		if (o->cpus[i] == cpu)
			return true;
	return false;
}

static void find_cpus(struct argp_state *state, struct parsed *p)
{
	cpu_set_t allowed;

	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	if (p->cpus)
		named_cpus(state, p->o, &allowed, p->cpus);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !is_named(p->o, cpu))
			p->o->cpus[p->o->cpu_count++] = cpu;
}

static bool matches_anything(const char *glob)
{
	for (const struct bench_question *const *q = bench_questions(); *q; q++)
		for (const struct bench_case *c = (*q)->cases; c->name; c++)
			if (bench_matches(glob, (*q)->number, c->name))
				return true;
	return false;
}

static void add_glob(struct argp_state *state, struct bench_options *o,
		     const char *glob)
{
	if (o->glob_count == BENCH_GLOBS_MAX)
		argp_error(state, "--run: more than %d times", BENCH_GLOBS_MAX);
	if (!matches_anything(glob))
		argp_error(state,
			   "--run: no case matches '%s'; --list names "
			   "them",
			   glob);
	o->globs[o->glob_count++] = glob;
}

static bool names_anybody(const char *glob)
{
	const struct bench_options one = {.subjects = {glob},
					  .subject_count = 1};

	for (const struct bench_question *const *q = bench_questions(); *q; q++)
		for (const struct bench_case *c = (*q)->cases; c->name; c++)
			for (unsigned int i = 0; c->subjects[i]; i++)
				if (c->subjects[i]->peer->kind != BENCH_TAPIO &&
				    bench_subject_selected(&one, c, i))
					return true;
	return false;
}

static void add_subject(struct argp_state *state, struct bench_options *o,
			const char *glob)
{
	if (o->subject_count == BENCH_GLOBS_MAX)
		argp_error(state, "--subject: more than %d times",
			   BENCH_GLOBS_MAX);
	if (!names_anybody(glob))
		argp_error(state,
			   "--subject: no subject beside Tapio matches '%s'; "
			   "--list names them",
			   glob);
	o->subjects[o->subject_count++] = glob;
}

static void want_placement(struct argp_state *state, struct bench_options *o,
			   const char *name)
{
	if (!bench_placement_parse(name, &o->placement))
		argp_error(state,
			   "--placement: '%s' is none of apart, together and "
			   "any",
			   name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct parsed *p = state->input;

	switch (key) {
	case KEY_LIST:
		p->o->list = true;
		break;
	case 'r':
		add_glob(state, p->o, arg);
		break;
	case 's':
		add_subject(state, p->o, arg);
		break;
	case KEY_PLACEMENT:
		want_placement(state, p->o, arg);
		break;
	case KEY_WAIT:
		p->o->wait_s = (double)tpi_arg_count(state, "--placement-wait",
						     arg, 0, BENCH_WAIT_MOST_S);
		break;
	case KEY_QUICK:
		p->o->quick = true;
		break;
	case 'n':
		p->o->turns = (unsigned int)tpi_arg_count(
			state, "--repeat", arg, 1, BENCH_TURNS_MAX);
		p->o->all_turns = true;
		break;
	case KEY_CPUS:
		p->cpus = arg;
		break;
	case KEY_JSON:
		p->o->json = arg;
		break;
	case ARGP_KEY_END:
		find_cpus(state, p);
		p->o->table = !p->o->json || strcmp(p->o->json, "-");
		if (!p->o->all_turns)
			p->o->turns = p->o->quick ? TURNS_QUICK : TURNS_DEFAULT;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

void bench_options_parse(struct bench_options *o, int argc, char **argv)
{
	static const struct argp argp = {options, parse, NULL, doc,
					 NULL,    NULL,  NULL};
	struct parsed parsed = {.o = o};

	memset(o, 0, sizeof(*o));
	o->wait_s = BENCH_WAIT_DEFAULT_S;
	o->argc = argc;
	o->argv = argv;
	argp_parse(&argp, argc, argv, 0, NULL, &parsed);
}
