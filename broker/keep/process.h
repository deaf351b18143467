/* SPDX-License-Identifier: Apache-2.0 */
/* A broker's side of its keeper process. */
#ifndef TPI_BROKER_KEEP_PROCESS_H
#define TPI_BROKER_KEEP_PROCESS_H

#include "broker/keep/keep.h"
#include "broker/keep/keeper.h"
#include "broker/keep/notify.h"
#include "broker/loop/log.h"
#include "broker/loop/loop.h"

struct tpi_keep_process;

/*
 * Takes over the side. `argv` is tapiod's own, for a keeper that has to be made anew. The log
 * and argv MUST outlive it. NULL: out of memory.
 */
struct tpi_keep_process *
tpi_keep_process_create(const struct tpi_keeper_side *side, char **argv,
			struct tpi_log *log);
struct tpi_keep *tpi_keep_process_keep(struct tpi_keep_process *process);

/*
 * From here on the death of the keeper is noticed by the loop, also without a put.
 * `changed` is called after each new one.
 */
int tpi_keep_process_watch(struct tpi_keep_process *process,
			   struct tpi_loop *loop, void (*changed)(void *arg),
			   void *arg);
/* Before the loop ends. No keeper is made any more. */
void tpi_keep_process_unwatch(struct tpi_keep_process *process);

/* The keeper passes it to the service manager. */
void tpi_keep_process_note(struct tpi_keep_process *process,
			   enum tpi_note note);
/* Last: the keeper ends with that exit status, when this process has ended. */
void tpi_keep_process_quit(struct tpi_keep_process *process, int status);

#endif
