/* SPDX-License-Identifier: Apache-2.0 */
/* Records of /dev/kmsg, of any bytes. See the kernel's Documentation/ABI/testing/dev-kmsg. */
#include <string.h>

#include "tools/collectors/kmsg/kmsg.h"

/* Digits up to one of `ends`. Moves *at behind that. */
static bool take_number(const char **at, const char *end, const char *ends,
			uint64_t *number)
{
	const char *begin = *at;

	*number = 0;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, **at - '0', number))
			return false;
	if (*at == begin || *at == end || !**at || !strchr(ends, **at))
		return false;
	(*at)++;
	return true;
}

bool tpi_kmsg_parse(struct tpi_kmsg *kmsg, const char *record, size_t length)
{
	const char *at = record, *end = record + length, *newline;
	uint64_t priority;

	memset(kmsg, 0, sizeof(*kmsg));
	if (!take_number(&at, end, ",", &priority) ||
	    !take_number(&at, end, ",", &kmsg->sequence) ||
	    !take_number(&at, end, ",;", &kmsg->monotonic_us))
		return false;
	if (at[-1] == ',') {
		at = memchr(at, ';', (size_t)(end - at));
		if (!at)
			return false;
		at++;
	}
	kmsg->priority = priority & 7;
	kmsg->facility = (uint32_t)(priority >> 3);
	newline = memchr(at, '\n', (size_t)(end - at));
	kmsg->message = at;
	kmsg->message_bytes = (size_t)((newline ? newline : end) - at);
	kmsg->fields = newline ? newline + 1 : end;
	kmsg->fields_bytes = (size_t)(end - kmsg->fields);
	return true;
}

bool tpi_kmsg_field(const struct tpi_kmsg *kmsg, size_t *at, const char **key,
		    size_t *key_bytes, const char **value, size_t *value_bytes)
{
	while (*at < kmsg->fields_bytes) {
		const char *line = kmsg->fields + *at;
		size_t left = kmsg->fields_bytes - *at;
		const char *newline = memchr(line, '\n', left);
		size_t length = newline ? (size_t)(newline - line) : left;
		const char *equals = memchr(line, '=', length);

		*at += length + 1;
		if (!length || *line != ' ' || !equals || equals == line + 1)
			continue;
		*key = line + 1;
		*key_bytes = (size_t)(equals - *key);
		*value = equals + 1;
		*value_bytes = (size_t)(line + length - *value);
		return true;
	}
	return false;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t tpi_kmsg_unescape(char *out, const char *text, size_t length)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		int high = -1, low = -1;

		if (text[i] == '\\' && length - i >= 4 && text[i + 1] == 'x') {
			high = hex_digit(text[i + 2]);
			low = hex_digit(text[i + 3]);
		}
		if (high < 0 || low < 0) {
			out[used++] = text[i];
			continue;
		}
		out[used++] = (char)(high << 4 | low);
		i += 3;
	}
	return used;
}
