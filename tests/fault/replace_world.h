/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs `tapiod` that replace one another at one socket, and clients in processes of
 * their own (replace_client.c), which count all that they see.
 */
#ifndef TEST_REPLACE_WORLD_H
#define TEST_REPLACE_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REPLACE_NUMBERS (1u << 22)

/* In a file that the test and its clients map. Each word has one writer. */
struct replace_shared {
	uint32_t stop;        /* the producer ends */
	uint32_t stop_others; /* those that connect and open end */
	uint32_t stop_all;    /* the consumer ends, too */
	uint32_t accepted;
	uint32_t done;      /* the producer has ended */
	uint32_t connected; /* its handle was connected then */
	uint32_t consumes;  /* the consumer is there */
	uint32_t read;
	uint32_t twice;
	uint32_t connects, connect_failures;
	uint32_t opens, open_failures;
	char error[4][256]; /* by role */
	uint8_t seen[REPLACE_NUMBERS];
};
enum replace_role {
	REPLACE_PRODUCER,
	REPLACE_CONSUMER,
	REPLACE_CONNECTER,
	REPLACE_OPENER
};

extern struct replace_shared *shared;
extern char world_socket[96], world_config[96];

/* The default: a channel, and a group that holds its producer. */
extern const char replace_config[];

/* A checked fixture. */
void replace_set_up(void);
void replace_tear_down(void);

void replace_configure(const char *text);
/* All may enter it, and it belongs to that user, if it is not 0. */
void replace_open_directory(uid_t uid);

/* The next programs run as this user. 0: as the test. */
extern uid_t replace_uid;
/* tapiod of that name in the tests' directory, with these options, up to a NULL. Its keeper. */
pid_t replace_start(const char *program, ...) __attribute__((sentinel));
/* The environment of the next programs: the action at a testpoint. NULL: nothing. */
void replace_point(const char *point, const char *action);
bool replace_passed(void); /* it has happened */

pid_t replace_client(const char *program, enum replace_role role);

/* Which broker serves, by its lock and the log: 0 none. */
pid_t replace_broker(void);
pid_t replace_keeper(void);
/* Waits until a broker serves that was started by `tapiod --replace`, or by another one. */
void replace_until(bool by_replace);

const char *replace_log(void);
const char *replace_log_end(void); /* for messages */
bool replace_log_has(const char *part);

/* Its exit status, or 128 + the signal. */
int replace_wait(pid_t pid);
/* Some more events arrive. */
void replace_flows(void);
/* The producer ends, and each event has come once. Then the keeper ends, and all. */
void replace_finish(void);
/* Only the second part. */
void replace_end(void);

#define REPLACE_LIMIT_S 600
void replace_nap(void);
bool replace_late(long since);
long replace_now(void);

#define REPLACE_WAIT(x)                                      \
	do {                                                 \
		long since_ = replace_now();                 \
		while (!(x)) {                               \
			ck_assert_msg(!replace_late(since_), \
				      "in vain: %s\n%s", #x, \
				      replace_log_end());    \
			replace_nap();                       \
		}                                            \
	} while (0)

#endif
