/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker as a library (libtapio-broker): the same as tapiod, on a thread of
 * this process, for tests, examples and small programs.
 *
 *	struct tapio_broker *b;
 *	struct tapio_broker_options o = {
 *		.size = sizeof(o),
 *		.config_text = "channel events { class main { blocks = 4096 } }",
 *	};
 *	int err = tapio_broker_start(&b, &o);
 *	setenv("TAPIO_SOCKET", tapio_broker_socket(b), 1);
 */
#ifndef TAPIO_BROKER_H
#define TAPIO_BROKER_H

/* First: it refuses other targets before their C library does. */
#include <tapio/version.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_broker;

#define TAPIO_LOG_ERROR   3 /* syslog's numbers */
#define TAPIO_LOG_WARNING 4
#define TAPIO_LOG_NOTICE  5
#define TAPIO_LOG_INFO    6
#define TAPIO_LOG_DEBUG   7

struct tapio_broker_options {
	size_t size; /* sizeof(struct tapio_broker_options) */
	/* A configuration file, or its text; both NULL: one channel `events`
	 * with every default, open to the same uid. */
	const char *config_file;
	const char *config_text;
	/* A path, or "@name" for an abstract socket; NULL: as configured, and
	 * where that says nothing, a fresh abstract socket. */
	const char *socket;
	/* Called on the broker's thread, and during the start on the caller's;
	 * must neither fork nor call tapio_broker_stop. NULL: silent. */
	void (*log)(void *arg, int level, const char *message);
	void *log_arg;
	int log_level; /* TAPIO_LOG_*; 0: notice */
	/* If not NULL, a failed start writes here, with the numbers, why. */
	char *error;
	size_t error_bytes;
	/* Lanes as on a machine with so many CPUs, dealt to so many NUMA nodes (0:
	 * one), to see what it would take and cost. Those of CPUs that are not
	 * there stay idle; where there are fewer lanes than CPUs, threads on the
	 * others use side lanes. 0 CPUs: this machine's. */
	uint32_t simulate_cpus;
	uint32_t simulate_nodes;
};

/*
 * Starts a broker and returns when it serves. Raises the soft limit of descriptors
 * (RLIMIT_NOFILE) if it has to: 132 for a channel, and two for each client that the
 * configuration allows. A forked child has no broker, and none of its descriptors.
 *
 * -EINVAL, -ENOENT, ... configuration, or no such machine; -ENOMEM the channels do not fit in the
 * budget or in memory; -EMFILE too few descriptors; -EADDRINUSE another broker
 * answers at the socket (found out in a second); -EEXIST a file that is no socket
 * is there; -ENOSYS or -EPERM io_uring is not to be had (the message says which
 * switch forbids it).
 */
TAPIO_API int tapio_broker_start(struct tapio_broker **out,
				 const struct tapio_broker_options *options);

/* What to give to clients as their socket; valid until tapio_broker_stop. */
TAPIO_API const char *tapio_broker_socket(const struct tapio_broker *broker);

/* Stops it, joins its thread, frees everything; clients keep their mappings. */
TAPIO_API void tapio_broker_stop(struct tapio_broker *broker);

#ifdef __cplusplus
}
#endif

#endif
