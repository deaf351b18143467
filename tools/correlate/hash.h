/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4, by which keys are found, findings are named and checkpoints are checked. With
 * fixed seeds it is the same on every machine. Any thread MAY call it.
 */
#ifndef TPI_CORRELATE_HASH_H
#define TPI_CORRELATE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct tpi_hash {
	uint64_t v[4];
	uint64_t tail; /* bytes that fill no word yet */
	uint64_t length;
};

void tpi_hash_init(struct tpi_hash *hash, uint64_t seed0, uint64_t seed1);
void tpi_hash_add(struct tpi_hash *hash, const void *data, size_t length);
/* Little-endian, so that a number has one hash everywhere. */
void tpi_hash_number(struct tpi_hash *hash, uint64_t number);
/* With its length, so that "ab", "c" is not "a", "bc". */
void tpi_hash_text(struct tpi_hash *hash, const char *text);
uint64_t tpi_hash_end(struct tpi_hash *hash);

/* All of it at once. */
uint64_t tpi_hash_bytes(uint64_t seed, const void *data, size_t length);

#endif
