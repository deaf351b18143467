/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: a process that starts brokers, one after the other, and keeps descriptors. */
#ifndef TPI_BROKER_KEEP_KEEPER_H
#define TPI_BROKER_KEEP_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/keep/table.h"

/* How the broker before ended, for the log of the next one. */
struct tpi_keeper_past {
	pid_t pid;  /* 0: there was none */
	int signal; /* that ended it. 0: it is not known */
	uint32_t restarts;
	uint32_t delay_ms; /* before this start */
};

/*
 * The life line: a pipe that every process of a program has, each keeper and each broker that
 * began with one start of tapiod. The reading end says POLLHUP when the last of them has
 * ended, and a process of another program can wait for that (replace.c). It says so for
 * all of them at once, and it cannot be mistaken.
 */
enum {
	TPI_LIFE_READ,
	TPI_LIFE_WRITE
};

/* A new broker has this of its keeper. */
struct tpi_keeper_side {
	int sock; /* for records (records.h) */
	int life[2];
	int pidfd; /* of the keeper */
	pid_t pid; /* of the keeper */
	struct tpi_keep_table table;
	struct tpi_keeper_past past;
};

/*
 * This process becomes the keeper. The table may have descriptors already. 0, or -errno: the
 * kernel refuses a call that it needs, and the process is as before.
 */
int tpi_keeper_create(const struct tpi_keep_table *table);
/*
 * The same for a process that a broker has started to be its keeper. False: it was not.
 * -errno in *err: the values that it was given are not usable.
 */
bool tpi_keeper_resume(int *err);

/*
 * The brokers of this keeper come in the place of another program, which has that life line.
 * As long as it lives, no broker that ends by itself is tried again. When a broker serves,
 * the keeper closes all these descriptors.
 */
struct tpi_keeper_former {
	int life; /* -1: there is no other program */
	int sock; /* a connection to it */
	int keeper;
	int broker; /* their pidfds */
};
void tpi_keeper_succeeds(const struct tpi_keeper_former *former);
/* In a broker: whether there is such a program, and none has served since. */
bool tpi_keeper_has_former(void);
/* Whether this process was started by a broker, to be its keeper. */
bool tpi_keeper_is_called(void);
/* Whether a program has ended, at the reading end of its life line. */
bool tpi_life_ended(int life, int wait_ms);

/*
 * Runs it. Returns -1 in each broker that it starts, with *side filled in, and in the
 * keeper the exit status for both. `failure` is the status of a broker that fails again
 * and again, or is killed while it stops.
 */
int tpi_keeper_run(struct tpi_keeper_side *side, int failure);

/* room.c: raises the limit of descriptors. How many the table may have. */
uint32_t tpi_keeper_room(void);
/* 0 and 1 become /dev/null. The program that started tapiod may wait until they are closed. */
void tpi_keeper_quiet_stdio(void);

/* policy.c: when the next broker starts. */
struct tpi_keeper_policy {
	uint32_t failures; /* in a row */
	uint32_t crashes;  /* of them, by a fault of its own before it served */
};
#define TPI_KEEPER_CRASHES      5
#define TPI_KEEPER_DELAY_MAX    5000
#define TPI_KEEPER_DELAY_KILLED 100
#define TPI_KEEPER_SETTLED_NS   INT64_C(5000000000)

/*
 * After an end by that signal (0: unknown; -1: it ended by itself), so long after its start. Milliseconds until
 * the next start, or -1: no more.
 */
int tpi_keeper_delay(struct tpi_keeper_policy *policy, int signal, bool ready,
		     int64_t lived_ns);

#endif
