/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod: the broker as a program. Its options. check.c looks at configurations, keeping.c
 * chooses the keeper, and serve.c serves. Stays in the foreground and logs to stderr, as
 * service managers want it.
 */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include <tapio/abi.h>
#include <tapio/common.h>
#include <tapio/version.h>

#include "broker/loop/log.h"
#include "broker/tapiod.h"
#include "lib/base/output.h"
#include "lib/base/own_fd.h"
#include "lib/base/versions.h"

enum {
	KEY_CHECK = 256,
	KEY_PRINT,
	KEY_DISCARD,
	KEY_SIMULATE,
	KEY_KEEPER,
	KEY_NO_KEEPER,
	KEY_RELOAD,
	KEY_REPLACE,
};

static const struct argp_option options[] = {
	{"config", 'c', "FILE", 0,
	 "Read this configuration (default: " TAPIOD_CONFIG_DEFAULT
	 " if it exists, else the default of every option)",
	 0},
	{"socket", 's', "NAME", 0,
	 "Listen here instead of where the configuration says: a path, or @name "
	 "for an abstract socket (default: " TAPIO_SOCKET_DEFAULT
	 ", or for a plain user $XDG_RUNTIME_DIR/tapio/tapiod.sock)",
	 0},
	{"log-level", 'l', "LEVEL", 0,
	 "error, warning, notice (default), info or debug", 0},
	{"discard-memory", KEY_DISCARD, NULL, 0,
	 "Begin with new memory, and give up that of a broker that was killed, "
	 "with the events that its groups have not read",
	 0},
	{"foreground", 'f', NULL, 0, "Stay in the foreground; it always does",
	 0},
	{"keeper", KEY_KEEPER, "WHICH", 0,
	 "The keeper of the memory when the broker is killed: process, systemd, "
	 "none, or auto (default: systemd's fd store if there is one, else a process)",
	 0},
	{"no-keeper", KEY_NO_KEEPER, NULL, 0,
	 "The same as --keeper=none: one process, and its memory ends with it",
	 0},
	{"check", KEY_CHECK, "FILE", 0,
	 "Check a configuration, print the memory that it takes, and exit", 1},
	{"simulate", KEY_SIMULATE, "CPUS[xNODES]", 0,
	 "With --check: as on a machine with so many CPUs and NUMA nodes", 1},
	{"reload", KEY_RELOAD, NULL, 0,
	 "Make the broker that runs take its changed configuration, and exit",
	 1},
	{"replace", KEY_REPLACE, NULL, 0,
	 "Take over from the tapiod that runs at the socket, with its memory and "
	 "its clients, and serve in its place",
	 0},
	{"print-config", KEY_PRINT, NULL, 0,
	 "Print the configuration with every default, and exit", 1},
	{0},
};

static void parse_simulate(struct arguments *a, const char *text,
			   struct argp_state *state)
{
	unsigned int cpus, nodes = 1;
	int n = 0, m = 0;

	if (sscanf(text, "%u%nx%u%n", &cpus, &n, &nodes, &m) < 1 ||
	    text[m ? m : n] || !cpus)
		argp_error(state,
			   "--simulate=%s: must be CPUS or CPUSxNODES, "
			   "as 256 or 256x8",
			   text);
	a->cpus = cpus;
	a->nodes = nodes;
}

static void parse_keeper(struct arguments *a, const char *text,
			 struct argp_state *state)
{
	static const char *const words[] = {
		[KEEPER_AUTO] = "auto",
		[KEEPER_PROCESS] = "process",
		[KEEPER_SYSTEMD] = "systemd",
		[KEEPER_NONE] = "none",
	};

	for (int i = KEEPER_AUTO; i <= KEEPER_NONE; i++) {
		if (strcmp(text, words[i]))
			continue;
		a->keeper = (enum keeper_choice)i;
		return;
	}
	argp_error(state,
		   "--keeper=%s: not one of process, systemd, none, auto",
		   text);
}

static void check_replace(const struct arguments *a, struct argp_state *state)
{
	if (!a->replace)
		return;
	if (a->reload || a->print || a->check || a->discard)
		argp_error(state, "--replace excludes --reload, --check, "
				  "--print-config and --discard-memory");
	if (a->keeper == KEEPER_SYSTEMD)
		argp_error(state, "--replace is not for --keeper=systemd: "
				  "restart the service (systemctl restart), "
				  "and systemd keeps the memory");
	if (a->keeper == KEEPER_NONE)
		argp_error(state, "--replace needs a keeper: with "
				  "--keeper=none the memory has no other "
				  "process that could hold it meanwhile");
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'c':
		a->config = text;
		return 0;
	case 's':
		a->socket = text;
		return 0;
	case 'l':
		a->log_level = tpi_log_level(text);
		if (a->log_level < 0)
			argp_error(state,
				   "--log-level=%s: not one of error, "
				   "warning, notice, info, debug",
				   text);
		return 0;
	case 'f':
		return 0;
	case KEY_CHECK:
		a->check = text;
		return 0;
	case KEY_PRINT:
		a->print = true;
		return 0;
	case KEY_RELOAD:
		a->reload = true;
		return 0;
	case KEY_REPLACE:
		a->replace = true;
		return 0;
	case KEY_DISCARD:
		a->discard = true;
		return 0;
	case KEY_SIMULATE:
		parse_simulate(a, text, state);
		return 0;
	case KEY_KEEPER:
		parse_keeper(a, text, state);
		return 0;
	case KEY_NO_KEEPER:
		a->keeper = KEEPER_NONE;
		return 0;
	case ARGP_KEY_END:
		if (a->cpus && !a->check)
			argp_error(state, "--simulate needs --check");
		if (a->reload + a->print + (a->check != NULL) > 1)
			argp_error(state, "--reload, --check and "
					  "--print-config exclude one another");
		check_replace(a, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument \"%s\"", text);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_version(FILE *out, struct argp_state *state)
{
	(void)state;
	fprintf(out, "tapiod %s (layout %d.%d)\n", tapio_version(),
		TAPIO_ABI_MAJOR, TPI_ABI_MINOR);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "The Tapio event broker: allocates shared memory, hands "
		       "it out to producers and consumers, and takes back what "
		       "dead processes held.\v"
		       "Examples:\n"
		       "  tapiod --print-config >my.conf   a configuration to "
		       "edit\n"
		       "  tapiod --check my.conf           is it right, and "
		       "does it fit?\n"
		       "  tapiod --check my.conf --simulate 256x8\n"
		       "  tapiod -c my.conf -s /tmp/tapiod.sock\n"
		       "  tapiod --reload                  after a change of its "
		       "file\n"
		       "  tapiod --replace -c my.conf      a new build, while all "
		       "goes on\n"
		       "\n"
		       "Exit status: 0 stopped by a signal or replaced, or the "
		       "check passed, or the reload is taken; 1 configuration; 2 usage; 3 memory or "
		       "descriptors; 4 socket; 5 neither io_uring nor epoll; 6 "
		       "anything else. See tapiod(8) and tapiod.conf(5).",
	};
	struct arguments a = {.argv = argv, .log_level = TAPIO_LOG_NOTICE};
	struct tapiod_keeping *keeping;
	int status;

	tpi_fd_occupy_stdio();
	tpi_output_check_at_exit("tapiod", EXIT_OTHER);
	argp_program_version_hook = print_version;
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (a.check)
		return tapiod_check(&a);
	if (a.print)
		return tapiod_print_config(&a);
	if (a.reload)
		return tapiod_reload(&a);
	status = a.replace ? tapiod_replace(&a, &keeping)
			   : tapiod_keeping_begin(&a, &keeping);
	return status < 0 ? tapiod_serve(&a, keeping) : status;
}
