/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as a control message. The first byte is how many
 * descriptors came with it. No input makes the check read past its end, return
 * an error that it does not document, or accept what it promises not to.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "lib/wire/wire.h"

static void accepted(const union tpi_wire_message *m, size_t size,
		     unsigned int fds)
{
	FUZZ_CHECK(m->header.magic == TPI_WIRE_MAGIC);
	FUZZ_CHECK(m->header.major == TPI_WIRE_MAJOR);
	FUZZ_CHECK(m->header.length == size);
	FUZZ_CHECK(m->header.fd_count == fds);
	switch (m->header.type) {
	case TPI_WIRE_HELLO:
		FUZZ_CHECK(size >=
			   (m->header.minor < TPI_WIRE_MINOR
				    ? offsetof(struct tpi_wire_hello, attach)
				    : sizeof(m->hello)));
		FUZZ_CHECK(fds <= 1);
		FUZZ_CHECK(memchr(m->hello.comm, 0, sizeof(m->hello.comm)));
		if (size < sizeof(m->hello))
			break;
		FUZZ_CHECK(
			memchr(m->hello.attach.channel, 0, TAPIO_NAME_BYTES));
		FUZZ_CHECK(memchr(m->hello.attach.group, 0, TAPIO_NAME_BYTES));
		break;
	case TPI_WIRE_WELCOME:
		FUZZ_CHECK(fds);
		if (size < sizeof(m->welcome)) {
			FUZZ_CHECK(m->header.minor < TPI_WIRE_MINOR);
			FUZZ_CHECK(fds == 1);
			break;
		}
		FUZZ_CHECK((uint64_t)__builtin_popcountll(m->welcome.slots) +
				   1 + m->welcome.attached.segment_count +
				   m->welcome.attached.cursors_count ==
			   fds);
		break;
	case TPI_WIRE_ATTACH:
		FUZZ_CHECK(size >= sizeof(m->attach) && fds == 0);
		FUZZ_CHECK(memchr(m->attach.channel, 0, TAPIO_NAME_BYTES));
		FUZZ_CHECK(memchr(m->attach.group, 0, TAPIO_NAME_BYTES));
		break;
	case TPI_WIRE_ATTACHED:
		FUZZ_CHECK(size >= sizeof(m->attached));
		FUZZ_CHECK(fds && fds <= TPI_WIRE_FDS_MAX);
		FUZZ_CHECK((uint64_t)m->attached.segment_count +
				   m->attached.cursors_count ==
			   fds);
		break;
	case TPI_WIRE_DETACH:
		FUZZ_CHECK(size >= sizeof(m->detach) && fds == 0);
		break;
	case TPI_WIRE_DETACHED:
		FUZZ_CHECK(size >= sizeof(m->detached) && fds == 0);
		break;
	case TPI_WIRE_REFUSED:
		FUZZ_CHECK(size >= sizeof(m->refused) && fds == 0);
		FUZZ_CHECK(memchr(m->refused.text, 0, sizeof(m->refused.text)));
		break;
	case TPI_WIRE_REMOVE:
		FUZZ_CHECK(size >= sizeof(m->remove) && fds == 0);
		FUZZ_CHECK(memchr(m->remove.channel, 0, TAPIO_NAME_BYTES));
		FUZZ_CHECK(memchr(m->remove.group, 0, TAPIO_NAME_BYTES));
		break;
	case TPI_WIRE_REMOVED:
		FUZZ_CHECK(size >= sizeof(m->removed) && fds == 0);
		break;
	case TPI_WIRE_FETCH:
		FUZZ_CHECK(size >= sizeof(m->fetch) && fds == 0);
		break;
	case TPI_WIRE_FETCHED:
		FUZZ_CHECK(size >= sizeof(m->fetched));
		FUZZ_CHECK(fds && fds <= TPI_WIRE_FETCH_MAX);
		FUZZ_CHECK(m->fetched.count == fds);
		break;
	case TPI_WIRE_RELOAD:
		FUZZ_CHECK(size >= sizeof(m->reload) && fds == 0);
		break;
	case TPI_WIRE_RELOADED:
		FUZZ_CHECK(size >= sizeof(m->reloaded) && fds == 0);
		FUZZ_CHECK(
			memchr(m->reloaded.text, 0, sizeof(m->reloaded.text)));
		break;
	case TPI_WIRE_RESUME:
		FUZZ_CHECK(size >= sizeof(m->resume) && fds == 0);
		break;
	case TPI_WIRE_RESUMED:
		FUZZ_CHECK(size >= sizeof(m->resumed) && fds == 0);
		break;
	case TPI_WIRE_REPLACE:
		FUZZ_CHECK(size >= sizeof(m->replace) && fds == 0);
		break;
	case TPI_WIRE_HANDING:
		FUZZ_CHECK(size >= sizeof(m->handing) && fds == 3);
		FUZZ_CHECK(memchr(m->handing.version, 0,
				  sizeof(m->handing.version)));
		break;
	case TPI_WIRE_HANDED:
		FUZZ_CHECK(size >= sizeof(m->handed));
		FUZZ_CHECK(fds && fds <= TPI_WIRE_HANDED_MAX);
		FUZZ_CHECK(m->handed.count == fds);
		break;
	case TPI_WIRE_TAKE:
		FUZZ_CHECK(size >= sizeof(m->take) && fds == 0);
		break;
	case TPI_WIRE_TAKEN:
		FUZZ_CHECK(size >= sizeof(m->taken) && fds == 0);
		break;
	case TPI_WIRE_MAPPED:
		FUZZ_CHECK(size >= sizeof(m->mapped) && fds == 0);
		break;
	case TPI_WIRE_SEALED:
		FUZZ_CHECK(size >= sizeof(m->sealed) && fds == 0);
		break;
	default:
		FUZZ_CHECK(!"a type that is not known");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int fds;
	char why[200] = "";
	void *copy;
	int err;

	if (!size)
		return 0;
	fds = *data++;
	size--;
	/* Exactly as long as the message, with a redzone behind it. */
	copy = malloc(size + !size);
	FUZZ_CHECK(copy);
	memcpy(copy, data, size);
	err = tpi_wire_check(copy, size, fds, why, sizeof(why));
	FUZZ_CHECK(err == 0 || err == -EBADMSG || err == -EPROTONOSUPPORT);
	if (err)
		FUZZ_CHECK(why[0]);
	else
		accepted(copy, size, fds);
	free(copy);
	return 0;
}
