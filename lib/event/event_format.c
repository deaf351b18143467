/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as text: one line for people, one JSON object for programs. Both walk
 * the tables, the header's first, so that a new type or field needs no code here.
 *
 * Unset fields are left out. A view of plain bytes, and a type that is not in the
 * table, are shown by their lengths and their beginning. Numbers in JSON have all
 * their digits, above 2^53 too.
 */
#include <arpa/inet.h>
#include <math.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/event/event_internal.h"
#include "lib/event/event_out.h"
#include "lib/event/event_table.h"

/* As much as is shown of what is not understood, in bytes. */
#define HEX_MAX  64u
#define TEXT_MAX 256u

struct writer {
	struct tpi_out out;
	bool json;
	bool first; /* nothing was written yet: no separator */
};

static void put_name(struct writer *w, const char *name, const char *suffix)
{
	if (!w->first)
		tpi_out_char(&w->out, w->json ? ',' : ' ');
	w->first = false;
	if (w->json)
		tpi_out_char(&w->out, '"');
	tpi_out_text(&w->out, name);
	tpi_out_text(&w->out, suffix);
	tpi_out_text(&w->out, w->json ? "\":" : "=");
}

/*
 * Whether text may show a string without quotes. The string may change before it
 * is printed: it is escaped in any case, so that only looks are at stake.
 */
static bool is_bare(const void *s, size_t length)
{
	const unsigned char *p = s;
	uint32_t c;

	if (!length)
		return false;
	for (size_t i = 0; i < length;) {
		i += tpi_utf8_decode(&p[i], length - i, &c);
		if (tpi_out_needs_escape(c) ||
		    (c < 0x80 && strchr(" =,{}", (int)c)))
			return false;
	}
	return true;
}

static void put_string(struct writer *w, const void *s, size_t length)
{
	if (!w->json && is_bare(s, length))
		tpi_out_escaped(&w->out, s, length);
	else
		tpi_out_quoted(&w->out, s, length);
}

static void put_text(struct writer *w, const char *text)
{
	put_string(w, text, strlen(text));
}

static void put_hex(struct writer *w, const void *bytes, size_t length)
{
	if (w->json)
		tpi_out_char(&w->out, '"');
	tpi_out_hex(&w->out, bytes, length);
	if (w->json)
		tpi_out_char(&w->out, '"');
}

static void put_number(struct writer *w, const char *name, uint64_t number)
{
	put_name(w, name, "");
	tpi_out_unsigned(&w->out, number);
}

/* A name, or else the number as a string: a member keeps one type in JSON. */
static void put_enum(struct writer *w, const struct tapio_event_value *value)
{
	if (value->name) {
		put_text(w, value->name);
		return;
	}
	if (w->json)
		tpi_out_char(&w->out, '"');
	tpi_out_unsigned(&w->out, value->u64);
	if (w->json)
		tpi_out_char(&w->out, '"');
}

/* The names of the bits that are set. Bits without a name as one number. */
static void put_flags(struct writer *w, const struct tapio_event_field *field,
		      uint64_t flags)
{
	struct tapio_event_value rest = {.u64 = flags};
	const char *separator = "";

	if (w->json)
		tpi_out_char(&w->out, '[');
	for (uint32_t i = 0; i < field->name_count; i++) {
		if (!(flags & field->names[i].value))
			continue;
		tpi_out_text(&w->out, separator);
		put_text(w, field->names[i].name);
		separator = w->json ? "," : "+";
		rest.u64 &= ~(uint64_t)field->names[i].value;
	}
	if (rest.u64) {
		tpi_out_text(&w->out, separator);
		put_enum(w, &rest);
	}
	if (w->json)
		tpi_out_char(&w->out, ']');
}

/* JSON has no infinity. The names are those of Protocol Buffers' JSON. */
static void put_double(struct writer *w, double number)
{
	if (isfinite(number))
		tpi_out_double(&w->out, number);
	else if (isnan(number))
		put_text(w, "NaN");
	else
		put_text(w, number < 0 ? "-Infinity" : "Infinity");
}

static void put_time(struct writer *w, const struct tapio_event_field *field,
		     uint64_t ns)
{
	if (!w->json) {
		tpi_out_time(&w->out, ns);
		return;
	}
	tpi_out_char(&w->out, '"');
	tpi_out_time(&w->out, ns);
	tpi_out_char(&w->out, '"');
	put_name(w, field->name, "_ns");
	tpi_out_unsigned(&w->out, ns);
}

static void put_ip(struct writer *w, const struct tapio_event_ip *ip)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text,
		  sizeof(text));
	put_text(w, text);
}

static void put_attributes(struct writer *w,
			   const struct tapio_event_value *attributes)
{
	struct tapio_event_value key, value;
	const char *separator = "";
	uint32_t at = 0;

	tpi_out_char(&w->out, '{');
	while (tapio_event_attribute_next(attributes, &at, &key, &value) > 0) {
		tpi_out_text(&w->out, separator);
		put_string(w, key.data, key.length);
		tpi_out_char(&w->out, w->json ? ':' : '=');
		put_string(w, value.data, value.length);
		separator = w->json ? "," : " ";
	}
	tpi_out_char(&w->out, '}');
}

static void put_value(struct writer *w, const struct tapio_event_field *field,
		      const struct tapio_event_value *value)
{
	switch (field->kind) {
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
		tpi_out_signed(&w->out, value->i64);
		break;
	case TAPIO_FIELD_F64:
		put_double(w, value->f64);
		break;
	case TAPIO_FIELD_BOOL:
		tpi_out_text(&w->out, value->u64 ? "true" : "false");
		break;
	case TAPIO_FIELD_ENUM8:
	case TAPIO_FIELD_ENUM16:
	case TAPIO_FIELD_ENUM32:
	case TAPIO_FIELD_TYPE:
		put_enum(w, value);
		break;
	case TAPIO_FIELD_FLAGS16:
		put_flags(w, field, value->u64);
		break;
	case TAPIO_FIELD_TIME:
		put_time(w, field, value->u64);
		break;
	case TAPIO_FIELD_IP:
		put_ip(w, &value->ip);
		break;
	case TAPIO_FIELD_ID:
	case TAPIO_FIELD_BYTES:
		put_hex(w, value->data, value->length);
		break;
	case TAPIO_FIELD_STRING:
		put_string(w, value->data, value->length);
		break;
	case TAPIO_FIELD_ATTRIBUTES:
		put_attributes(w, value);
		break;
	default:
		tpi_out_unsigned(&w->out, value->u64);
	}
}

static void put_member(struct writer *w, const struct tapio_event_view *v,
		       const struct tapio_event_field *field)
{
	struct tapio_event_value value;

	if (tapio_event_view_value(v, field, &value) <= 0)
		return;
	put_name(w, field->name, "");
	put_value(w, field, &value);
}

static void put_fields(struct writer *w, const struct tapio_event_view *v,
		       const struct tapio_event_type *type)
{
	const struct tapio_event_field *field;

	for (unsigned i = 0; (field = tapio_event_field_at(type, i)); i++)
		put_member(w, v, field);
}

/* A line of text begins with columns, which need no names. */
static bool is_column(const struct tapio_event_field *field)
{
	return field->offset == offsetof(struct tapio_event, time_ns) ||
	       field->offset == offsetof(struct tapio_event, severity) ||
	       field->offset == offsetof(struct tapio_event, type);
}

static void put_column(struct writer *w, const struct tapio_event_view *v,
		       const struct tapio_event_field *field)
{
	struct tapio_event_value value;

	if (!w->first)
		tpi_out_char(&w->out, ' ');
	w->first = false;
	if (tapio_event_view_value(v, field, &value) > 0)
		put_value(w, field, &value);
	else
		tpi_out_char(&w->out, '-');
}

/* Not worth a word to people: seen by the collector when it happened. */
static bool is_repeated(const struct tapio_event_view *v,
			const struct tapio_event_field *field)
{
	return field->offset == offsetof(struct tapio_event, observed_ns) &&
	       v->header.observed_ns == v->header.time_ns;
}

static void put_text_header(struct writer *w, const struct tapio_event_view *v)
{
	const struct tapio_event_field *field;

	for (unsigned i = 0;
	     (field = tapio_event_field_at(&tpi_event_header, i)); i++) {
		if (is_column(field))
			put_column(w, v, field);
		else if (!is_repeated(v, field))
			put_member(w, v, field);
	}
}

/* Whether bytes look like text: UTF-8, white space the only controls. */
static bool is_text(const unsigned char *s, size_t length)
{
	uint32_t c;

	for (size_t i = 0; i < length;) {
		i += tpi_utf8_decode(&s[i], length - i, &c);
		if (c == 0xfffd || !c ||
		    (c < 0x20 && !strchr("\t\n\r", (int)c)))
			return false;
	}
	return length != 0;
}

/* The beginning of what is not understood. */
static void put_bytes(struct writer *w, const unsigned char *p, size_t length)
{
	size_t text = length;

	if (!length)
		return;
	if (!tpi_load_relaxed(&p[text - 1])) /* a C string's NUL */
		text--;
	if (text <= TEXT_MAX && is_text(p, text)) {
		put_name(w, "text", "");
		put_string(w, p, text);
		return;
	}
	put_name(w, "hex", "");
	put_hex(w, p, length < HEX_MAX ? length : HEX_MAX);
}

static void put_payload(struct writer *w, const struct tapio_event_view *v)
{
	const struct tapio_event *h = &v->header;

	if (v->flags & TAPIO_EVENT_VIEW_OPAQUE) {
		put_number(w, "opaque_bytes", v->length);
		put_bytes(w, v->data, v->length);
	} else if (v->type) {
		put_fields(w, v, v->type);
	} else {
		put_number(w, "fields_bytes", h->fields_bytes);
		put_number(w, "strings_bytes", v->strings_bytes);
		put_bytes(w, v->data + h->header_bytes, h->payload_bytes);
	}
}

static void put_id(struct writer *w, const struct tapio_event_view *v)
{
	if (!(v->flags & TAPIO_EVENT_VIEW_ID))
		return;
	put_number(w, "lane", v->lane);
	put_number(w, "position", v->position);
}

int tapio_event_format_text(char *buffer, size_t size,
			    const struct tapio_event_view *v)
{
	struct writer w = {.json = false, .first = true};

	tpi_out_init(&w.out, buffer, size);
	put_text_header(&w, v);
	put_payload(&w, v);
	put_id(&w, v);
	return tpi_out_finish(&w.out);
}

int tapio_event_format_json(char *buffer, size_t size,
			    const struct tapio_event_view *v)
{
	struct writer w = {.json = true, .first = true};

	tpi_out_init(&w.out, buffer, size);
	tpi_out_char(&w.out, '{');
	put_id(&w, v);
	put_fields(&w, v, &tpi_event_header);
	put_payload(&w, v);
	tpi_out_char(&w.out, '}');
	return tpi_out_finish(&w.out);
}
