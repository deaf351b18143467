/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Formats as in RFC 1035 and RFC 3596. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "tools/collectors/ebpf/dns.h"

#define HEADER_BYTES 12
#define ANSWERS_AT   6
#define RECORD_BYTES 10 /* type, class, ttl, length */
#define RECORDS_MAX  64
#define LABELS_MAX   128 /* as many as a name of 255 bytes may have */
#define POINTER      0xc0

enum {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_CNAME = 5,
	TYPE_PTR = 12,
	TYPE_AAAA = 28,
};

struct message {
	const uint8_t *data;
	size_t bytes;
};

static uint32_t read16(const struct message *m, size_t at)
{
	return (uint32_t)m->data[at] << 8 | m->data[at + 1];
}

static bool has(const struct message *m, size_t at, size_t bytes)
{
	return at <= m->bytes && bytes <= m->bytes - at;
}

/* Behind the name at `at`, which may end in a pointer. 0: it is malformed. */
static size_t skip_name(const struct message *m, size_t at)
{
	for (int i = 0; i < LABELS_MAX && has(m, at, 1); i++) {
		const uint8_t length = m->data[at];

		if (length >= POINTER)
			return has(m, at, 2) ? at + 2 : 0;
		if (!length)
			return at + 1;
		at += 1 + (size_t)length;
	}
	return 0;
}

static void append(struct tpi_dns_answers *a, const char *text, size_t bytes)
{
	if (bytes > sizeof(a->text) - a->text_bytes) {
		bytes = sizeof(a->text) - a->text_bytes;
		a->cut = true;
	}
	memcpy(a->text + a->text_bytes, text, bytes);
	a->text_bytes += (uint32_t)bytes;
}

/* A name with its dots. A pointer leads to another place of the message. */
static void append_name(struct tpi_dns_answers *a, const struct message *m,
			size_t at)
{
	const char *dot = "";

	for (int i = 0; i < LABELS_MAX && has(m, at, 1); i++) {
		const uint8_t length = m->data[at];

		if (length >= POINTER) {
			if (!has(m, at, 2))
				return;
			at = read16(m, at) & 0x3fff;
			continue;
		}
		if (!length || !has(m, at + 1, length))
			return;
		append(a, dot, strlen(dot));
		append(a, (const char *)m->data + at + 1, length);
		at += 1 + (size_t)length;
		dot = ".";
	}
}

static void append_address(struct tpi_dns_answers *a, int family,
			   const uint8_t *address)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(family, address, text, sizeof(text)))
		append(a, text, strlen(text));
}

static bool is_shown(uint32_t type, uint32_t length)
{
	return (type == TYPE_A && length == 4) ||
	       (type == TYPE_AAAA && length == 16) || type == TYPE_CNAME ||
	       type == TYPE_NS || type == TYPE_PTR;
}

static void append_record(struct tpi_dns_answers *a, const struct message *m,
			  uint32_t type, size_t at, uint32_t length)
{
	if (!is_shown(type, length))
		return;
	if (a->text_bytes)
		append(a, " ", 1);
	if (type == TYPE_A)
		append_address(a, AF_INET, m->data + at);
	else if (type == TYPE_AAAA)
		append_address(a, AF_INET6, m->data + at);
	else
		append_name(a, m, at);
}

/* One record. Behind it, or 0: it is malformed, or not all there. */
static size_t read_record(struct tpi_dns_answers *a, const struct message *m,
			  size_t at)
{
	uint32_t type, length, ttl_seconds;

	at = skip_name(m, at);
	if (!at || !has(m, at, RECORD_BYTES))
		return 0;
	type = read16(m, at);
	ttl_seconds = read16(m, at + 4) << 16 | read16(m, at + 6);
	length = read16(m, at + 8);
	at += RECORD_BYTES;
	if (!has(m, at, length))
		return 0;
	if (ttl_seconds < a->ttl_seconds)
		a->ttl_seconds = ttl_seconds;
	append_record(a, m, type, at, length);
	return at + length;
}

void tpi_dns_read(const uint8_t *data, size_t bytes, size_t at,
		  struct tpi_dns_answers *answers)
{
	const struct message m = {data, bytes};
	uint32_t records;

	answers->ttl_seconds = UINT32_MAX;
	answers->text_bytes = 0;
	answers->cut = false;
	if (bytes < HEADER_BYTES)
		return;
	records = read16(&m, ANSWERS_AT);
	if (records > RECORDS_MAX) {
		records = RECORDS_MAX;
		answers->cut = true;
	}
	while (records--) {
		at = read_record(answers, &m, at);
		if (!at) {
			answers->cut = true;
			return;
		}
	}
}
