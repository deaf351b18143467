/* SPDX-License-Identifier: Apache-2.0 */
/* Writes tapiod's log to stderr, without ever making its loop wait. */
#ifndef TPI_BROKER_LOG_WRITER_H
#define TPI_BROKER_LOG_WRITER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Starts the writing thread. It runs until the process ends. 0 or -errno: then lines
 * are written by the caller, as before the start. `say_dropped` writes a line about
 * lines that found no room. It is called on the writing thread.
 */
int tpi_log_writer_start(void (*say_dropped)(uint64_t lines));

/* A whole line. Never waits once the thread runs: without room the line is dropped. */
void tpi_log_writer_put(const char *text, size_t bytes);

/* Waits until all lines are written, at most so long. Before the process ends. */
void tpi_log_writer_drain(unsigned int seconds);

#endif
