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
 *
 * Threads. Any thread MAY start and stop brokers. A signal handler MUST NOT.
 * The broker's thread has all signals blocked. A forked child has no broker,
 * and none of its descriptors: it MUST NOT use the handle.
 *
 * Descriptors of the broker are CLOEXEC and above 2. A program that closes all
 * descriptors (closefrom) ends the broker: clients are told within a second, and the
 * broker touches no number that belongs to another file by then. tapio_broker_stop
 * frees the rest.
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

#define TAPIO_LOG_ERROR   3 /* the numbers of syslog */
#define TAPIO_LOG_WARNING 4
#define TAPIO_LOG_NOTICE  5
#define TAPIO_LOG_INFO    6
#define TAPIO_LOG_DEBUG   7

struct tapio_broker_options {
	size_t size; /* sizeof(struct tapio_broker_options) */
	/* A configuration file, or its text. Both NULL: one channel `events`
	 * with every default, open to the same uid. Both set: -EINVAL. */
	const char *config_file;
	const char *config_text;
	/* A path, or "@name" for an abstract socket. NULL: as configured, and
	 * without a configured one a fresh abstract socket. */
	const char *socket;
	/* Gets the log, on the broker's thread, and on the caller's during the
	 * start and a reload. MUST NOT fork, or call tapio_broker_stop or
	 * tapio_broker_reload. NULL: no log. */
	void (*log)(void *arg, int level, const char *message);
	void *log_arg;
	int log_level; /* TAPIO_LOG_*, the least severe one to log (0: NOTICE) */
	/* If not NULL, a failed start writes its reason here, with the numbers,
	 * and ends it with NUL. */
	char *error;
	size_t error_bytes;
	/*
	 * Lanes as on a machine with so many CPUs on so many NUMA nodes (0:
	 * one), to see how much memory it would take. Lanes of CPUs that do
	 * not exist stay idle. Where there are fewer lanes than CPUs, threads
	 * on the other CPUs use side lanes. 0 CPUs: this machine.
	 */
	uint32_t simulate_cpus;
	uint32_t simulate_nodes;
};

/*
 * Starts a broker and returns when it serves. *out is NULL on error. options
 * MAY be NULL. Raises the soft limit of descriptors (RLIMIT_NOFILE) if it has
 * to: 132 for a channel, and two for each client of clients_max.
 * options->error gets the reason of each error:
 *
 *   errno            | cause                           | remedy
 *   -EINVAL          | the configuration or an option  | tapiod --check names the line
 *   -ENOENT, -EACCES | config_file cannot be read      | its path, its mode
 *   -ENOMEM          | the channels do not fit in the  | a larger budget, fewer or
 *                    | budget, or in memory            | smaller blocks
 *   -EDQUOT          | the limit of a cgroup           | the file that the text names
 *   -EMFILE          | the hard limit of descriptors   | raise RLIMIT_NOFILE
 *                    | is too low                      |
 *   -EADDRINUSE      | another broker answers at the   | another socket
 *                    | socket (found within a second)  |
 *   -EEXIST          | a file that is no socket is at  | another path
 *                    | the path of the socket          |
 *   -ENOSYS, -EPERM  | seccomp forbids io_uring and    | allow one of them
 *                    | epoll                           |
 */
TAPIO_API int tapio_broker_start(struct tapio_broker **out,
				 const struct tapio_broker_options *options);

/*
 * The socket's name, for the options of clients and for TAPIO_SOCKET. Valid
 * until tapio_broker_stop.
 */
TAPIO_API const char *tapio_broker_socket(const struct tapio_broker *broker);

/*
 * Puts a changed configuration in force: the text, or (NULL) what the file has now that
 * the broker was started with. Rules of access, limits and durable groups can change,
 * and channels can come and go (tapiod(8)). All of it does, or nothing. Clients that
 * are attached keep what they have. Any thread MAY call it. The sizes of a channel that is
 * there never change, and the socket's name needs another start.
 *
 * `said` (NULL: not wanted) gets what is in force, or the reason, and ends with NUL:
 *
 *   errno            | cause                           | remedy
 *   -EINVAL          | the configuration, or NULL      | tapiod --check names the line
 *                    | without a file                  |
 *   -ENOENT, -EACCES | the file cannot be read         | its path, its mode
 *   -EBUSY           | another size of a channel, or   | the log names each
 *                    | members stand in its way        |
 *   -EUSERS          | no slot for another group       | end a group
 *   -ENOSPC          | no room for another channel     | channels_max
 *   -ENOMEM, -EDQUOT,| no memory for another channel   | as the text says
 *   -EMFILE          | or group                        |
 *   -ECHILD          | a forked child has no broker    | ask in the parent
 *
 * Other: the socket's mode cannot be set, for the kernel's reason.
 */
TAPIO_API int tapio_broker_reload(struct tapio_broker *broker,
				  const char *config_text, char *said,
				  size_t said_bytes);

/*
 * Stops the broker, joins its thread and frees everything. NULL is allowed.
 * Clients keep their mappings and go on with each other.
 */
TAPIO_API void tapio_broker_stop(struct tapio_broker *broker);

#ifdef __cplusplus
}
#endif

#endif
