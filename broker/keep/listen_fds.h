/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that a service manager passes at the start, as for sd_listen_fds(3). */
#ifndef TPI_BROKER_KEEP_LISTEN_FDS_H
#define TPI_BROKER_KEEP_LISTEN_FDS_H

#include <stddef.h>

#include "broker/keep/table.h"

#define TPI_LISTEN_FDS_START 3

/*
 * Puts those that are for this process (LISTEN_PID) into the table: under their key if they
 * have a name of ours, under TPI_KEEP_ACTIVATED if it is a socket that a broker can listen
 * at. All others are closed. Removes the variables. The number of the first descriptor
 * behind them: 3 if there was none. *closed: how many were.
 *
 * Of two under one key the first one stays: systemd names the newest first.
 */
int tpi_listen_fds_take(struct tpi_keep_table *table, uint32_t *closed);

#define TPI_KEEP_NAME_BYTES 32
/* "tapio-segment-12". */
void tpi_keep_name(char *name, struct tpi_keep_key key);
/* The key of such a name, of so many bytes. -EINVAL: it is none of ours. */
int tpi_keep_name_parse(const char *name, size_t length,
			struct tpi_keep_key *key);

#endif
