/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's log: levels of syslog, one line a message, to one sink. */
#ifndef TPI_BROKER_LOG_H
#define TPI_BROKER_LOG_H

#include <stdint.h>

#include <tapio/broker.h>

struct tpi_log {
	int level; /* messages above it (less urgent) are dropped */
	void (*sink)(void *arg, int level, const char *message);
	void *arg;
	/* Messages that clients can cause are limited, so that none can fill a
	 * disk. */
	uint32_t burst;      /* left until the next refill */
	uint32_t suppressed; /* since the last refill */
};

#define TPI_LOG_BURST 20 /* messages a second that clients can cause */

__attribute__((format(printf, 3, 4))) void
tpi_log(struct tpi_log *log, int level, const char *format, ...);

/* The same for what a client can cause as often as it likes. */
__attribute__((format(printf, 3, 4))) void
tpi_log_client(struct tpi_log *log, int level, const char *format, ...);

/* Once a second: says how many were suppressed and allows the next burst. */
void tpi_log_refill(struct tpi_log *log);

/*
 * A sink that writes to stderr: "TIME tapiod: warning: ..." for people, "<4>..."
 * when stderr is the journal's, which adds the rest itself.
 */
void tpi_log_stderr(void *arg, int level, const char *message);

/* From here on that sink never waits (log_writer.h). For tapiod, at its start. */
void tpi_log_stderr_start(void);

/* "error", "warning", ... to a level. -1 for any other word. */
int tpi_log_level(const char *word);

#endif
