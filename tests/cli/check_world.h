/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tapiod with clients of the test, and the whole of its memory, looked into and, for tests
 * that break it, writable. It needs the right to open the descriptors of its own child
 * for writing: it is of the same user.
 */
#ifndef TEST_CHECK_WORLD_H
#define TEST_CHECK_WORLD_H

#include <tapio/tapio.h>

#include "running.h"
#include "tools/inspect/check.h"

struct check_world {
	struct test_broker broker;
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	struct tapio_observer *observer;
	struct tapio_reservation held;
	struct tpi_inspect *inspect;
	const struct tpi_lane *busy; /* of the CPU that the test stays on */
	const struct tpi_lane *idle; /* a side lane that is not used */
};

/*
 * Starts it. 30 events are sent, of which the first 10 are released by the lossless
 * group "witness", and one block is held. Then the broker is stopped, so that it
 * repairs nothing.
 */
void check_world_open(struct check_world *world);
void check_world_close(struct check_world *world);

/* Looks into the broker's descriptors anew. */
void check_world_look(struct check_world *world);

/* All that is mapped becomes a private copy, at the same addresses, that can be
 * written. */
void check_world_copy(const struct check_world *world);

/* The same word, in memory that is shared and can be written. */
void *check_world_writable(const struct check_world *world, const void *word);

/* One check of it, without patience. */
void check_world_check(const struct check_world *world,
		       struct tpi_check_report *report);

/* Fails the test, with the findings, unless there is none. */
void check_world_expect_clean(const struct tpi_inspect *inspect,
			      const struct tpi_check_report *report);

#endif
