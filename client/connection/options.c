/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option structs of callers that were compiled against an older or a newer
 * header: each begins with its size, and grows at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/connection/client.h"
#include "lib/base/error.h"

int tpi_options_copy(void *to, size_t to_bytes, const void *from)
{
	const unsigned char *extra = from;
	size_t size, i;

	memset(to, 0, to_bytes);
	if (!from)
		return 0;
	memcpy(&size, from, sizeof(size));
	if (size < sizeof(size))
		return -EINVAL;
	memcpy(to, from, size < to_bytes ? size : to_bytes);
	/* A newer caller may set what we do not know. That we cannot do. */
	for (i = to_bytes; i < size; i++)
		if (extra[i])
			return -EINVAL;
	return 0;
}

static int check_time(const struct tapio_options *options, const char *name,
		      int64_t *ns)
{
	if (*ns < TAPIO_FOREVER)
		return tpi_fail(-EINVAL, options->error, options->error_bytes,
				"%s is %lld: not a time, 0 or TAPIO_FOREVER",
				name, (long long)*ns);
	/* Longer than a century is for ever, and does not overflow. */
	if (*ns > TPI_FOREVER_NS)
		*ns = TAPIO_FOREVER;
	return 0;
}

static int check_broker(struct tapio_options *options)
{
	int err;

	if (options->error && options->error_bytes)
		options->error[0] = '\0';
	err = check_time(options, "connect_ns", &options->connect_ns);
	return err ? err
		   : check_time(options, "answer_ns", &options->answer_ns);
}

bool tpi_options_keep_text(char **to, const char *from)
{
	return !from || (*to = strdup(from));
}

bool tpi_options_keep_types(uint16_t **to, const uint16_t *from, uint32_t count)
{
	size_t bytes = count * sizeof(*from);

	/* NULL with a count is for the filter to refuse. */
	if (!bytes || !from)
		return true;
	*to = malloc(bytes);
	if (*to)
		memcpy(*to, from, bytes);
	return *to;
}

int tpi_options_unknown(const struct tapio_options *options)
{
	return tpi_fail(-EINVAL, options->error, options->error_bytes,
			"the options have no size, or set a field that version "
			"%s of the library does not know",
			tapio_version());
}

int tpi_open_failed(const struct tapio_options *options, int err)
{
	if (options->error && options->error_bytes && !options->error[0])
		tpi_fail(err, options->error, options->error_bytes, "%s",
			 strerror(-err));
	return err;
}

int tpi_options_broker(struct tapio_options *to,
		       const struct tapio_options *from)
{
	int err = tpi_options_copy(to, sizeof(*to), from);

	return err ? tpi_options_unknown(to) : check_broker(to);
}

int tpi_options_nested(struct tapio_options *options)
{
	return check_broker(options);
}

int tpi_stats_copy(void *to, const void *from, size_t from_bytes)
{
	unsigned char *out = to;
	size_t size;

	memcpy(&size, to, sizeof(size));
	if (size < sizeof(size))
		return -EINVAL;
	if (size > from_bytes)
		memset(out + from_bytes, 0, size - from_bytes);
	else
		from_bytes = size;
	memcpy(out + sizeof(size), (const unsigned char *)from + sizeof(size),
	       from_bytes - sizeof(size));
	return 0;
}
