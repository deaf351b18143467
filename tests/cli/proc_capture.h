/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the collector of /proc: a made-up tree, and a sink that keeps every
 * event that it gets.
 */
#ifndef TEST_PROC_CAPTURE_H
#define TEST_PROC_CAPTURE_H

#include <check.h>

#include "tests/cli/fixture.h"
#include "tools/collectors/proc_collect.h"

#define EVENTS_MAX     8192
#define SOURCE(source) (1u << TPI_PROC_##source)

struct capture {
	struct tpi_sink sink;
	struct fixture fixture;
	char proc_path[80];
	char sys_path[80];
	struct tpi_proc *proc;
	int refuse;         /* the result of output */
	uint32_t max_bytes; /* of the channel. 0: no limit */
	struct tpi_warning warning;
	size_t count;
	struct {
		uint32_t tag;
		uint32_t length;
		void *bytes;
		struct tapio_event_view view;
	} events[EVENTS_MAX];
};

extern struct capture *c;

/* Forgets the events that were kept. */
void forget(void);
/* The fixture of every test: an empty tree, a sink that takes everything. */
void set_up(void);
void tear_down(void);
void open_with(struct tpi_proc_options options);
void open_for(uint32_t sources);
/* One look at the tree, which must succeed. */
void scan(void);
/* A process in the made-up tree. */
void process(uint32_t pid, uint64_t start_ticks, uint64_t user_ticks);
/* The fields of the i-th event. fields() asserts its type. */
const struct tapio_event *header(size_t i);
const void *fields(size_t i, uint16_t type);
void check_string(size_t i, const struct tapio_event_string *string,
		  const char *expected);
void remove_process(uint32_t pid);

/* Runs the tests of that case, between set_up() and tear_down(). For main. */
int run_case(const char *name, TCase *tc);

#endif
