/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that count, in memory that they share with the test: each producer numbers its
 * events, and a consumer marks each one that it gets. So after any deaths the test knows
 * which events were accepted, and which have come, and how often.
 */
#ifndef TEST_LOAD_BOARD_H
#define TEST_LOAD_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/hostile/role.h"

#define LOAD_PRODUCERS 4
#define LOAD_CONSUMERS 3
#define LOAD_EVENTS    (1u << 16) /* of a producer */

/* The words are atomic. */
struct load_board {
	uint32_t pause; /* producers emit nothing */
	uint32_t paused[LOAD_PRODUCERS];
	uint32_t stop; /* all close their handles and end */
	struct {
		uint32_t
			begun; /* the number of the last event that was tried */
		uint32_t accepted; /* and of the last one that was accepted */
		uint32_t refused;  /* times without room */
	} producer[LOAD_PRODUCERS];
	struct {
		uint32_t hands; /* views that are marked and not released */
		uint32_t hold;  /* it is to keep those */
		uint32_t got, missed;
	} consumer[LOAD_CONSUMERS];
	uint8_t seen[LOAD_CONSUMERS][LOAD_PRODUCERS][LOAD_EVENTS + 1];
};

struct load_board *load_board(void);

/* The argument of the clients. The group's name is that of the consumer. */
struct load_client {
	struct load_board *board;
	unsigned int index;
	const char *group;
};

/*
 * Bodies. Each says 0 when it is attached, or the errno of its open. Then a number that it
 * hears is a request, to which it answers with a number.
 */
void load_produce(struct role *self);
void load_consume(struct role *self);

enum load_request {
	LOAD_CONNECTED, /* whether its handle is */
	LOAD_HOLD,      /* a producer reserves an event, and goes on */
	LOAD_AGAIN, /* opens another handle and closes it. The errno of the open */
};

uint64_t load_ask(struct role *role, enum load_request request);

/* Producers stop to emit, and say so, if they live. And go on. */
void load_pause(struct load_board *board, unsigned int producers);
void load_continue(struct load_board *board);

/* Waits until that consumer has got all that was accepted. Fails after 30 s. */
void load_drained(const struct load_board *board, unsigned int consumer);
/* Until so many more have been accepted. */
void load_wait_for(const struct load_board *board, uint32_t events);

/*
 * Each accepted event has come to the consumer, none that was not tried, and no more than
 * `twice` of them more than once.
 */
void load_judge(const struct load_board *board, unsigned int consumer,
		uint32_t twice);

#endif
