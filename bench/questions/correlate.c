/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast is the engine of tapio-correlate, and how much memory has a live key? One process hands events to
 * the engine, as the program does with those of a channel, in place. Half of them are connections, and
 * half are starts of processes, of 1,000 pids.
 *
 * Rules count connections of a port, each of its own, or starts of a program. An event of 100, or of 10,
 * belongs to one of the rules. Nothing is found: that would be the cost of a finding.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

#include "bench/frame/bench.h"
#include "bench/questions/goals.h"
#include "tools/correlate/engine.h"

#define EVENTS      8192 /* different ones */
#define BLOCK       512
#define PIDS        1000
#define RULES_MAX   200
#define RULE_BYTES  256
#define PORT        5000
#define TIME_NS     UINT64_C(1700000000000000000)
#define EVENT_NS    UINT64_C(100)
#define LATENESS_NS UINT64_C(1000000)
/* The watermark moves so often. */
#define BATCH 256

struct load {
	unsigned int rules;
	unsigned int percent;
	unsigned int keys; /* of the memory case. 0: speed */
	uint64_t events;
	unsigned char (*blocks)[BLOCK];
	uint32_t lengths[EVENTS];
	struct tpi_corr *corr;
	uint16_t source;
};

/* ---- events ---------------------------------------------------------------------------- */

static int make_connection(struct tapio_event_builder *b, void *block,
			   uint16_t port)
{
	static const unsigned char peer[4] = {10, 1, 2, 3};
	struct tapio_event_network_connection *c;
	int err = tapio_event_builder_init(b, block, BLOCK,
					   TAPIO_EVENT_NETWORK_CONNECTION);

	if (err)
		return err;
	c = b->fields;
	c->operation = TAPIO_CONNECTION_CLOSE;
	c->transport = TAPIO_TRANSPORT_TCP;
	c->peer_port = port;
	c->sent_bytes = 1000;
	tapio_event_ip4(&c->peer, peer);
	return tapio_event_builder_string(b, &c->comm, "client", 6);
}

static int make_start(struct tapio_event_builder *b, void *block,
		      unsigned int number)
{
	struct tapio_event_process_start *s;
	char comm[16];
	int length, err = tapio_event_builder_init(b, block, BLOCK,
						   TAPIO_EVENT_PROCESS_START);

	if (err)
		return err;
	s = b->fields;
	s->operation = TAPIO_PROCESS_EXEC;
	length = snprintf(comm, sizeof(comm), "program%u", number);
	tapio_event_builder_string(b, &s->executable, "/usr/bin/program", 16);
	return tapio_event_builder_string(b, &s->comm, comm, (size_t)length);
}

/* A rule's number for an event that is to match, or one that no rule has. */
static unsigned int number_of(const struct load *l, unsigned int i)
{
	const unsigned int every = l->percent ? 100 / l->percent : 0;

	/* Both types of events match: pairs of them do. */
	if (!every || i / 2 % every)
		return RULES_MAX + i % 1000;
	return i / 2 / every % ((l->rules + 1) / 2);
}

static int make_event(struct load *l, unsigned int i)
{
	struct tapio_event_builder b;
	const unsigned int number = number_of(l, i);
	int err = i % 2 && l->rules > 1
			  ? make_start(&b, l->blocks[i], number)
			  : make_connection(&b, l->blocks[i],
					    (uint16_t)(PORT + number));

	if (err)
		return err;
	b.event->pid = 1 + i % PIDS;
	b.event->time_ns = TIME_NS;
	err = tapio_event_builder_finish(&b);
	if (err > 0)
		l->lengths[i] = (uint32_t)err;
	return err < 0 ? err : 0;
}

static int make_events(struct load *l)
{
	l->blocks = malloc(EVENTS * sizeof(*l->blocks));
	for (unsigned int i = 0; l->blocks && i < EVENTS; i++) {
		int err = make_event(l, i);

		if (err) {
			bench_why("an event cannot be made: %s",
				  strerror(-err));
			return err;
		}
	}
	if (!l->blocks)
		bench_why("out of memory");
	return l->blocks ? 0 : -1;
}

/* ---- rules ------------------------------------------------------------------------------- */

static size_t put_rule(const struct load *l, unsigned int i, char *text)
{
	int n;

	if (l->keys)
		n = snprintf(text, RULE_BYTES,
			     "rule keys { c: type == network.connection "
			     "count(c) > 100 by pid within 1h }\n");
	else if (i % 2)
		n = snprintf(text, RULE_BYTES,
			     "rule start%u { s: type == process.start and "
			     "comm == \"program%u\" count(s) > 10000 by pid "
			     "within 1s }\n",
			     i, i / 2);
	else
		n = snprintf(
			text, RULE_BYTES,
			"rule port%u { c: type == network.connection and "
			"peer_port == %u count(c) > 10000 by pid within 1s "
			"}\n",
			i, PORT + i / 2);
	return (size_t)n;
}

static void on_finding(void *arg, const struct tpi_corr_finding *finding)
{
	uint64_t *count = arg;

	(void)finding;
	(*count)++;
}

static int make_engine(struct load *l, uint64_t *findings)
{
	const struct tpi_corr_source where = {"bench", "memory"};
	const struct tpi_corr_options options = {
		.limits = {.keys_per_rule = 1000000, .bytes = 1ull << 30},
		.on_finding = on_finding,
		.arg = findings,
	};
	static struct tpi_rules_errors errors;
	static char text[RULES_MAX * RULE_BYTES];
	struct tpi_rules *rules;
	size_t used = 0;
	int source, err;

	for (unsigned int i = 0; i < l->rules; i++)
		used += put_rule(l, i, text + used);
	err = tpi_rules_parse("bench", text, used, &rules, &errors);
	if (!err)
		err = tpi_corr_new(&l->corr, rules, &options);
	if (err) {
		bench_why("the engine cannot be made: %s %s", strerror(-err),
			  errors.count ? errors.errors[0].text : "");
		return err;
	}
	source = tpi_corr_source(l->corr, &where);
	l->source = (uint16_t)source;
	return source < 0 ? source : 0;
}

/* ---- speed --------------------------------------------------------------------------------- */

static void hand_in(struct load *l, uint64_t from, uint64_t count)
{
	for (uint64_t i = from; i < from + count; i++) {
		const unsigned int at = i % EVENTS;
		const struct tpi_corr_event event = {
			.data = l->blocks[at],
			.length = l->lengths[at],
			.type = ((struct tapio_event *)l->blocks[at])->type,
			.time_ns = TIME_NS + i * EVENT_NS,
			.place = {.position = i + 1, .source = l->source},
		};

		tpi_corr_event(l->corr, &event);
		if (i % BATCH == BATCH - 1)
			tpi_corr_time(l->corr, event.time_ns - LATENESS_NS);
	}
}

static int measure(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct tpi_corr_stats stats;
	struct load *l = arg;
	uint64_t findings = 0, wanted;
	int err = make_engine(l, &findings);

	if (!err)
		err = make_events(l);
	if (err)
		return err;
	hand_in(l, 0, EVENTS);
	shared->side[index].start_ns = bench_now_ns();
	hand_in(l, EVENTS, l->events);
	shared->side[index].end_ns = bench_now_ns();
	tpi_corr_stats(l->corr, &stats);
	wanted = (l->events + EVENTS) * l->percent / 100;
	/* Where a round of events does not divide, some more match. */
	if (stats.events != l->events + EVENTS || findings || stats.late ||
	    (wanted && (stats.candidates < wanted * 9 / 10 ||
			stats.candidates > wanted * 11 / 10)) ||
	    (!wanted && stats.candidates)) {
		bench_why("%" PRIu64 " events, %" PRIu64
			  " matched, and not %" PRIu64 ", %" PRIu64
			  " late, %" PRIu64 " findings",
			  stats.events, stats.candidates, wanted, stats.late,
			  findings);
		return -1;
	}
	return 0;
}

static int run_speed(const struct bench_run *run,
		     const struct bench_subject *subject, double *figures)
{
	struct load l = {
		.rules = (unsigned int)(run->of->param / 100),
		.percent = (unsigned int)(run->of->param % 100),
		.events = run->events,
	};
	const struct bench_side sides[] = {{run->cpus[0], measure, &l}};
	struct bench_shared shared;
	int err = bench_sides_run(sides, 1, &shared);
	double ns = bench_span_ns(&shared) / (double)run->events;

	(void)subject;
	figures[0] = 1e9 / ns;
	figures[1] = ns;
	return err;
}

/* ---- a script that does the same ------------------------------------------------------------- */

/*
 * As one writes it in an hour: an event is a line of JSON, a rule is a comparison of two fields and a
 * window of times for each pid. Rules are found by the type. It prints the time of an event in ns.
 */
static const char script[] =
	"import json,sys,time,collections\n"
	"rules,percent,events=map(int,sys.argv[1:])\n"
	"every=100//percent if percent else 0\n"
	"def number(i): return 200+i%1000 if not every or i//2%every else "
	"i//2//every%((rules+1)//2)\n"
	"lines=[]\n"
	"for i in range(8192):\n"
	"  n=number(i)\n"
	"  e={'time_ns':1700000000000000000+100*i,'pid':1+i%1000}\n"
	"  if i%2 and rules>1: e.update(type='process.start',operation='exec',"
	"executable='/usr/bin/program',comm=f'program{n}')\n"
	"  else: e.update(type='network.connection',operation='close',"
	"peer='10.1.2.3',peer_port=5000+n,sent_bytes=1000,comm='client')\n"
	"  lines.append(json.dumps(e))\n"
	"by=collections.defaultdict(list)\n"
	"for i in range(rules):\n"
	"  r=(f'program{i//2}',) if i%2 else (5000+i//2,)\n"
	"  by['process.start' if i%2 else 'network.connection'].append("
	"('comm' if i%2 else 'peer_port',r[0],collections.defaultdict("
	"collections.deque)))\n"
	"found=0\n"
	"def take(line):\n"
	"  global found\n"
	"  e=json.loads(line)\n"
	"  for field,value,windows in by.get(e['type'],()):\n"
	"    if e[field]==value:\n"
	"      w=windows[e['pid']]; t=e['time_ns']; w.append(t)\n"
	"      while w[0]<t-10**9: w.popleft()\n"
	"      if len(w)>10000: found+=1\n"
	"for l in lines: take(l)\n"
	"begin=time.perf_counter_ns()\n"
	"for i in range(events): take(lines[i%8192])\n"
	"print((time.perf_counter_ns()-begin)/events)\n";

static int run_script(void *arg, struct bench_shared *shared,
		      unsigned int index)
{
	const struct load *l = arg;
	char command[sizeof(script) + 128], text[64] = "";
	FILE *out;

	snprintf(command, sizeof(command), "python3 -c \"%s\" %u %u %" PRIu64,
		 script, l->rules, l->percent, l->events);
	out = popen(command, "re");
	if (!out || !fgets(text, sizeof(text), out))
		text[0] = '\0';
	if (out)
		pclose(out);
	shared->side[index].value[0] = strtod(text, NULL);
	if (shared->side[index].value[0] > 0)
		return 0;
	bench_why("python3 does not run");
	return BENCH_ABSENT;
}

static int run_python(const struct bench_run *run,
		      const struct bench_subject *subject, double *figures)
{
	struct load l = {
		.rules = (unsigned int)(run->of->param / 100),
		.percent = (unsigned int)(run->of->param % 100),
		/* It is slow, and each event takes as long as the one before. */
		.events = run->events / 50,
	};
	const struct bench_side sides[] = {{run->cpus[0], run_script, &l}};
	struct bench_shared shared;
	int err = bench_sides_run(sides, 1, &shared);

	(void)subject;
	figures[1] = shared.side[0].value[0];
	figures[0] = err ? 0 : 1e9 / figures[1];
	return err;
}

/* ---- memory -------------------------------------------------------------------------------- */

static int fill_keys(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct tpi_corr_stats stats;
	struct load *l = arg;
	uint64_t findings = 0, i = 0;
	int err = make_engine(l, &findings);

	if (!err)
		err = make_events(l);
	if (err)
		return err;
	for (; i < l->keys; i++) {
		struct tapio_event *event = (void *)l->blocks[0];
		const struct tpi_corr_event one = {
			.data = event,
			.length = l->lengths[0],
			.type = event->type,
			.time_ns = TIME_NS + i,
			.place = {.position = i + 1, .source = l->source},
		};

		event->pid = (uint32_t)i + 1;
		tpi_corr_event(l->corr, &one);
	}
	tpi_corr_time(l->corr, TIME_NS + i);
	tpi_corr_stats(l->corr, &stats);
	if (stats.keys != l->keys) {
		bench_why("%" PRIu64 " keys live, and not %u", stats.keys,
			  l->keys);
		return -1;
	}
	shared->side[index].value[0] = (double)stats.bytes / (double)stats.keys;
	shared->side[index].value[1] = (double)stats.bytes;
	return 0;
}

static int run_memory(const struct bench_run *run,
		      const struct bench_subject *subject, double *figures)
{
	struct load l = {.rules = 1, .keys = (unsigned int)run->of->param};
	const struct bench_side sides[] = {{run->cpus[0], fill_keys, &l}};
	struct bench_shared shared;
	int err = bench_sides_run(sides, 1, &shared);

	(void)subject;
	figures[0] = shared.side[0].value[0];
	figures[1] = shared.side[0].value[1];
	return err;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static const struct bench_peer engine = {
	.name = "Tapio's engine",
	.package = "",
	.copies = "of matches",
	.across = "one process",
	.death = "a checkpoint keeps its state",
	.kind = BENCH_TAPIO,
};

static const struct bench_peer python = {
	.name = "a script in Python",
	.package = "python3",
	.copies = "of all, from JSON",
	.across = "one process",
	.death = "its windows begin anew",
	.kind = BENCH_PEER,
};

static const struct bench_subject by_python = {&python, NULL, run_python, NULL};
static const struct bench_subject speed = {&engine, NULL, run_speed, NULL};
static const struct bench_subject memory = {&engine, NULL, run_memory, NULL};
static const struct bench_subject *const speeds[] = {&speed, &by_python, NULL};
static const struct bench_subject *const memories[] = {&memory, NULL};

#define SPEED(how, text, rules, percent)                                      \
	.name = "correlate/" how, .title = text,                              \
	.param = (rules)*100 + (percent), .events = 5000000,                  \
	.quick_events = 20000,                                                \
	.figures = {{"events", "events/s", true}, {"an event", "ns", false}}, \
	.subjects = speeds

#define MEMORY(how, text, keys)                                      \
	.name = "correlate/keys/" how, .title = text, .param = keys, \
	.events = keys, .quick_events = keys,                        \
	.figures = {{"a live key", "bytes", false},                  \
		    {"all of them", "bytes", false}},                \
	.subjects = memories,                                        \
	.goals = {GOAL_VALUE("at most 256 bytes a live key", NULL, 0, 256)}

static const struct bench_case cases[] = {
	{SPEED("1/0", "1 rule, no event matches", 1, 0)},
	{SPEED("1/1", "1 rule, 1 % match", 1, 1)},
	{SPEED("1/10", "1 rule, 10 % match", 1, 10)},
	{SPEED("20/0", "20 rules, no event matches", 20, 0)},
	{SPEED("20/1", "20 rules, 1 % match", 20, 1),
	 .goals = {GOAL_VALUE("at least 10 million events/s", NULL, 0, 10e6)}},
	{SPEED("20/10", "20 rules, 10 % match", 20, 10)},
	{SPEED("200/0", "200 rules, no event matches", 200, 0)},
	{SPEED("200/1", "200 rules, 1 % match", 200, 1)},
	{SPEED("200/10", "200 rules, 10 % match", 200, 10)},
	{MEMORY("1k", "1,000 live keys", 1000)},
	{MEMORY("10k", "10,000 live keys", 10000)},
	{MEMORY("100k", "100,000 live keys", 100000)},
	{.name = NULL},
};

const struct bench_question bench_question_correlate = {
	.number = 11,
	.text = "How fast are events correlated, and how much does a key take?",
	.cases = cases,
};
