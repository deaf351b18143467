/* SPDX-License-Identifier: Apache-2.0 */
/* The word that says which broker serves (tapio_shm_broker.serving). */
#ifndef TPI_BROKER_SERVING_H
#define TPI_BROKER_SERVING_H

#include <tapio/abi.h>

#include "broker/loop/log.h"

struct tpi_serving_page;
struct tpi_serving {
	struct tpi_serving_page *page; /* NULL: a death is not told */
};

/*
 * From here on the word names the calling thread, which is the broker's, for as long as it
 * lives. No client is answered before.
 */
void tpi_serving_begin(struct tpi_serving *serving,
		       struct tapio_shm_broker *shm, struct tpi_log *log);
/* The broker has stopped, on the same thread, after it has stored STOPPED. */
void tpi_serving_end(struct tpi_serving *serving, struct tapio_shm_broker *shm);

#endif
