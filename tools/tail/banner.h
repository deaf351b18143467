/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TPI_TAIL_BANNER_H
#define TPI_TAIL_BANNER_H

#include "tools/tail/options.h"

/*
 * On stderr. To a terminal: the channel, the number of its producers, and since when, so that a
 * quiet channel is told from a broken one. In any case: how much of --since is no longer
 * there.
 */
void tpi_tail_banner(const struct tpi_tail_arguments *args);

#endif
