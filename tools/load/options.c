/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: the options, their combinations, the defaults. */
#include "tools/load/options.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tapio/abi.h>
#include <tapio/consumer.h>

#include "lib/memory/policy.h"
#include "tools/common/parse.h"
#include "tools/load/scoreboard.h"
#include "tools/load/check.h"
#include "tools/load/event.h"

/* How long events wait for earlier ones, when merging. */
#define MERGE_NS     1000000
#define STILL_NS_MAX INT64_C(3600000000000)
/* Where --kill-broker does not say. With --kill-all the run waits for them. */
#define BROKER_KILLS_PER_S 50
#define ALL_KILLS_PER_S    250
/* And --kill-instance. It waits until all handles have moved. */
#define INSTANCE_KILLS_PER_S 10

enum {
	KEY_GROUPS = 256,
	KEY_MEMBERS,
	KEY_RATE,
	KEY_SIZE,
	KEY_POLL,
	KEY_DISCARD,
	KEY_DROP,
	KEY_POLICY,
	KEY_MERGE,
	KEY_FILTER,
	KEY_SEED,
	KEY_CHANNEL,
	KEY_BLOCKS,
	KEY_BLOCK_BYTES,
	KEY_STAMP,
	KEY_PIN,
	KEY_KILL,
	KEY_KILL_CONSUMERS,
	KEY_KILL_BROKER,
	KEY_KILL_KEEPER,
	KEY_KILL_INSTANCE,
	KEY_KILL_ALL,
	KEY_STOP,
	KEY_STILL,
	KEY_ROOM,
	KEY_NO_CHECK,
	KEY_BASELINE,
	KEY_SABOTAGE,
};

#define TEXT(t) 0, t, 0

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Load:", 1},
	{"producers", 'p', "P", TEXT("Producer processes (1)")},
	{"consumers", 'c', "C", TEXT("Consumer processes, all groups (1)")},
	{"groups", KEY_GROUPS, "G", TEXT("Groups; each gets every event (1)")},
	{"members", KEY_MEMBERS, "M", TEXT("Consumer processes per group")},
	{"events", 'n', "N", TEXT("Stop after N events of each producer")},
	{"duration", 'd', "TIME", TEXT("Stop after this time (5s)")},
	{"rate", KEY_RATE, "R", TEXT("Events per second and producer")},
	{"size", KEY_SIZE, "BYTES",
	 TEXT("Size of an event, or a range as 64..1K (64)")},
	{"mode", 'm', "MODE",
	 TEXT("output (one call each), reserve (filled in place), batch, mix")},
	{"batch", 'b', "N",
	 TEXT("Events per call of a producer (1; in batch and mix 16)")},
	{"poll", KEY_POLL, "N", TEXT("Events per call of a consumer (256)")},
	{"discard", KEY_DISCARD, "N",
	 TEXT("In reserve and mix discard every Nth reservation")},
	{"drop", KEY_DROP, NULL,
	 TEXT("Do not try again when an event is refused")},
	{"policy", KEY_POLICY, "P[,P..]",
	 TEXT("Of the groups, in turn: lossless (default), until, lossy")},
	{"merge", KEY_MERGE, "WAIT", OPTION_ARG_OPTIONAL,
	 "Consumers get events in the order of time stamps, each when it is this "
	 "old (1ms)",
	 0},
	{"filter", KEY_FILTER, "N",
	 TEXT("After every N events one of another type, which consumers "
	      "filter out")},
	{"pin", KEY_PIN, "CPUS", OPTION_ARG_OPTIONAL,
	 "Pin producers, then consumers, in turn to these CPUs, as 0,2-3 (default: "
	 "to all that it may run on)",
	 0},
	{"seed", KEY_SEED, "N", TEXT("Seed of all random choices")},
	{NULL, 0, NULL, 0, "Faults:", 2},
	{"kill", KEY_KILL, "N",
	 TEXT("SIGKILL producers at N random instants and replace them")},
	{"kill-consumers", KEY_KILL_CONSUMERS, "N",
	 TEXT("The same with consumers (two members per group or more)")},
	{"kill-broker", KEY_KILL_BROKER, "N | R/s",
	 TEXT("SIGKILL the broker N times, or R times a second for --duration, "
	      "after as long without kills to compare with")},
	{"kill-keeper", KEY_KILL_KEEPER, "N",
	 TEXT("The same with the process that keeps the broker's memory")},
	{"kill-instance", KEY_KILL_INSTANCE, "N | R/s",
	 TEXT("As --kill-broker, but both of them at once, so that their memory is "
	      "lost, and start tapiod anew")},
	{"kill-all", KEY_KILL_ALL, "N",
	 TEXT("N kills: of producers, consumers, the broker and its keeper")},
	{"stop", KEY_STOP, "N",
	 TEXT("SIGSTOP processes at N random instants for a while")},
	{"stand-still", KEY_STILL, "TIME", OPTION_ARG_OPTIONAL,
	 "After this time (1s) SIGSTOP all members of the first group for as long, "
	 "while another channel goes on working",
	 0},
	{NULL, 0, NULL, 0, "Broker (by default one of its own):", 3},
	{"channel", KEY_CHANNEL, "NAME", TEXT("Channel to use (load)")},
	{"blocks", KEY_BLOCKS, "N",
	 TEXT("Own broker: blocks per lane, a power of two (4096)")},
	{"block-bytes", KEY_BLOCK_BYTES, "BYTES",
	 TEXT("Own broker: size of a block (as the largest event)")},
	{"room-wait", KEY_ROOM, "TIME",
	 TEXT("Own broker: how long producers wait for room (not at all)")},
	{"stamp", KEY_STAMP, "HOW",
	 TEXT("Own broker: time stamps, none (default), tsc, clock")},
	{NULL, 0, NULL, 0, "Output and checks:", 4},
	{"json", 'j', NULL, TEXT("Print the summary line and nothing else")},
	{"no-check", KEY_NO_CHECK, NULL,
	 TEXT("Count events only: the speed without the checker")},
	{"baseline", KEY_BASELINE, NULL,
	 TEXT("Also measure a plain store-and-publish loop, and compare")},
	{"sabotage", KEY_SABOTAGE, "KIND",
	 TEXT("Let a consumer lose, duplicate or tamper with one event: the "
	      "run must fail")},
	{0},
};

static const char doc[] =
	"Loads a Tapio channel and checks that every event arrives, once, whole "
	"and in order.\v"
	"Examples:\n"
	"  tapio-load                           5 seconds, its own broker\n"
	"  tapio-load --kill 2000 -p 3          kill producers, lose nothing\n"
	"  tapio-load --pin --no-check -d 4s    the speed of the channel alone\n"
	"\n"
	"The last line on stdout is a summary in JSON. Exit status: 0 nothing was "
	"lost, duplicated, corrupt or wedged, 1 something was, or the run failed, "
	"2 wrong usage, 3 no broker, 4 refused.";

/* The index of a word among `count`, or wrong usage. */
static int word(struct argp_state *state, const char *option, const char *text,
		const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(text, words[i]))
			return i;
	argp_error(state, "%s: '%s' is not one of %s, %s, %s%s%s", option, text,
		   words[0], words[1], words[2], count > 3 ? ", " : "",
		   count > 3 ? words[3] : "");
	return 0;
}

static uint32_t count(struct argp_state *state, const char *option,
		      const char *text, uint64_t max)
{
	return (uint32_t)tpi_arg_count(state, option, text, 1, max);
}

/* "lossless,lossy" */
static void parse_policies(struct load_options *o, struct argp_state *state,
			   const char *text)
{
	uint32_t policy;
	char one[16];

	o->policy_count = 0;
	for (;; text++) {
		size_t length = strcspn(text, ",");

		if (length >= sizeof(one) ||
		    o->policy_count == TAPIO_GROUP_SLOTS)
			argp_error(
				state,
				"--policy: '%s' is not a list of lossless, until, lossy",
				text);
		memcpy(one, text, length);
		one[length] = '\0';
		policy = tpi_policy_parse(one);
		if (!policy)
			argp_error(state,
				   "--policy: '%s' is not one of lossy, until, "
				   "lossless",
				   one);
		o->policies[o->policy_count++] = policy;
		text += length;
		if (!*text)
			return;
	}
}

static void parse_size(struct load_options *o, struct argp_state *state,
		       const char *text)
{
	const char *dots = strstr(text, "..");
	char low[32];

	if (!dots) {
		o->size_min = o->size_max = (uint32_t)tpi_arg_size(
			state, "--size", text, LOAD_EVENT_MIN,
			TAPIO_BLOCK_BYTES_MAX);
		return;
	}
	if ((size_t)(dots - text) >= sizeof(low))
		argp_error(state, "--size: '%s' is not a range", text);
	memcpy(low, text, (size_t)(dots - text));
	low[dots - text] = 0;
	o->size_min = (uint32_t)tpi_arg_size(
		state, "--size", low, LOAD_EVENT_MIN, TAPIO_BLOCK_BYTES_MAX);
	o->size_max = (uint32_t)tpi_arg_size(
		state, "--size", dots + 2, o->size_min, TAPIO_BLOCK_BYTES_MAX);
}

/* "0,2-3" */
static void parse_cpus(struct load_options *o, struct argp_state *state,
		       const char *text)
{
	char *end;

	for (const char *at = text; o->cpu_count < LOAD_CPUS_MAX;
	     at = end + 1) {
		long first = strtol(at, &end, 10), last = first;

		if (end != at && *end == '-') {
			at = end + 1;
			last = strtol(at, &end, 10);
		}
		if (end == at || (*end && *end != ',') || first < 0 ||
		    last < first || last >= CPU_SETSIZE)
			argp_error(state, "--pin: '%s' is not a list of CPUs",
				   text);
		while (first <= last && o->cpu_count < LOAD_CPUS_MAX)
			o->cpus[o->cpu_count++] = (int)first++;
		if (!*end)
			return;
	}
}

/* Every CPU that we may run on. */
static void allowed_cpus(struct load_options *o)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && o->cpu_count < LOAD_CPUS_MAX)
			o->cpus[o->cpu_count++] = cpu;
}

struct parsed {
	struct load_options *o;
	uint32_t consumers;
	bool duration_given;
	uint64_t *rate_of; /* the kills that are given as a rate, or NULL */
	bool kill_all;
};

static error_t parse_load(int key, char *arg, struct argp_state *state)
{
	static const char *const modes[] = {"output", "reserve", "batch",
					    "mix"};
	struct parsed *p = state->input;
	struct load_options *o = p->o;

	switch (key) {
	case 'p':
		o->producers =
			count(state, "--producers", arg, LOAD_PLACES_MAX - 1);
		return 0;
	case 'c':
		p->consumers = count(state, "--consumers", arg, 4096);
		return 0;
	case KEY_GROUPS:
		o->groups = count(state, "--groups", arg, TAPIO_GROUP_SLOTS);
		return 0;
	case KEY_MEMBERS:
		o->members = count(state, "--members", arg, 4096);
		return 0;
	case 'n':
		o->events = tpi_arg_count(state, "--events", arg, 1,
					  UINT64_C(100000000000));
		return 0;
	case 'd':
		o->duration_ns = tpi_arg_duration(state, "--duration", arg);
		p->duration_given = true;
		return 0;
	case KEY_RATE:
		o->rate = tpi_arg_rate(state, "--rate", arg);
		return 0;
	case KEY_SIZE:
		parse_size(o, state, arg);
		return 0;
	case 'm':
		o->mode = (enum load_mode)word(state, "--mode", arg, modes, 4);
		return 0;
	case 'b':
		o->batch = count(state, "--batch", arg, LOAD_BATCH_MAX);
		return 0;
	case KEY_POLL:
		o->poll = count(state, "--poll", arg, LOAD_POLL_MAX);
		return 0;
	case KEY_DISCARD:
		o->discard_every = (uint32_t)tpi_arg_count(state, "--discard",
							   arg, 2, UINT32_MAX);
		return 0;
	case KEY_DROP:
		o->drop = true;
		return 0;
	case KEY_POLICY:
		parse_policies(o, state, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* "200", or "10/s" */
static void parse_kills(struct parsed *p, struct argp_state *state,
			const char *option, uint64_t *kills, const char *text)
{
	size_t digits = strspn(text, "0123456789");
	char number[32];

	if (!text[digits]) {
		*kills = count(state, option, text, 10000000);
		return;
	}
	if (strcmp(text + digits, "/s") || digits >= sizeof(number))
		argp_error(state,
			   "%s: '%s' is neither a number of kills nor one per "
			   "second, as 10/s",
			   option, text);
	memcpy(number, text, digits);
	number[digits] = '\0';
	p->o->broker_rate = count(state, option, number, 1000);
	p->rate_of = kills;
}

/* Half of them producers, and few keepers: each kind often enough. */
static void parse_kill_all(struct parsed *p, struct argp_state *state,
			   const char *text)
{
	struct load_options *o = p->o;
	uint64_t kills = tpi_arg_count(state, "--kill-all", text, 20, 10000000);

	o->kills_consumers = kills / 4;
	o->kills_broker = kills / 5;
	o->kills_keeper = kills / 20;
	o->kills = kills - kills / 4 - kills / 5 - kills / 20;
	p->kill_all = true;
}

static error_t parse_faults(int key, char *arg, struct argp_state *state)
{
	static const char *const kinds[] = {"lose", "duplicate", "tamper"};
	struct load_options *o = ((struct parsed *)state->input)->o;

	switch (key) {
	case KEY_KILL:
		o->kills = count(state, "--kill", arg, 10000000);
		return 0;
	case KEY_KILL_CONSUMERS:
		o->kills_consumers =
			count(state, "--kill-consumers", arg, 1000000);
		return 0;
	case KEY_KILL_BROKER:
		parse_kills(state->input, state, "--kill-broker",
			    &o->kills_broker, arg);
		return 0;
	case KEY_KILL_INSTANCE:
		parse_kills(state->input, state, "--kill-instance",
			    &o->kills_instance, arg);
		return 0;
	case KEY_KILL_KEEPER:
		o->kills_keeper = count(state, "--kill-keeper", arg, 10000000);
		return 0;
	case KEY_KILL_ALL:
		parse_kill_all(state->input, state, arg);
		return 0;
	case KEY_STOP:
		o->stops = count(state, "--stop", arg, 10000000);
		return 0;
	case KEY_STILL:
		o->still_ns = INT64_C(1000000000);
		if (arg)
			o->still_ns =
				tpi_arg_duration(state, "--stand-still", arg);
		if (o->still_ns < 1 || o->still_ns > STILL_NS_MAX)
			argp_error(state,
				   "--stand-still: '%s' is outside 1ns to 1h",
				   arg);
		return 0;
	case KEY_NO_CHECK:
		o->check = false;
		return 0;
	case KEY_BASELINE:
		o->baseline = true;
		return 0;
	case KEY_SABOTAGE:
		o->sabotage =
			LOAD_LOSE +
			(unsigned int)word(state, "--sabotage", arg, kinds, 3);
		return 0;
	case 'j':
		o->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void parse_merge(struct load_options *o, struct argp_state *state,
			const char *text)
{
	o->merge_ns = (uint64_t)tpi_arg_duration(state, "--merge", text);
	if (!o->merge_ns || o->merge_ns > TAPIO_MERGE_NS_MAX)
		argp_error(state, "--merge: '%s' is outside 1ns to 1m", text);
}

static error_t parse_rest(int key, char *arg, struct argp_state *state)
{
	static const char *const stamps[] = {"none", "tsc", "clock"};
	struct load_options *o = ((struct parsed *)state->input)->o;

	switch (key) {
	case KEY_PIN:
		o->pin = true;
		if (arg)
			parse_cpus(o, state, arg);
		return 0;
	case KEY_SEED:
		o->seed = tpi_arg_count(state, "--seed", arg, 0, UINT64_MAX);
		return 0;
	case KEY_CHANNEL:
		o->channel = arg;
		return 0;
	case KEY_BLOCKS:
		o->blocks = count(state, "--blocks", arg, TAPIO_BLOCKS_MAX);
		return 0;
	case KEY_BLOCK_BYTES:
		o->block_bytes = (uint32_t)tpi_arg_size(
			state, "--block-bytes", arg, 64, TAPIO_BLOCK_BYTES_MAX);
		return 0;
	case KEY_MERGE:
		o->merge_ns = MERGE_NS;
		if (arg)
			parse_merge(o, state, arg);
		return 0;
	case KEY_FILTER:
		o->filter = count(state, "--filter", arg, UINT32_MAX);
		return 0;
	case KEY_ROOM:
		o->room_ns = tpi_arg_duration(state, "--room-wait", arg);
		if (o->room_ns < 0)
			argp_error(state,
				   "--room-wait: 'forever' is not possible");
		return 0;
	case KEY_STAMP:
		o->stamp = stamps[word(state, "--stamp", arg, stamps, 3)];
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* A rate is a number of kills in the time that the run has. */
static void settle_broker(const struct parsed *p)
{
	struct load_options *o = p->o;

	if (!p->rate_of) {
		o->broker_rate = p->kill_all         ? ALL_KILLS_PER_S
				 : o->kills_instance ? INSTANCE_KILLS_PER_S
						     : BROKER_KILLS_PER_S;
		return;
	}
	*p->rate_of =
		(uint64_t)o->duration_ns / 1000 * o->broker_rate / 1000000;
	if (!*p->rate_of)
		*p->rate_of = 1;
	o->broker_compare = true;
}

/* Combinations of options, and defaults that follow from others. */
static void settle(struct parsed *p, struct argp_state *state)
{
	struct load_options *o = p->o;
	uint32_t least = o->kills_consumers ? 2 : 1;

	if (!o->members) {
		o->members = p->consumers ? p->consumers / o->groups : least;
		if (p->consumers % o->groups)
			argp_error(state,
				   "--consumers: %u is not a multiple of the "
				   "%u groups",
				   p->consumers, o->groups);
	} else if (p->consumers && p->consumers != o->members * o->groups) {
		argp_error(state, "--consumers: %u is not %u groups of %u",
			   p->consumers, o->groups, o->members);
	}
	if (o->members < least)
		argp_error(state,
			   "--kill-consumers needs --members 2 or more: a "
			   "group ends with its last member");
	if (!o->batch)
		o->batch =
			o->mode == LOAD_BATCH || o->mode == LOAD_MIX ? 16 : 1;
	if (o->mode == LOAD_OUTPUT && o->batch > 1)
		argp_error(state, "--batch needs --mode reserve, batch or mix");
	if (o->discard_every && o->mode != LOAD_RESERVE && o->mode != LOAD_MIX)
		argp_error(state, "--discard needs --mode reserve or mix");
	if (p->rate_of && !p->duration_given)
		o->duration_ns = INT64_C(5000000000);
	if (!p->duration_given && !o->events && !o->kills &&
	    !o->kills_consumers && !load_broker_dies(o) && !o->stops &&
	    !o->still_ns)
		o->duration_ns = INT64_C(5000000000);
	if (o->duration_ns == TAPIO_FOREVER)
		argp_error(state, "--duration: 'forever' is not possible");
	settle_broker(p);
	if (!o->block_bytes)
		o->block_bytes = (o->size_max + 63) & ~63u;
	if (!o->stamp)
		o->stamp = o->merge_ns ? "tsc" : "none";
	if (o->merge_ns && !strcmp(o->stamp, "none"))
		argp_error(state, "--merge needs --stamp tsc or clock");
	if (o->pin && !o->cpu_count)
		allowed_cpus(o);
}

static void refuse_combinations(const struct load_options *o,
				struct argp_state *state)
{
	if (o->blocks & (o->blocks - 1) || o->blocks < 4)
		argp_error(state,
			   "--blocks: %u is not a power of two of 4 or more",
			   o->blocks);
	if (o->block_bytes % 64 || o->block_bytes < o->size_max)
		argp_error(state,
			   "--block-bytes: %u is not a multiple of 64, or is "
			   "less than the largest event of %u",
			   o->block_bytes, o->size_max);
	if (!o->check && (o->kills || o->kills_consumers ||
			  load_broker_dies(o) || o->sabotage))
		argp_error(
			state,
			"--no-check excludes --sabotage and all kills, whose "
			"effects the check finds");
	if (load_broker_dies(o) &&
	    (o->connect.socket || getenv("TAPIO_SOCKET") || o->still_ns))
		argp_error(
			state,
			"--kill-broker, --kill-keeper, --kill-instance and "
			"--kill-all need the tool's own broker (no --socket, no "
			"TAPIO_SOCKET) and exclude --stand-still");
	if (o->kills_instance &&
	    (o->kills || o->kills_consumers || o->kills_broker ||
	     o->kills_keeper || o->stops || o->merge_ns || o->filter ||
	     (o->mode != LOAD_OUTPUT && o->mode != LOAD_BATCH)))
		argp_error(state,
			   "--kill-instance excludes other kills, --stop, "
			   "--merge and --filter, and needs --mode output or "
			   "batch: losses are counted in positions, and "
			   "each has to be an event");
	if (o->still_ns && (o->kills || o->kills_consumers || o->stops ||
			    o->connect.socket || getenv("TAPIO_SOCKET")))
		argp_error(state,
			   "--stand-still needs the tool's own broker (no "
			   "--socket, no TAPIO_SOCKET) and excludes other "
			   "faults");
	if (o->kills_consumers && !load_all_lossless(o))
		argp_error(state,
			   "--kill-consumers needs lossless groups: others "
			   "may lose what a dead member had read");
	if (o->baseline && (o->producers > 1 || o->members * o->groups > 1))
		argp_error(state,
			   "--baseline needs one producer and one consumer");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct parsed *p = state->input;
	error_t err;

	if (key == ARGP_KEY_INIT) {
		state->child_inputs[0] = &p->o->connect;
		return 0;
	}
	if (key == ARGP_KEY_END) {
		settle(p, state);
		refuse_combinations(p->o, state);
		return 0;
	}
	err = parse_load(key, arg, state);
	if (err == ARGP_ERR_UNKNOWN)
		err = parse_faults(key, arg, state);
	return err == ARGP_ERR_UNKNOWN ? parse_rest(key, arg, state) : err;
}

void load_options_parse(struct load_options *o, int argc, char **argv)
{
	const struct argp_child children[] = {{&tpi_connect_argp, 0, NULL, 3},
					      {0}};
	const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = doc,
		.children = children,
	};
	struct parsed parsed = {.o = o};

	*o = (struct load_options){
		.connect = {.own_broker = true},
		.channel = "load",
		.blocks = 4096,
		.producers = 1,
		.groups = 1,
		.policies = {TAPIO_GROUP_LOSSLESS},
		.policy_count = 1,
		.size_min = 64,
		.size_max = 64,
		.poll = 256,
		.check = true,
		.seed = (uint64_t)tpi_monotonic_ns(),
	};
	argp_parse(&argp, argc, argv, 0, NULL, &parsed);
	o->own_broker = !o->connect.socket && !getenv("TAPIO_SOCKET");
}

uint32_t load_policy(const struct load_options *o, uint32_t group)
{
	return o->policies[group % o->policy_count];
}

bool load_all_lossless(const struct load_options *o)
{
	for (uint32_t i = 0; i < o->groups; i++)
		if (load_policy(o, i) != TAPIO_GROUP_LOSSLESS)
			return false;
	return true;
}

bool load_broker_dies(const struct load_options *o)
{
	return o->kills_broker || o->kills_keeper || o->kills_instance;
}

int load_cpu(const struct load_options *o, uint32_t n)
{
	return o->cpu_count ? o->cpus[n % o->cpu_count] : -1;
}
