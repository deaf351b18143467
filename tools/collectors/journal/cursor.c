/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a cursor's text, which sd-journal does not take apart for us. */
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/journal/journal.h"

static bool take_id(char id[33], const char *text, size_t length)
{
	if (length != 32)
		return false;
	memcpy(id, text, 32);
	id[32] = '\0';
	return strspn(id, "0123456789abcdef") == 32;
}

static bool take_number(uint64_t *number, const char *text, size_t length)
{
	char digits[17], *end;

	if (!length || length > 16)
		return false;
	memcpy(digits, text, length);
	digits[length] = '\0';
	*number = strtoull(digits, &end, 16);
	return !*end && digits[0] != '-' && digits[0] != '+' &&
	       digits[0] != ' ';
}

static bool take_part(struct tpi_place *place, char name, const char *text,
		      size_t length)
{
	switch (name) {
	case 's':
		return take_id(place->seqnum_id, text, length);
	case 'b':
		return take_id(place->boot_id, text, length);
	case 'i':
		return take_number(&place->seqnum, text, length);
	case 'm':
		return take_number(&place->monotonic_us, text, length);
	case 't':
		return take_number(&place->realtime_us, text, length);
	case 'x':
		return take_number(&place->hash, text, length);
	default:
		return true; /* of a later version */
	}
}

bool tpi_place_parse(const char *cursor, struct tpi_place *place)
{
	*place = (struct tpi_place){0};
	for (;;) {
		size_t length = strcspn(cursor, ";");

		if (length < 3 || cursor[1] != '=' ||
		    !take_part(place, cursor[0], cursor + 2, length - 2))
			return false;
		if (!cursor[length])
			break;
		cursor += length + 1;
	}
	return place->seqnum_id[0] && place->boot_id[0] && place->seqnum &&
	       place->realtime_us;
}

bool tpi_place_same(const struct tpi_place *a, const struct tpi_place *b)
{
	if (!strcmp(a->seqnum_id, b->seqnum_id))
		return a->seqnum == b->seqnum;
	/* journald has copied it, from /run to /var for example. */
	return !strcmp(a->boot_id, b->boot_id) &&
	       a->monotonic_us == b->monotonic_us &&
	       a->realtime_us == b->realtime_us && a->hash == b->hash;
}
