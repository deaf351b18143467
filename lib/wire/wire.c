/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol's messages: making and checking them. Called by broker
 * and client on every message, by the fuzzer on anything. Pure: no system call,
 * no allocation, no state. A message that passed tpi_wire_check() may be read
 * field by field. Whether its values make sense is its receiver's business.
 *
 * Everything that differs between types is one row of `kinds`, so that a new
 * message is a new row and nothing else.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/error.h"
#include "lib/wire/wire.h"

struct wire_string {
	uint16_t offset;
	uint16_t bytes;
};

#define WIRE_STRINGS_MAX 2
#define WIRE_SIZE(type)  sizeof(struct tpi_wire_##type)
#define WIRE_STRING(type, field)                                          \
	{                                                                 \
		offsetof(struct tpi_wire_##type, field),                  \
			sizeof(((union tpi_wire_message *)0)->type.field) \
	}

static const struct wire_kind {
	size_t bytes;
	unsigned int fds_min;
	unsigned int fds_max;
	struct wire_string strings[WIRE_STRINGS_MAX]; /* bytes 0: none */
} kinds[] = {
	[TPI_WIRE_HELLO] =
		{
			.bytes = WIRE_SIZE(hello),
			.fds_max = 1, /* 0: it could not open its pidfd */
			.strings = {WIRE_STRING(hello, comm)},
		},
	[TPI_WIRE_WELCOME] =
		{
			.bytes = WIRE_SIZE(welcome),
			.fds_min = 1,
			.fds_max = 1,
			.strings = {WIRE_STRING(welcome, version)},
		},
	[TPI_WIRE_ATTACH] =
		{
			.bytes = WIRE_SIZE(attach),
			.strings = {WIRE_STRING(attach, channel),
				    WIRE_STRING(attach, group)},
		},
	[TPI_WIRE_ATTACHED] =
		{
			.bytes = WIRE_SIZE(attached),
			.fds_min = 1,
			.fds_max = TPI_WIRE_FDS_MAX,
		},
	[TPI_WIRE_DETACH] = {.bytes = WIRE_SIZE(detach)},
	[TPI_WIRE_DETACHED] = {.bytes = WIRE_SIZE(detached)},
	[TPI_WIRE_REFUSED] =
		{
			.bytes = WIRE_SIZE(refused),
			.strings = {WIRE_STRING(refused, text)},
		},
	[TPI_WIRE_REMOVE] =
		{
			.bytes = WIRE_SIZE(remove),
			.strings = {WIRE_STRING(remove, channel),
				    WIRE_STRING(remove, group)},
		},
	[TPI_WIRE_REMOVED] = {.bytes = WIRE_SIZE(removed)},
};
#define WIRE_KINDS (sizeof(kinds) / sizeof(kinds[0]))

void tpi_wire_init(union tpi_wire_message *message, enum tpi_wire_type type)
{
	memset(message, 0, sizeof(*message));
	message->header.magic = TPI_WIRE_MAGIC;
	message->header.major = TPI_WIRE_MAJOR;
	message->header.minor = TPI_WIRE_MINOR;
	message->header.type = (uint16_t)type;
	message->header.length = (uint32_t)kinds[type].bytes;
}

static int check_header(const struct tpi_wire_header *header, size_t bytes,
			char *error, size_t error_bytes)
{
	if (bytes < sizeof(*header))
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message of %zu bytes is shorter than its "
				"header of %zu",
				bytes, sizeof(*header));
	if (header->magic != TPI_WIRE_MAGIC)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message begins with 0x%08x, not 0x%08x",
				header->magic, TPI_WIRE_MAGIC);
	if (header->major != TPI_WIRE_MAJOR)
		return tpi_fail(-EPROTONOSUPPORT, error, error_bytes,
				"message of protocol %u.%u, this side speaks "
				"%u.%u",
				header->major, header->minor, TPI_WIRE_MAJOR,
				TPI_WIRE_MINOR);
	if (header->type == 0 || header->type >= WIRE_KINDS)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message type %u is not one of 1 to %zu",
				header->type, WIRE_KINDS - 1);
	return 0;
}

/* Of our minor version or an older one: exact. Of a later one: at least. */
static int check_length(const struct tpi_wire_header *header, size_t bytes,
			char *error, size_t error_bytes)
{
	size_t want = kinds[header->type].bytes;

	if (header->length != bytes)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message type %u says %u bytes, %zu came",
				header->type, header->length, bytes);
	if (bytes < want || (bytes > want && header->minor <= TPI_WIRE_MINOR) ||
	    bytes > TPI_WIRE_BYTES_MAX)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message type %u of protocol %u.%u has %zu "
				"bytes, not %zu",
				header->type, header->major, header->minor,
				bytes, want);
	return 0;
}

static int check_fds(const union tpi_wire_message *message, unsigned int fds,
		     char *error, size_t error_bytes)
{
	const struct tpi_wire_header *header = &message->header;
	const struct wire_kind *kind = &kinds[header->type];

	if (header->fd_count != fds)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message type %u says %u descriptors, %u came",
				header->type, header->fd_count, fds);
	if (fds < kind->fds_min || fds > kind->fds_max)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message type %u carries %u descriptors, not "
				"%u to %u",
				header->type, fds, kind->fds_min,
				kind->fds_max);
	if (header->type == TPI_WIRE_ATTACHED) {
		uint32_t segments = message->attached.segment_count;
		uint32_t cursors = message->attached.cursors_count;

		if (segments > fds || cursors != fds - segments)
			return tpi_fail(-EBADMSG, error, error_bytes,
					"%u segments and %u cursors, but %u "
					"descriptors",
					segments, cursors, fds);
	}
	return 0;
}

static int check_strings(const union tpi_wire_message *message, char *error,
			 size_t error_bytes)
{
	const struct wire_kind *kind = &kinds[message->header.type];

	for (unsigned int i = 0; i < WIRE_STRINGS_MAX; i++) {
		const struct wire_string *s = &kind->strings[i];

		if (s->bytes &&
		    !memchr(message->bytes + s->offset, 0, s->bytes))
			return tpi_fail(-EBADMSG, error, error_bytes,
					"string at byte %u of message type %u "
					"does not end within %u bytes",
					s->offset, message->header.type,
					s->bytes);
	}
	return 0;
}

int tpi_wire_check(const union tpi_wire_message *message, size_t bytes,
		   unsigned int fds, char *error, size_t error_bytes)
{
	int err = check_header(&message->header, bytes, error, error_bytes);

	if (!err)
		err = check_length(&message->header, bytes, error, error_bytes);
	if (!err)
		err = check_fds(message, fds, error, error_bytes);
	if (!err)
		err = check_strings(message, error, error_bytes);
	return err;
}

int tpi_wire_name(char field[TAPIO_NAME_BYTES], const char *name)
{
	size_t length = strnlen(name, TAPIO_NAME_BYTES);

	memset(field, 0, TAPIO_NAME_BYTES);
	if (length == TAPIO_NAME_BYTES)
		return -ENAMETOOLONG;
	if (length == 0)
		return -EINVAL;
	/* ASCII, whatever the locale: a name ends up in logs and catalogs. */
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return -EINVAL;
	memcpy(field, name, length);
	return 0;
}
