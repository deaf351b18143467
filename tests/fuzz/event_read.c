/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes, read as an event. No input makes the reader leave its
 * memory, return an error that it does not document, or print what is not valid.
 */
#include <errno.h>
#include <string.h>

#include "event_check.h"
#include "fuzz.h"

/* Both ways to a view. `data` has exactly `size` bytes. */
static void read_event(const char *data, size_t size)
{
	struct tapio_view bytes = {.data = data, .length = (uint32_t)size};
	struct tapio_event_view v;
	const int err = tapio_event_view_init(&v, data, size);

	FUZZ_CHECK(err == 0 || err == -EMSGSIZE || err == -EBADMSG ||
		   err == -EPROTONOSUPPORT);
	if (!err) {
		check_view(&v, true);
		bytes.type = v.header.type;
		FUZZ_CHECK(tapio_event_view_open(&v, &bytes) == 0);
		bytes.type++;
	}
	FUZZ_CHECK(tapio_event_view_open(&v, &bytes) < 0);
	FUZZ_CHECK(v.flags & TAPIO_EVENT_VIEW_OPAQUE);
	check_view(&v, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Aligned as in a lane, and not. */
	for (size_t shift = 0; shift < 2; shift++) {
		char *copy = malloc(size + shift + !size);

		if (size)
			memcpy(copy + shift, data, size);
		read_event(copy + shift, size);
		free(copy);
	}
	return 0;
}
