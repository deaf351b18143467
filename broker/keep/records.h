/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a broker to its keeper: one record a message, over a socket of their own. */
#ifndef TPI_BROKER_KEEP_RECORDS_H
#define TPI_BROKER_KEEP_RECORDS_H

#include "broker/keep/keep.h"

enum tpi_keeper_op {
	TPI_KEEPER_PUT = 1, /* key, with one descriptor */
	TPI_KEEPER_DROP,    /* key */
	TPI_KEEPER_QUIT,    /* key.number: the exit status of both */
	TPI_KEEPER_NOTE,    /* key.number: enum tpi_note (notify.h) */
};

struct tpi_keeper_record {
	uint32_t op;
	struct tpi_keep_key key;
};

/*
 * How a broker hands its side to the keeper that it starts (process.c): the two ends of
 * the socket, the table in a file, the broker's pidfd and its pid, and the two ends of the
 * life line.
 */
#define TPI_KEEPER_VARIABLE "TAPIOD_KEEPER"
#define TPI_KEEPER_FORMAT   "%d:%d:%d:%d:%d:%d:%d"

#endif
