/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host of a broker of our own: a process that does nothing but run one. It
 * is forked before anything else, tells the leader its socket, and stops the
 * broker when the leader lets go of the leash, however that comes about.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/broker.h>

#include "lib/base/error.h"
#include "tools/load/daemon.h"
#include "tools/load/neighbour.h"

#define START_MS 60000

/* The first message of the host: the socket, or why there is none. */
struct answer {
	int err;
	char text[512]; /* a socket's name is shorter, by the kernel's limit */
};

static uint64_t half_of_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) *
	       (uint64_t)sysconf(_SC_PAGESIZE) / 2;
}

/* Room for the lanes of every CPU, the side lanes, and the rest. */
static uint64_t budget(const struct load_options *o)
{
	uint64_t lane = (uint64_t)o->blocks * (o->block_bytes + 32) + 4096;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint64_t channels = o->still_ns ? 2 : 1;
	uint64_t need =
		channels * ((uint64_t)(cpus > 0 ? cpus : 1) + 16) * lane +
		(UINT64_C(64) << 20);

	/* The broker refuses what is more, with the numbers: better than that
	 * the machine has no memory left. */
	return need < half_of_memory() ? need : half_of_memory();
}

static int write_channel(char *text, size_t bytes, const char *name,
			 const struct load_options *o)
{
	char full[64] = "full = \"drop\"";

	if (o->room_ns)
		snprintf(full, sizeof(full),
			 "full = \"wait\"\n\twait = \"%lluns\"",
			 (unsigned long long)o->room_ns);
	return snprintf(text, bytes,
			"channel \"%s\" {\n"
			"\tstamp = \"%s\"\n"
			"\t%s\n"
			"\tgroups_max = %u\n"
			"\tclass \"main\" {\n"
			"\t\tblock = %u\n"
			"\t\tblocks = %u\n"
			"\t}\n"
			"}\n",
			name, o->stamp, full, o->groups < 16 ? 16 : o->groups,
			o->block_bytes, o->blocks);
}

static void write_config(char *text, size_t bytes, const struct load_options *o)
{
	uint32_t clients = o->producers + o->groups * o->members + 64;
	int used;

	/* Those that were killed count until they are swept. */
	used = snprintf(text, bytes, "budget = \"%llu\"\nclients_max = %u\n",
			(unsigned long long)budget(o), clients * 2);
	used += write_channel(text + used, bytes - (size_t)used, o->channel, o);
	if (o->still_ns)
		write_channel(text + used, bytes - (size_t)used,
			      LOAD_NEIGHBOUR_CHANNEL, o);
}

static void log_line(void *arg, int level, const char *message)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "broker: %s\n", message);
}

static void wait_for_leash(int leash)
{
	char byte;

	while (read(leash, &byte, 1) < 0 && errno == EINTR)
		;
}

static int run_host(const struct load_options *o, int leash)
{
	char config[1024];
	struct answer answer = {0};
	struct tapio_broker *broker;
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.log = log_line,
		.log_level = TAPIO_LOG_WARNING,
		.error = answer.text,
		.error_bytes = sizeof(answer.text),
	};

	write_config(config, sizeof(config), o);
	answer.err = tapio_broker_start(&broker, &options);
	if (!answer.err)
		snprintf(answer.text, sizeof(answer.text), "%s",
			 tapio_broker_socket(broker));
	if (write(leash, &answer, sizeof(answer)) != sizeof(answer))
		answer.err = -EPIPE;
	if (!answer.err)
		wait_for_leash(leash);
	if (answer.err)
		return 1;
	tapio_broker_stop(broker);
	return 0;
}

int load_host_start(struct load_host *host, const struct load_options *options,
		    char *error, size_t error_bytes)
{
	struct answer answer;
	struct pollfd ready;
	char config[1024];
	int pair[2];

	if (load_broker_dies(options)) {
		write_config(config, sizeof(config), options);
		return load_daemon_start(host, config, error, error_bytes);
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return tpi_fail(-errno, error, error_bytes, "socketpair: %s",
				strerror(errno));
	host->pid = fork();
	if (host->pid < 0)
		return tpi_fail(-errno, error, error_bytes, "fork: %s",
				strerror(errno));
	if (!host->pid) {
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		close(pair[0]);
		_exit(run_host(options, pair[1]));
	}
	close(pair[1]);
	host->leash = pair[0];
	ready = (struct pollfd){.fd = host->leash, .events = POLLIN};
	if (poll(&ready, 1, START_MS) <= 0 ||
	    read(host->leash, &answer, sizeof(answer)) != sizeof(answer)) {
		answer.err = -EIO;
		strcpy(answer.text, "it did not start");
	}
	if (answer.err) {
		load_host_stop(host, NULL);
		return tpi_fail(answer.err, error, error_bytes, "broker: %s",
				answer.text);
	}
	answer.text[sizeof(host->socket) - 1] = 0;
	memcpy(host->socket, answer.text, sizeof(host->socket));
	return 0;
}

void load_host_stop(struct load_host *host, const struct load_run *run)
{
	if (host->directory[0]) {
		load_daemon_stop(host, run);
		return;
	}
	if (host->pid <= 0)
		return;
	close(host->leash);
	waitpid(host->pid, NULL, 0);
	host->pid = 0;
}
