/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-shmstat: shows a broker's memory, whether the broker lives or not.
 *
 * One look is: collect every part that was asked for as one JSON object, then
 * print that object, as it is or as tables. With --watch the segments stay
 * mapped and only the look is repeated. Their contents outlive the broker.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/tool.h"
#include "tools/shmstat/parts.h"

#define TIMEOUT_NS INT64_C(500000000)

struct arguments {
	struct tpi_connect connect; /* only its socket is used */
	struct tpi_inspect_options look;
	int64_t watch_ns;
	uint32_t parts;
	bool json;
	bool all;
};

#define OPTION_SCAN    1
#define OPTION_TIMEOUT 2

static const struct argp_option options[] = {
	{"socket", 's', "PATH", 0, TPI_SOCKET_HELP, 0},
	{"pid", 'p', "PID", 0,
	 "Look into the memory that this process holds: a broker or a client",
	 0},
	{"scan", OPTION_SCAN, NULL, 0,
	 "If no broker answers, look into every process (the default when no "
	 "socket is named)",
	 0},
	{"timeout", OPTION_TIMEOUT, "TIME", 0,
	 "How long the broker may take to answer (default: 500ms)", 0},
	{"json", 'j', NULL, 0, "Print JSON", 0},
	{"watch", 'w', "INTERVAL", 0,
	 "Look again after each interval, until interrupted", 0},
	{"all", 'a', NULL, 0, "Also show side lanes that were never used", 0},
	{0},
};

static const char doc[] =
	"Shows the memory of a Tapio broker: its segments, how full its lanes are, "
	"its clients, and an account of every event.\v"
	"Examples:\n"
	"  tapio-shmstat lanes                  how full, and what was refused\n"
	"  tapio-shmstat groups                 who reads, and what was lost\n"
	"  tapio-shmstat --json ledger          every event accounted for\n"
	"  tapio-shmstat --pid $(pidof tapiod)  a broker that does not answer\n"
	"\n"
	"Exit status: 0 all is well, 1 something does not balance or cannot be "
	"read, 2 wrong usage, 3 no broker was found, 4 it is of another version.";

static void parse_part(struct arguments *args, struct argp_state *state,
		       const char *name)
{
	args->parts = parts_by_name(name);
	if (!args->parts)
		argp_error(state,
			   "'%s' is not one of all, broker, channels, "
			   "segments, lanes, groups, clients, ledger",
			   name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 's':
		args->connect.socket = arg;
		return 0;
	case 'p':
		args->look.pid =
			(pid_t)tpi_arg_count(state, "--pid", arg, 1, INT32_MAX);
		return 0;
	case OPTION_SCAN:
		args->look.scan = true;
		return 0;
	case OPTION_TIMEOUT:
		args->look.timeout_ns =
			tpi_arg_duration(state, "--timeout", arg);
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case 'w':
		args->watch_ns = tpi_arg_duration(state, "--watch", arg);
		if (args->watch_ns < 1000000)
			argp_error(state, "--watch: %s is less than 1ms", arg);
		return 0;
	case 'a':
		args->all = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			return ARGP_ERR_UNKNOWN;
		parse_part(args, state, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc =
		"[all|broker|channels|segments|lanes|groups|clients|ledger]",
	.doc = doc,
};

static enum tpi_exit explain(int err, const char *error)
{
	tpi_say("%s", *error ? error : strerror(-err));
	switch (err) {
	case -EPROTONOSUPPORT:
		return TPI_EXIT_REFUSED;
	case -ENOENT:
	case -EACCES:
	case -ENOTUNIQ:
		return TPI_EXIT_NO_BROKER;
	default:
		return TPI_EXIT_FAILURE;
	}
}

static void print_json(const json_t *look, const struct arguments *args)
{
	size_t flags = args->watch_ns ? JSON_COMPACT : JSON_INDENT(2);

	json_dumpf(look, stdout, flags | JSON_REAL_PRECISION(6));
	putchar('\n');
}

/* One look. Its exit status. */
static int show(const struct tpi_inspect *inspect, const struct arguments *args)
{
	json_t *look = parts_collect(inspect, args->parts);
	bool healthy;

	if (!look) {
		tpi_say("out of memory");
		return TPI_EXIT_FAILURE;
	}
	healthy = json_is_true(json_object_get(look, "healthy"));
	if (args->json) {
		print_json(look, args);
	} else {
		if (args->watch_ns && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		parts_print(look, args->parts, args->all);
	}
	json_decref(look);
	fflush(stdout);
	return healthy ? TPI_EXIT_OK : TPI_EXIT_FAILURE;
}

static int run(const struct tpi_inspect *inspect, const struct arguments *args)
{
	int64_t next = tpi_monotonic_ns();
	int status;

	tpi_signals_init();
	do {
		status = show(inspect, args);
		if (ferror(stdout))
			return TPI_EXIT_FAILURE;
		next += args->watch_ns;
	} while (args->watch_ns && tpi_sleep_until(next));
	return status;
}

int main(int argc, char **argv)
{
	struct arguments args = {
		.look.timeout_ns = TIMEOUT_NS,
		.parts = PARTS_DEFAULT,
	};
	struct tpi_inspect *inspect;
	char error[512];
	int err, status;

	tpi_tool_init("tapio-shmstat");
	argp_parse(&argp, argc, argv, 0, NULL, &args);
	args.look.socket = tpi_connect_socket(&args.connect);
	if (!args.connect.socket && !getenv("TAPIO_SOCKET"))
		args.look.scan = true;
	err = tpi_inspect_open(&inspect, &args.look, error, sizeof(error));
	if (err)
		return explain(err, error);
	if (*inspect->note)
		tpi_say("no answer from the broker (%s): showing what process "
			"%d holds",
			inspect->note, (int)inspect->pid);
	status = run(inspect, &args);
	tpi_inspect_close(inspect);
	return status;
}
