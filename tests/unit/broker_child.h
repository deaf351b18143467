/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker in a child process, for tests in which it is refused something that the
 * test's own process is not, or the other way round. Sets rig.options
 * (client_fixture.h), which it needs.
 */
#ifndef TAPIO_TESTS_BROKER_CHILD_H
#define TAPIO_TESTS_BROKER_CHILD_H

#include <signal.h>
#include <sys/prctl.h>

#include "tests/unit/client_fixture.h"

static pid_t broker_child;

static inline void broker_child_main(const struct tapio_broker_options *options,
				     void (*first)(void), int ready)
{
	struct tapio_broker *broker;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (first)
		first();
	if (tapio_broker_start(&broker, options) || write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* `first`, if not NULL, is called in the child before the broker starts. */
static inline void broker_child_start(const char *config, void (*first)(void))
{
	static char socket[64];
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.socket = socket,
		.config_text = config,
	};
	int ready[2];
	char byte;

	snprintf(socket, sizeof(socket), "@tapio-test-%d", (int)getpid());
	ck_assert_int_eq(pipe(ready), 0);
	broker_child = fork();
	/* It gets signals: -1 would be everybody. */
	ck_assert_int_ge(broker_child, 0);
	if (!broker_child)
		broker_child_main(&options, first, ready[1]);
	close(ready[1]);
	ck_assert_msg(read(ready[0], &byte, 1) == 1, "no broker in the child");
	close(ready[0]);
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = socket,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
}

static inline void broker_child_kill(void)
{
	kill(broker_child, SIGKILL);
	waitpid(broker_child, NULL, 0);
}

#endif
