/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of an API server, cut anywhere. Whatever they are,
 *   - each document that comes out is valid JSON in valid UTF-8, and not longer than the
 *     limit;
 *   - the documents do not depend on where the bytes were cut;
 *   - where they are JSON and the limits are wide, what comes out is exactly what the table
 *     names, as another reader of JSON (jansson) sees it;
 *   - an object can be read from each.
 *
 * The first byte of the input says which table, which limits, and how it is cut.
 */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "fuzz.h"
#include "tools/collectors/kubernetes/object.h"

#define NARROW_TEXT 1100
#define WIDE        (32 << 10) /* longer than any input */

struct seen {
	json_t *texts; /* arrays of strings, or of values where they are decoded */
	json_t *fulls;
	size_t text_bytes;
	bool cut;
};

static bool is_list(uint8_t first)
{
	return first & 1;
}

static bool is_narrow(uint8_t first)
{
	return first & 2;
}

/* Numbers may be too large for jansson, and are JSON all the same. */
static json_t *decode(const char *text, size_t length)
{
	json_error_t error;
	json_t *json = json_loadb(text, length, 0, &error);

	FUZZ_CHECK(json ||
		   json_error_code(&error) == json_error_numeric_overflow);
	return json;
}

static void check_utf8(const char *text, size_t length)
{
	json_t *string = json_stringn(text, length);

	FUZZ_CHECK(string != NULL); /* jansson takes UTF-8 alone */
	json_decref(string);
}

static int take(void *arg, const struct tpi_kube_document *document)
{
	static struct tpi_kube_object object;
	struct seen *seen = arg;
	json_t *json = decode(document->text, document->length);

	FUZZ_CHECK(strlen(document->text) == document->length);
	FUZZ_CHECK(document->length < seen->text_bytes);
	check_utf8(document->text, document->length);
	if (json)
		tpi_kube_object_read(&object, json, "v1", NULL);
	json_array_append_new(seen->texts,
			      json ? json : json_string(document->text));
	if (document->full) {
		check_utf8(document->full, document->full_bytes);
		json = decode(document->full, document->full_bytes);
		json_array_append_new(
			seen->fulls, json ? json : json_string(document->full));
	}
	seen->cut |= document->cut || document->full_cut;
	return 0;
}

static int scan(const uint8_t *data, size_t size, uint8_t first, size_t piece,
		struct seen *seen)
{
	size_t text = is_narrow(first) ? NARROW_TEXT : WIDE;
	struct tpi_kube_scan_options options = {
		.keep = is_list(first) ? tpi_kube_list_keep
				       : tpi_kube_watch_keep,
		.text_bytes = text,
		.string_bytes = is_narrow(first) ? 9 : WIDE,
		.full_bytes = text,
		.document = take,
		.arg = seen,
	};
	struct tpi_kube_scan *s;
	int err = tpi_kube_scan_open(&s, &options);

	FUZZ_CHECK(!err);
	*seen = (struct seen){json_array(), json_array(), text, false};
	for (size_t at = 0; at < size && !err; at += piece)
		err = tpi_kube_scan_feed(s, data + at,
					 size - at < piece ? size - at : piece);
	FUZZ_CHECK(!err || err == -EBADMSG);
	FUZZ_CHECK(tpi_kube_scan_offset(s) <= size);
	if (!err && tpi_kube_scan_inside(s))
		err = 1;
	tpi_kube_scan_close(s);
	return err;
}

static void forget(struct seen *seen)
{
	json_decref(seen->texts);
	json_decref(seen->fulls);
}

/* ---- the same by jansson -------------------------------------------------- */

static bool is_scalar(const json_t *json)
{
	return !json_is_object(json) && !json_is_array(json);
}

static const struct tpi_kube_keep *row_of(const struct tpi_kube_keep *table,
					  const char *key)
{
	for (; table->key; table++)
		if (!strcmp(table->key, key))
			return table;
	return NULL;
}

/* Of the key in a JSON text, all that it can be but plain letters, is written escaped. */
static json_t *prune(json_t *json, const struct tpi_kube_keep *table,
		     uint8_t how, json_t *items)
{
	const char *key;
	json_t *value, *out;
	size_t i;

	if (is_scalar(json) || !table)
		return json_incref(json);
	out = json_is_object(json) ? json_object() : json_array();
	json_array_foreach(json, i, value)
		json_array_append_new(out, prune(value, table, 0, items));
	json_object_foreach(json, key, value)
	{
		const struct tpi_kube_keep *row = row_of(table, key);
		bool each = row && row->how & TPI_KEEP_EACH;

		if (!row && (!is_scalar(value) || !(how & TPI_KEEP_SCALARS)))
			continue;
		if (each && json_is_array(value)) {
			json_t *item;

			json_array_foreach(value, i, item) if (!is_scalar(item))
				json_array_append_new(
					items,
					prune(item, row->below, 0, items));
		} else if (!each || !is_scalar(value)) {
			json_object_set_new(out, key,
					    prune(value,
						  row ? row->below : NULL,
						  row ? row->how : 0, items));
		}
	}
	return out;
}

static json_t *without_diary(json_t *json)
{
	json_t *copy = json_deep_copy(json);
	json_t *metadata = json_object_get(copy, "metadata");

	if (json_is_object(metadata))
		json_object_del(metadata, "managedFields");
	return copy;
}

static json_t *full_of(json_t *json, bool list)
{
	json_t *fulls = json_array(), *one;
	size_t i;

	if (!list) {
		one = json_object_get(json, "object");
		if (one && !is_scalar(one))
			json_array_append_new(fulls, without_diary(one));
		return fulls;
	}
	json_array_foreach(json_object_get(json, "items"), i,
			   one) if (!is_scalar(one))
		json_array_append_new(fulls, without_diary(one));
	return fulls;
}

/* Elements that are no objects are left out, and the list says that something is missing. */
static bool has_scalar_item(json_t *json, bool list)
{
	json_t *one;
	size_t i;

	json_array_foreach(list ? json_object_get(json, "items") : NULL, i,
			   one) if (is_scalar(one)) return true;
	return false;
}

static void compare(json_t *json, uint8_t first, const struct seen *seen)
{
	const struct tpi_kube_keep *table =
		is_list(first) ? tpi_kube_list_keep : tpi_kube_watch_keep;
	json_t *texts = json_array(), *fulls = full_of(json, is_list(first));

	json_array_append_new(texts, prune(json, table, 0, texts));
	FUZZ_CHECK(json_equal(texts, seen->texts));
	FUZZ_CHECK(json_equal(fulls, seen->fulls));
	json_decref(texts);
	json_decref(fulls);
}

/* Keys with escapes are other keys for the table, which compares bytes. */
static bool is_plain(const uint8_t *data, size_t size)
{
	return !memchr(data, '\\', size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, cut;
	uint8_t first;

	if (size < 2)
		return 0;
	first = *data++;
	size--;
	int err = scan(data, size, first, size, &whole);
	int err_cut = scan(data, size, first, 1 + (first >> 2), &cut);
	FUZZ_CHECK(err == err_cut);
	FUZZ_CHECK(json_equal(whole.texts, cut.texts));
	FUZZ_CHECK(json_equal(whole.fulls, cut.fulls));
	json_t *json = json_loadb((const char *)data, size,
				  JSON_REJECT_DUPLICATES, NULL);
	if (json && !is_narrow(first) && is_plain(data, size)) {
		/* Only a document that is nested deeper than this reader is refused. */
		FUZZ_CHECK(!err || size > 2 * TPI_KUBE_DEPTH_MAX);
		if (!err && size < 1024) /* no key is too long */
			FUZZ_CHECK(whole.cut ==
				   has_scalar_item(json, is_list(first)));
		if (!err && !whole.cut)
			compare(json, first, &whole);
	}
	json_decref(json);
	forget(&whole);
	forget(&cut);
	return 0;
}
