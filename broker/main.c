/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod: the broker as a program. Options, signals, exit statuses. The rest is
 * broker.c's. Stays in the foreground and logs to stderr, as service managers
 * want it.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <tapio/common.h>
#include <tapio/version.h>

#include "broker/broker.h"
#include "broker/config/budget.h"
#include "broker/loop/log_writer.h"
#include "lib/base/error.h"
#include "lib/base/output.h"
#include "lib/base/own_fd.h"
#include "lib/wire/fdpass.h"
#include "lib/wire/socket_name.h"

/* As in tapiod(8). */
enum exit_status {
	EXIT_OK = 0,
	EXIT_CONFIG = 1,
	EXIT_USAGE = 2,
	EXIT_MEMORY = 3,
	EXIT_SOCKET = 4,
	EXIT_IO_URING = 5,
	EXIT_OTHER = 6,
};

/* Where `cmake --install` puts the configuration. The unit names the same file. */
#define CONFIG_DEFAULT TAPIO_CONFIG_FILE

/* The last lines of the log may take so long. */
#define LOG_SECONDS 1

enum {
	KEY_CHECK = 256,
	KEY_PRINT,
	KEY_SIMULATE
};

struct arguments {
	const char *config;
	const char *check;
	const char *socket;
	bool print;
	int log_level;
	uint32_t cpus; /* 0: this machine's */
	uint32_t nodes;
};

static const struct argp_option options[] = {
	{"config", 'c', "FILE", 0,
	 "Read this configuration (default: " CONFIG_DEFAULT
	 " if it exists, else the default of every option)",
	 0},
	{"socket", 's', "NAME", 0,
	 "Listen here instead of where the configuration says: a path, or @name "
	 "for an abstract socket (default: " TAPIO_SOCKET_DEFAULT
	 ", or for a plain user $XDG_RUNTIME_DIR/tapio/tapiod.sock)",
	 0},
	{"log-level", 'l', "LEVEL", 0,
	 "error, warning, notice (default), info or debug", 0},
	{"foreground", 'f', NULL, 0, "Stay in the foreground; it always does",
	 0},
	{"check", KEY_CHECK, "FILE", 0,
	 "Check a configuration, print the memory that it takes, and exit", 1},
	{"simulate", KEY_SIMULATE, "CPUS[xNODES]", 0,
	 "With --check: as on a machine with so many CPUs and NUMA nodes", 1},
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
	case KEY_SIMULATE:
		parse_simulate(a, text, state);
		return 0;
	case ARGP_KEY_END:
		if (a->cpus && !a->check)
			argp_error(state, "--simulate needs --check");
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
		TAPIO_ABI_MAJOR, TAPIO_ABI_MINOR);
}

/* ---- looking at a configuration ---------------------------------------------- */

static const char *config_file(const struct arguments *a)
{
	if (a->config)
		return a->config;
	return access(CONFIG_DEFAULT, F_OK) ? NULL : CONFIG_DEFAULT;
}

static int print_config(const struct arguments *a)
{
	struct tpi_config config;
	char error[512];
	int err = tpi_config_load(&config, config_file(a), NULL, error,
				  sizeof(error));

	if (err)
		fprintf(stderr, "tapiod: %s\n", error);
	else
		tpi_config_print(&config, stdout);
	tpi_config_free(&config);
	return err ? EXIT_CONFIG : EXIT_OK;
}

static int read_topology(const struct arguments *a,
			 struct tpi_topology *topology)
{
	if (a->cpus)
		return tpi_topology_simulate(topology, a->cpus, a->nodes);
	return tpi_topology_read(topology, "/sys/devices/system");
}

static uint32_t side_lanes(const struct tpi_channel_spec *spec)
{
	uint32_t count = 0;

	for (uint32_t k = 0; k < spec->class_count; k++)
		count += spec->classes[k].side_lanes;
	return count;
}

static int check_plan(const struct arguments *a, struct tpi_config *config,
		      const struct tpi_topology *topology)
{
	struct tpi_budget plan;
	char error[512];

	if (tpi_budget(&plan, config, topology, error, sizeof(error))) {
		fprintf(stderr, "tapiod: %s: %s\n", a->check, error);
		return EXIT_MEMORY;
	}
	for (uint32_t i = 0; i < config->channel_count; i++) {
		const struct tpi_channel_spec *spec = &config->channels[i].spec;

		uint32_t lanes = tpi_channel_lane_count(spec, topology);
		uint32_t sides = side_lanes(spec);

		printf("channel \"%s\": %u lane%s, %u of them side lane%s, "
		       "%" PRIu64 " bytes\n",
		       spec->name, lanes, TPI_PLURAL(lanes), sides,
		       TPI_PLURAL(sides),
		       tpi_budget_channel_bytes(spec, topology));
	}
	printf("%s: ok: %" PRIu64 " of %" PRIu64 " bytes on %u CPU%s and %u "
	       "node%s, %u descriptors\n",
	       a->check, plan.total_bytes, config->budget_bytes,
	       topology->cpus_possible, TPI_PLURAL(topology->cpus_possible),
	       topology->node_count, TPI_PLURAL(topology->node_count),
	       plan.fd_count);
	return EXIT_OK;
}

static int check_config(const struct arguments *a)
{
	struct tpi_topology topology = {0};
	struct tpi_config config;
	int status = EXIT_CONFIG;
	char error[512];
	int err =
		tpi_config_load(&config, a->check, NULL, error, sizeof(error));

	if (err) {
		fprintf(stderr, "tapiod: %s\n", error);
		goto out;
	}
	err = read_topology(a, &topology);
	if (err) {
		if (a->cpus)
			fprintf(stderr,
				"tapiod: --simulate=%ux%u: at most %d CPUs and "
				"%d nodes, and no more nodes than CPUs\n",
				a->cpus, a->nodes, TPI_CPUS_MAX,
				TAPIO_NODES_MAX);
		else
			fprintf(stderr,
				"tapiod: cannot read the CPUs from "
				"/sys/devices/system: %s\n",
				strerror(-err));
		status = a->cpus ? EXIT_USAGE : EXIT_OTHER;
		goto out;
	}
	config.side_lanes_only = !tpi_host_has_cpu_lanes();
	status = check_plan(a, &config, &topology);
out:
	tpi_topology_free(&topology);
	tpi_config_free(&config);
	return status;
}

/* ---- serving ------------------------------------------------------------------- */

static struct {
	struct tpi_watch watch;
	struct tpi_broker *broker;
} signals;

static void on_signal(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_broker *broker = signals.broker;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"SIGHUP: the configuration is read at start only");
		return;
	}
	tpi_log(&broker->log, TAPIO_LOG_NOTICE,
		"%s: stopping; clients keep their memory",
		info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
	tpi_loop_stop(broker->loop);
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigprocmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* EFBIG says it, with a message */
}

static int watch_signals(struct tpi_broker *broker, const sigset_t *set)
{
	int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	signals.broker = broker;
	signals.watch.ready = on_signal;
	return tpi_watch_start(broker->loop, &signals.watch, fd);
}

/* sd_notify(3) is one datagram. No library is needed for it. */
static void notify_ready(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	int length, sock;

	length = name ? tpi_socket_address(&address, name) : -1;
	if (length < 0)
		return;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return;
	(void)!sendto(sock, "READY=1", 7, MSG_NOSIGNAL,
		      (struct sockaddr *)&address, (socklen_t)length);
	close(sock);
}

static int exit_status(enum tpi_stage stage)
{
	static const int statuses[] = {
		[TPI_STAGE_CONFIG] = EXIT_CONFIG,
		[TPI_STAGE_IO_URING] = EXIT_IO_URING,
		[TPI_STAGE_MEMORY] = EXIT_MEMORY,
		[TPI_STAGE_SOCKET] = EXIT_SOCKET,
	};

	return statuses[stage];
}

static int serve(const struct arguments *a)
{
	struct tpi_socket_name name;
	struct tpi_broker_setup setup = {
		.config_file = config_file(a),
		.socket = a->socket,
		.socket_default = name.text,
		.log = {.level = a->log_level, .sink = tpi_log_stderr},
	};
	struct tpi_broker *broker;
	enum tpi_stage stage;
	char error[512];
	sigset_t set;
	int err;

	tpi_socket_name_serve(&name);
	block_signals(&set);
	tpi_registry_prepare();
	tpi_log_stderr_start();
	err = tpi_broker_create(&broker, &setup, &stage, error, sizeof(error));
	if (err) {
		tpi_log_stderr(NULL, TAPIO_LOG_ERROR, error);
		return exit_status(stage);
	}
	err = watch_signals(broker, &set);
	if (!err) {
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"tapiod %s serves %u channel%s at %s", tapio_version(),
			broker->registry.host_count,
			TPI_PLURAL(broker->registry.host_count),
			broker->server.name);
		notify_ready();
		err = tpi_broker_run(broker, NULL, NULL);
	}
	tpi_broker_destroy(broker);
	return err ? EXIT_OTHER : EXIT_OK;
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
		       "\n"
		       "Exit status: 0 stopped by a signal, or the check "
		       "passed; 1 configuration; 2 usage; 3 memory or "
		       "descriptors; 4 socket; 5 io_uring is not available; 6 "
		       "anything else. See tapiod(8) and tapiod.conf(5).",
	};
	struct arguments a = {.log_level = TAPIO_LOG_NOTICE};
	int status;

	tpi_fd_occupy_stdio();
	tpi_output_check_at_exit("tapiod", EXIT_OTHER);
	argp_program_version_hook = print_version;
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (a.check)
		return check_config(&a);
	if (a.print)
		return print_config(&a);
	status = serve(&a);
	tpi_log_writer_drain(LOG_SECONDS);
	return status;
}
