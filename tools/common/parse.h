/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as people write them on a command line.
 *
 * All take decimal digits, a fraction if they like ("1.5s"), and a unit right
 * behind. No sign, no spaces. On error *out is 0: -EINVAL what is written is not
 * a number with one of the units, -ERANGE it does not fit.
 */
#ifndef TPI_TOOLS_PARSE_H
#define TPI_TOOLS_PARSE_H

#include <stdint.h>

/*
 * Nanoseconds: "250ns", "10us", "100ms", "5s", "2m", "1h", "1d". A bare number
 * is seconds, and "forever" is TAPIO_FOREVER.
 */
int tpi_parse_duration(const char *text, int64_t *out_ns);

/* Bytes: "64", "4K", "2M", "1G", "1T" (powers of 1024), also "4KiB", "16B". */
int tpi_parse_size(const char *text, uint64_t *out_bytes);

/* Per second: "500", "10k", "1M", "2.5G" (powers of 1000), also "1M/s". */
int tpi_parse_rate(const char *text, uint64_t *out_per_second);

/* A whole number from min to max, with "k", "M" or "G" (powers of 1000). */
int tpi_parse_count(const char *text, uint64_t min, uint64_t max,
		    uint64_t *out);

#endif
