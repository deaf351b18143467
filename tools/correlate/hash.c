/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tools/correlate/hash.h"

static uint64_t turn(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void rounds(uint64_t v[4], int count)
{
	while (count--) {
		v[0] += v[1];
		v[1] = turn(v[1], 13) ^ v[0];
		v[0] = turn(v[0], 32);
		v[2] += v[3];
		v[3] = turn(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = turn(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = turn(v[1], 17) ^ v[2];
		v[2] = turn(v[2], 32);
	}
}

static void take(struct tpi_hash *hash, uint64_t word)
{
	hash->v[3] ^= word;
	rounds(hash->v, 2);
	hash->v[0] ^= word;
}

void tpi_hash_init(struct tpi_hash *hash, uint64_t seed0, uint64_t seed1)
{
	*hash = (struct tpi_hash){
		.v = {seed0 ^ UINT64_C(0x736f6d6570736575),
		      seed1 ^ UINT64_C(0x646f72616e646f6d),
		      seed0 ^ UINT64_C(0x6c7967656e657261),
		      seed1 ^ UINT64_C(0x7465646279746573)},
	};
}

void tpi_hash_add(struct tpi_hash *hash, const void *data, size_t length)
{
	const unsigned char *p = data;
	uint64_t word;

	for (; length && hash->length % 8; length--, p++) {
		hash->tail |= (uint64_t)*p << 8 * (hash->length++ % 8);
		if (hash->length % 8 == 0) {
			take(hash, hash->tail);
			hash->tail = 0;
		}
	}
	for (; length >= 8; length -= 8, p += 8, hash->length += 8) {
		memcpy(&word, p, sizeof(word));
		take(hash, word);
	}
	for (; length; length--, p++)
		hash->tail |= (uint64_t)*p << 8 * (hash->length++ % 8);
}

void tpi_hash_number(struct tpi_hash *hash, uint64_t number)
{
	tpi_hash_add(hash, &number, sizeof(number));
}

void tpi_hash_text(struct tpi_hash *hash, const char *text)
{
	size_t length = strlen(text);

	tpi_hash_number(hash, length);
	tpi_hash_add(hash, text, length);
}

uint64_t tpi_hash_end(struct tpi_hash *hash)
{
	take(hash, hash->tail | hash->length << 56);
	hash->v[2] ^= 0xff;
	rounds(hash->v, 4);
	return hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}

uint64_t tpi_hash_bytes(uint64_t seed, const void *data, size_t length)
{
	struct tpi_hash hash;

	tpi_hash_init(&hash, seed, ~seed);
	tpi_hash_add(&hash, data, length);
	return tpi_hash_end(&hash);
}
