/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of tapiod, the program. */
#ifndef TPI_BROKER_TAPIOD_H
#define TPI_BROKER_TAPIOD_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/keep/notify.h"
#include "broker/loop/log.h"

/* As in tapiod(8). */
enum exit_status {
	EXIT_OK = 0,
	EXIT_CONFIG = 1,
	EXIT_USAGE = 2,
	EXIT_MEMORY = 3,
	EXIT_SOCKET = 4,
	EXIT_LOOP = 5,
	EXIT_OTHER = 6,
};

enum keeper_choice {
	KEEPER_AUTO,
	KEEPER_PROCESS,
	KEEPER_SYSTEMD,
	KEEPER_NONE,
};

struct arguments {
	char **argv; /* of main() */
	const char *config;
	const char *check;
	const char *socket;
	bool print;
	bool reload;
	bool replace;
	bool discard;
	int log_level;
	uint32_t cpus; /* 0: this machine's */
	uint32_t nodes;
	enum keeper_choice keeper;
};

/* ---- check.c ---------------------------------------------------------------- */

/* Where `cmake --install` puts it. The unit names the same file. */
#define TAPIOD_CONFIG_DEFAULT TAPIO_CONFIG_FILE
/* NULL: there is none, and every option has its default. */
const char *tapiod_config_file(const struct arguments *a);
/* Both return an exit status. */
int tapiod_check(const struct arguments *a);
int tapiod_print_config(const struct arguments *a);

/* ---- ask_reload.c ------------------------------------------------------------ */

/* Asks the broker that runs to take its changed configuration. An exit status. */
int tapiod_reload(const struct arguments *a);
/*
 * A connection to the broker at that socket, on which no call waits longer than so many
 * seconds. -errno, with the reason.
 */
int tapiod_dial(const char *name, int seconds, char *said, size_t bytes);

/* ---- replace.c --------------------------------------------------------------- */

struct tapiod_keeping;

/*
 * Takes over from the broker that runs. As tapiod_keeping_begin(): -1 in the process that is
 * to serve, with the memory of the former one, or an exit status.
 */
int tapiod_replace(const struct arguments *a, struct tapiod_keeping **keeping);

/* ---- serve.c ----------------------------------------------------------------- */

/* Serves until a signal. The exit status. */
int tapiod_serve(const struct arguments *a, struct tapiod_keeping *keeping);

/* ---- keeping.c ----------------------------------------------------------------- */

struct tpi_broker;
struct tpi_keep;
struct tpi_keep_table;
struct tpi_keeper_former;

/*
 * Chooses the keeper. Returns -1 in the process that is to serve, perhaps several times in
 * processes one after the other, or an exit status.
 */
int tapiod_keeping_begin(const struct arguments *a,
			 struct tapiod_keeping **out);
/* The same, with all that another program keeps (replace.c). */
int tapiod_keeping_succeed(const struct tpi_keep_table *table,
			   const struct tpi_keeper_former *former,
			   struct tapiod_keeping **out);
/* Descriptors that are for no broker: this one and those behind it. */
void tapiod_close_from(int first);
/* The keeper of the broker. NULL: nothing. Says in the log how the broker before ended. */
struct tpi_keep *tapiod_keeping_open(struct tapiod_keeping *keeping,
				     const struct arguments *a,
				     struct tpi_log *log);
/* The broker is there, and its loop. */
int tapiod_keeping_watch(struct tapiod_keeping *keeping,
			 struct tpi_broker *broker);
/* When the broker ends: no keeper is made anew. A second call does nothing. */
void tapiod_keeping_unwatch(struct tapiod_keeping *keeping);
/* To the service manager. */
void tapiod_keeping_note(struct tapiod_keeping *keeping, enum tpi_note note);
/* Last. */
void tapiod_keeping_end(struct tapiod_keeping *keeping, int status);

#endif
