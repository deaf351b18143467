/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that attack a broker until they are killed. Each is the body of a role. */
#ifndef TEST_HOSTILE_ATTACKERS_H
#define TEST_HOSTILE_ATTACKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/hostile/role.h"

enum attack {
	ATTACK_CONNECT,  /* connects, with and without HELLO, and keeps some */
	ATTACK_GARBAGE,  /* sends any bytes with any descriptors */
	ATTACK_DEAF,     /* asks and asks, and does not read the answers */
	ATTACK_STORM,    /* attaches and leaves */
	ATTACK_LEAVE,    /* attaches and hangs up without a word */
	ATTACK_BELL,     /* announces a sleep, again and again */
	ATTACK_SCRIBBLE, /* random words into all that its role may write */
	ATTACK_CONSUME, /* an honest consumer, to be killed with events in hand */
	ATTACKS
};

/* A role gets one as its argument. */
struct attacker {
	const char *socket;
	const char *channel;
	enum attack attack;
	uint64_t seed; /* not 0 */
};

void attack(struct role *self);
const char *attack_name(enum attack attack);

#endif
