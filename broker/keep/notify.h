/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of sd_notify(3): datagrams to the socket that a service manager names. */
#ifndef TPI_BROKER_KEEP_NOTIFY_H
#define TPI_BROKER_KEEP_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

enum tpi_note {
	TPI_NOTE_READY,
	TPI_NOTE_STOPPING,
	TPI_NOTE_WATCHDOG,
	TPI_NOTES
};

/*
 * Reads the variables of the service manager, and removes them.
 * Calls do nothing where there is no manager. Before threads are made.
 */
void tpi_notify_open(void);
/* NOTIFY_SOCKET was there. */
bool tpi_notify_is_open(void);
/* How many descriptors its store may have (FDSTORE). 0: there is no store. */
uint32_t tpi_notify_store(void);
/* How often TPI_NOTE_WATCHDOG is due. 0: it is not wanted. */
uint64_t tpi_notify_watchdog_ns(void);

/* Allocates nothing, and does not wait. A note that finds no room is lost. */
void tpi_notify(enum tpi_note note);
/* Any text, with a descriptor or -1. Waits for room, `wait_ms` at most. -errno. */
int tpi_notify_send(const char *text, int fd, int wait_ms);

#endif
