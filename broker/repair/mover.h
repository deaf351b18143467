/* SPDX-License-Identifier: Apache-2.0 */
/* Work that has to be done on CPUs of its own choice, while the loop waits. */
#ifndef TPI_BROKER_MOVER_H
#define TPI_BROKER_MOVER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Calls work(arg, true) on a thread of its own, which MAY move, and waits for its end.
 * Where there is no thread to be made it calls work(arg, false) on this one.
 */
void tpi_mover_run(void (*work)(void *arg, bool may_move), void *arg);

/* In work, where it may move. True when the thread runs on that CPU and no other. */
bool tpi_mover_go(uint32_t cpu);

#endif
