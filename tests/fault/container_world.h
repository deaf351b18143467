/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker, its clients and tools in containers that share one directory, that of the
 * socket: what all tests of containers start, kill and ask.
 */
#ifndef TEST_CONTAINER_WORLD_H
#define TEST_CONTAINER_WORLD_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/container.h"
#include "tests/fault/load_board.h"

#define LIMIT_S 30

#define WAIT(x)                                                             \
	do {                                                                \
		time_t limit_ = time(NULL) + LIMIT_S;                       \
		while (!(x)) {                                              \
			ck_assert_msg(time(NULL) < limit_, "in vain: " #x); \
			usleep(2000);                                       \
		}                                                           \
	} while (0)

/* The host of all containers. */
extern struct container_host {
	char directory[64]; /* of the socket, mounted in all containers */
	char socket[96];
	char config[96];
	bool contained; /* the broker is in a container, else a process of the host */
	struct container container;
	pid_t keeper; /* as the test sees it */
	int log;
} host;

/* Of the running test. Producers and consumers have the places of the board. */
extern struct load_board *board;
extern struct container producers[LOAD_PRODUCERS], consumers[LOAD_CONSUMERS];

/* A checked fixture. */
void world_set_up(void);
void world_tear_down(void);

/* All that a descriptor's file has, until the next call. */
const char *text_of(int fd);
/* docs/guide/containers.md, which has the configuration of the brokers. Until the next call. */
const char *page(void);
/* How often the broker's log has these words. */
unsigned int said(const char *words);
/* The numbers of a process's children, with blanks between, until the next call. */
const char *children_of(pid_t pid);

/* In that kind of container. NULL: on the host. */
void start_broker(const struct container_spec *kind);
/* SIGTERM of its process 1, as a runtime does it. It MUST end well. */
void stop_broker(void);
/* SIGKILL of the broker alone. Returns when the next one serves. */
void kill_broker(void);
/* Another configuration, for brokers that start later. */
void configure(const char *text);

/* Each returns when the client is attached. */
void start_producer(unsigned int i, const struct container_spec *kind);
void start_consumer(unsigned int i, const struct container_spec *kind);
/* Two producers in one container, of the places 2 and 3. Its process 1 is none of them. */
void start_pod(const struct container_spec *kind);
/* By themselves, with a farewell: those of the first places. */
void end_clients(unsigned int producer_count, unsigned int consumer_count);

/*
 * tapio-shmstat in a container of its own, of that kind: its part MUST be well. The other
 * one says whether it shows these words.
 */
void shmstat_is_well(const struct container_spec *kind, const char *part);
bool shows(const struct container_spec *kind, const char *part,
	   const char *words);

/*
 * Producers (a bit for each that lives) are paused. Nothing that was accepted is missing,
 * for the first consumer and for the tools, and at most `twice` events came twice.
 */
void account(unsigned int living, const struct container_spec *kind,
	     uint32_t twice);

#endif
