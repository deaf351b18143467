/* SPDX-License-Identifier: Apache-2.0 */
/* A broker on a thread of a fuzz target. It looks at its clients when it is told to. */
#ifndef TESTS_FUZZ_BROKER_H
#define TESTS_FUZZ_BROKER_H

/* With that configuration, at a socket of its own. */
void fuzz_broker_start(const char *text);
void fuzz_broker_stop(void);
const char *fuzz_broker_socket(void);

/* What it does on each tick. It makes none by itself. */
void fuzz_broker_look(void);

#endif
