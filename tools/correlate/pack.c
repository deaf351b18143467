/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/pack.h"

void tpi_write_bytes(struct tpi_writer *w, const void *data, size_t length)
{
	if (w->room - w->length < length) {
		size_t room = w->room ? w->room : 4096;
		unsigned char *more;

		while (room - w->length < length)
			room *= 2;
		more = w->failed ? NULL : realloc(w->data, room);
		if (!more) {
			w->failed = true;
			return;
		}
		w->data = more;
		w->room = room;
	}
	if (length)
		memcpy(w->data + w->length, data, length);
	w->length += length;
}

void tpi_write(struct tpi_writer *w, uint64_t number)
{
	tpi_write_bytes(w, &number, sizeof(number));
}

void tpi_write_block(struct tpi_writer *w, const void *data, size_t length)
{
	static const char zeroes[8];

	tpi_write(w, length);
	tpi_write_bytes(w, data, length);
	tpi_write_bytes(w, zeroes, -length & 7); /* numbers stay aligned */
}

uint64_t tpi_read(struct tpi_reader *r)
{
	uint64_t number;

	if (r->failed || (size_t)(r->end - r->at) < sizeof(number)) {
		r->failed = true;
		return 0;
	}
	memcpy(&number, r->at, sizeof(number));
	r->at += sizeof(number);
	return number;
}

uint64_t tpi_read_max(struct tpi_reader *r, uint64_t max)
{
	const uint64_t number = tpi_read(r);

	if (number <= max)
		return number;
	r->failed = true;
	return 0;
}

uint32_t tpi_read_count(struct tpi_reader *r, size_t bytes)
{
	const uint64_t number = tpi_read(r);

	if (number <= (size_t)(r->end - r->at) / bytes && number <= UINT32_MAX)
		return (uint32_t)number;
	r->failed = true;
	return 0;
}

const void *tpi_read_block(struct tpi_reader *r, size_t max, size_t *length)
{
	const uint64_t bytes = tpi_read_max(r, max);
	const size_t whole = (size_t)((bytes + 7) & ~UINT64_C(7));
	const void *data = r->at;

	*length = 0;
	if (r->failed || whole > (size_t)(r->end - r->at)) {
		r->failed = true;
		return NULL;
	}
	r->at += whole;
	*length = (size_t)bytes;
	return data;
}
