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

#define WIRE_STRINGS_MAX 3
#define WIRE_SIZE(type)  sizeof(struct tpi_wire_##type)
#define WIRE_STRING(type, field)                                          \
	{                                                                 \
		offsetof(struct tpi_wire_##type, field),                  \
			sizeof(((union tpi_wire_message *)0)->type.field) \
	}

static const struct wire_kind {
	size_t bytes;
	size_t least; /* of an earlier version. 0: it was never shorter */
	unsigned int fds_min;
	unsigned int fds_max;
	struct wire_string strings[WIRE_STRINGS_MAX]; /* bytes 0: none */
} kinds[] = {
	[TPI_WIRE_HELLO] =
		{
			.bytes = WIRE_SIZE(hello),
			.least = offsetof(struct tpi_wire_hello, attach),
			.fds_max = 1, /* 0: it could not open its pidfd */
			.strings = {WIRE_STRING(hello, comm),
				    WIRE_STRING(hello, attach.channel),
				    WIRE_STRING(hello, attach.group)},
		},
	[TPI_WIRE_WELCOME] =
		{
			.bytes = WIRE_SIZE(welcome),
			.least = offsetof(struct tpi_wire_welcome, slots),
			.fds_min = 1,
			.fds_max = TPI_WIRE_WELCOME_FDS_MAX,
			.strings = {WIRE_STRING(welcome, version)},
		},
	[TPI_WIRE_ATTACH] =
		{
			.bytes = WIRE_SIZE(attach),
			.least = offsetof(struct tpi_wire_attach, handle) +
				 sizeof(uint64_t),
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
	[TPI_WIRE_FETCH] = {.bytes = WIRE_SIZE(fetch)},
	[TPI_WIRE_FETCHED] =
		{
			.bytes = WIRE_SIZE(fetched),
			.fds_min = 1,
			.fds_max = TPI_WIRE_FETCH_MAX,
		},
	[TPI_WIRE_RELOAD] = {.bytes = WIRE_SIZE(reload)},
	[TPI_WIRE_RELOADED] =
		{
			.bytes = WIRE_SIZE(reloaded),
			.strings = {WIRE_STRING(reloaded, text)},
		},
	[TPI_WIRE_RESUME] = {.bytes = WIRE_SIZE(resume)},
	[TPI_WIRE_RESUMED] = {.bytes = WIRE_SIZE(resumed)},
	[TPI_WIRE_REPLACE] = {.bytes = WIRE_SIZE(replace)},
	[TPI_WIRE_HANDING] =
		{
			.bytes = WIRE_SIZE(handing),
			.fds_min = 3,
			.fds_max = 3,
			.strings = {WIRE_STRING(handing, version)},
		},
	[TPI_WIRE_HANDED] =
		{
			.bytes = WIRE_SIZE(handed),
			.fds_min = 1,
			.fds_max = TPI_WIRE_HANDED_MAX,
		},
	[TPI_WIRE_TAKE] = {.bytes = WIRE_SIZE(take)},
	[TPI_WIRE_TAKEN] = {.bytes = WIRE_SIZE(taken)},
	[TPI_WIRE_MAPPED] = {.bytes = WIRE_SIZE(mapped)},
	[TPI_WIRE_SEALED] = {.bytes = WIRE_SIZE(sealed)},
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

/* Of our minor version: exact. Of a later one: at least. Of an earlier one: at most. */
static int check_length(const struct tpi_wire_header *header, size_t bytes,
			char *error, size_t error_bytes)
{
	const struct wire_kind *kind = &kinds[header->type];
	size_t want = kind->bytes, least = want;

	if (header->minor < TPI_WIRE_MINOR && kind->least)
		least = kind->least;

	if (header->length != bytes)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message type %u says %u bytes, %zu came",
				header->type, header->length, bytes);
	if (bytes < least ||
	    (bytes > want && header->minor <= TPI_WIRE_MINOR) ||
	    bytes > TPI_WIRE_BYTES_MAX)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"message type %u of protocol %u.%u has %zu "
				"bytes, not %zu",
				header->type, header->major, header->minor,
				bytes, want);
	return 0;
}

/* `came`: all but those that others count. */
static int check_segments(const struct tpi_wire_attached *attached,
			  unsigned int came, char *error, size_t error_bytes)
{
	uint32_t segments = attached->segment_count;
	uint32_t cursors = attached->cursors_count;

	if (segments <= came && cursors == came - segments)
		return 0;
	return tpi_fail(-EBADMSG, error, error_bytes,
			"%u segments and %u cursors, but %u descriptors",
			segments, cursors, came);
}

static int check_welcome(const struct tpi_wire_welcome *welcome,
			 unsigned int fds, char *error, size_t error_bytes)
{
	unsigned int slots;

	/* An earlier version's ends before. */
	if (welcome->header.length < sizeof(*welcome) && fds == 1)
		return 0;
	if (welcome->header.length < sizeof(*welcome))
		return tpi_fail(-EBADMSG, error, error_bytes,
				"a catalog, but %u descriptors", fds);
	slots = (unsigned int)__builtin_popcountll(welcome->slots);
	if (slots >= fds)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"a catalog and cursors of %u slots, but %u "
				"descriptors",
				slots, fds);
	return check_segments(&welcome->attached, fds - 1 - slots, error,
			      error_bytes);
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
	if (header->type == TPI_WIRE_ATTACHED)
		return check_segments(&message->attached, fds, error,
				      error_bytes);
	if (header->type == TPI_WIRE_WELCOME)
		return check_welcome(&message->welcome, fds, error,
				     error_bytes);
	if (header->type == TPI_WIRE_FETCHED && message->fetched.count != fds)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"cursors of %u slots, but %u descriptors",
				message->fetched.count, fds);
	if (header->type == TPI_WIRE_HANDED && message->handed.count != fds)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"%u keys, but %u descriptors",
				message->handed.count, fds);
	return 0;
}

static int check_strings(const union tpi_wire_message *message, char *error,
			 size_t error_bytes)
{
	const struct wire_kind *kind = &kinds[message->header.type];

	for (unsigned int i = 0; i < WIRE_STRINGS_MAX; i++) {
		const struct wire_string *s = &kind->strings[i];

		/* What an earlier version does not send is empty. */
		if (s->bytes &&
		    s->offset + s->bytes <= message->header.length &&
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
