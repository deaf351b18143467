/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing half of the scan: which members are kept, and where they go. See scan.h.
 *
 * Two texts may be written at once: TEXT has what the table names, FULL has one value whole
 * (without metadata.managedFields, the diary of the API server, which is often longer than
 * the rest). Each begins a value only if there is room for its shortest form, and some bytes
 * at the end of a buffer are for brackets and quotes alone. So whatever is left out, the text
 * is valid JSON.
 */
#include <string.h>

#include "tools/collectors/kubernetes/scan_inner.h"

/* In the place of a table: all of the value, and nothing of it. */
static const struct tpi_kube_keep all[1], none[1];

/* The room that a value needs to begin: comma, colon, brackets. */
#define BEGIN_BYTES 8

void tpi_kube_keep_reset(struct tpi_kube_scan *scan)
{
	scan->depth = scan->item_depth = scan->full_depth = 0;
	scan->key_used = 0;
	scan->key_long = false;
	scan->string.repaired = 0;
	scan->out[TEXT] = &scan->whole;
	scan->out[FULL] = &scan->full;
	for (int i = 0; i < TEXTS; i++) {
		scan->out[i]->used = 0;
		scan->out[i]->cut = false;
	}
}

static struct level *top(struct tpi_kube_scan *scan)
{
	return scan->depth ? &scan->levels[scan->depth - 1] : NULL;
}

/* ---- which ---------------------------------------------------------------- */

static bool key_is(const struct tpi_kube_scan *scan, const char *key)
{
	return !scan->key_long && scan->key_used == strlen(key) &&
	       !memcmp(scan->key, key, scan->key_used);
}

static const struct tpi_kube_keep *find_row(const struct tpi_kube_scan *scan,
					    const struct tpi_kube_keep *table)
{
	if (table == all || table == none)
		return NULL;
	for (; table->key; table++)
		if (key_is(scan, table->key))
			return table;
	return NULL;
}

/* The table of the value that begins now, for TEXT. */
static const struct tpi_kube_keep *keep_text(struct tpi_kube_scan *scan,
					     bool scalar, uint8_t *how)
{
	const struct level *in = top(scan);

	*how = 0;
	if (!in)
		return scan->options.keep;
	if (in->open == '[') {
		*how = in->how & TPI_KEEP_FULL;
		return in->keep[TEXT];
	}
	const struct tpi_kube_keep *row = find_row(scan, in->keep[TEXT]);
	if (row) {
		*how = row->how;
		return row->below ? row->below : all;
	}
	if (in->keep[TEXT] == all)
		return all;
	return scalar && in->how & TPI_KEEP_SCALARS ? all : none;
}

static bool is_diary(struct tpi_kube_scan *scan)
{
	return top(scan)->metadata && key_is(scan, "managedFields");
}

/* The same for FULL, which may begin with this value. */
static const struct tpi_kube_keep *keep_full(struct tpi_kube_scan *scan,
					     uint8_t how)
{
	if (!scan->options.full_bytes)
		return none;
	if (scan->full_depth)
		return is_diary(scan) ? none : top(scan)->keep[FULL];
	return how & TPI_KEEP_FULL && !(how & TPI_KEEP_EACH) ? all : none;
}

/* ---- writing -------------------------------------------------------------- */

static void append(struct out *out, const char *bytes, size_t length)
{
	memcpy(out->text + out->used, bytes, length);
	out->used += length;
}

/* Whether the value is the first of its text, so without a key. */
static bool is_root(const struct tpi_kube_scan *scan, int i)
{
	if (i == FULL)
		return !scan->full_depth;
	return !scan->depth ||
	       scan->levels[scan->depth - 1].how & TPI_KEEP_EACH;
}

/* Comma and key of a value. False: it is left out, for want of room. */
static bool begin_member(struct tpi_kube_scan *scan, int i)
{
	struct out *out = scan->out[i];
	struct level *in = top(scan);

	if (is_root(scan, i))
		return true;
	bool keyed = in->open == '{';
	size_t key = keyed ? scan->key_used : 0;
	/* Labels do not take the room of what the table names. */
	size_t soft = i == TEXT && in->keep[TEXT] == all ? out->soft / 4 * 3
							 : out->soft;
	if ((keyed && scan->key_long) || out->used + key + BEGIN_BYTES > soft) {
		out->cut = true;
		return false;
	}
	if (in->has[i])
		append(out, ",", 1);
	in->has[i] = true;
	if (keyed) {
		append(out, "\"", 1);
		append(out, scan->key, key);
		append(out, "\":", 2);
	}
	return true;
}

/* ---- objects and arrays --------------------------------------------------- */

/* The elements of an array with EACH are written elsewhere, without it. */
static void begin_item(struct tpi_kube_scan *scan)
{
	scan->item.used = 0;
	scan->item.cut = false;
	scan->out[TEXT] = &scan->item;
}

static void begin_full(struct tpi_kube_scan *scan)
{
	scan->full.used = 0;
	scan->full.cut = false;
}

/* Puts the bracket into one text, if the value is kept there and there is room. */
static void write_open(struct tpi_kube_scan *scan, struct level *new, int i)
{
	if (new->keep[i] == none || (i == TEXT && new->how &TPI_KEEP_EACH))
		return;
	new->written[i] = begin_member(scan, i);
	if (new->written[i])
		append(scan->out[i], &new->open, 1);
	else
		new->keep[i] = none;
}

int tpi_kube_keep_open(struct tpi_kube_scan *scan, char bracket)
{
	struct level *in = top(scan);
	struct level new = {.open = bracket};
	bool item = in && in->how & TPI_KEEP_EACH;

	if (item)
		begin_item(scan);
	new.keep[TEXT] = keep_text(scan, false, &new.how);
	new.keep[FULL] = keep_full(scan, new.how);
	if (bracket == '{') {
		new.how &= TPI_KEEP_SCALARS;
		new.metadata = scan->full_depth &&
			       scan->depth == scan->full_depth &&key_is(
						      scan, "metadata");
	}
	if (new.keep[FULL] == all && !scan->full_depth)
		begin_full(scan);
	for (int i = 0; i < TEXTS; i++)
		write_open(scan, &new, i);
	scan->levels[scan->depth++] = new;
	if (new.written[FULL] && !scan->full_depth)
		scan->full_depth = scan->depth;
	if (item)
		scan->item_depth = scan->depth;
	return 0;
}

static int hand_out(struct tpi_kube_scan *scan, bool item)
{
	struct out *out = scan->out[TEXT], *full = &scan->full;
	struct tpi_kube_document document = {
		.text = out->text,
		.length = out->used,
		.item = item,
		.cut = out->cut,
		.full_cut = full->cut,
		.repaired = scan->string.repaired,
	};

	out->text[out->used] = '\0';
	if (full->used) {
		full->text[full->used] = '\0';
		document.full = full->text;
		document.full_bytes = full->used;
	}
	full->used = 0;
	full->cut = false;
	scan->string.repaired = 0;
	return scan->options.document(scan->options.arg, &document);
}

int tpi_kube_keep_close(struct tpi_kube_scan *scan)
{
	struct level *level = top(scan);
	int err = 0;

	for (int i = 0; i < TEXTS; i++)
		if (level->written[i])
			append(scan->out[i], level->open == '{' ? "}" : "]", 1);
	if (scan->depth == scan->full_depth)
		scan->full_depth = 0;
	if (scan->depth == scan->item_depth) {
		err = hand_out(scan, true);
		scan->item_depth = 0;
		scan->out[TEXT] = &scan->whole;
	}
	if (--scan->depth == 0) {
		err = err ? err : hand_out(scan, false);
		scan->whole.used = 0;
		scan->whole.cut = false;
	}
	return err;
}

/* ---- strings and literals ------------------------------------------------- */

void tpi_kube_keep_key(struct tpi_kube_scan *scan)
{
	scan->key_used = 0;
	scan->key_long = false;
}

/* Decides where a scalar goes. */
static void aim(struct tpi_kube_scan *scan)
{
	const struct level *in = top(scan);
	const struct tpi_kube_keep *keep[TEXTS];
	uint8_t how;

	keep[TEXT] = keep_text(scan, true, &how);
	keep[FULL] = scan->full_depth ? keep_full(scan, how) : none;
	if (in->how & TPI_KEEP_EACH) {
		keep[TEXT] = none; /* an item is an object */
		scan->whole.cut = true;
	} else if (how & TPI_KEEP_EACH) {
		keep[TEXT] = none;
	}
	for (int i = 0; i < TEXTS; i++)
		scan->to[i] = keep[i] != none && begin_member(scan, i);
}

static void to_all(struct tpi_kube_scan *scan, const char *bytes, size_t length)
{
	for (int i = 0; i < TEXTS; i++)
		if (scan->to[i])
			append(scan->out[i], bytes, length);
}

void tpi_kube_keep_string(struct tpi_kube_scan *scan)
{
	aim(scan);
	scan->string_used = 0;
	for (int i = 0; i < TEXTS; i++)
		scan->out[i]->stopped = false;
	to_all(scan, "\"", 1);
}

void tpi_kube_keep_string_end(struct tpi_kube_scan *scan)
{
	to_all(scan, "\"", 1);
}

void tpi_kube_keep_literal(struct tpi_kube_scan *scan)
{
	aim(scan);
	to_all(scan, scan->literal, scan->literal_used);
}

static void key_unit(struct tpi_kube_scan *scan, const char *unit,
		     size_t length)
{
	if (scan->key_used + length > KEY_BYTES) {
		scan->key_long = true;
		return;
	}
	memcpy(scan->key + scan->key_used, unit, length);
	scan->key_used += length;
}

/*
 * Appends a unit, or as much of a run of plain characters as there is room for. Once something
 * is missing, nothing follows: a string is cut and has no hole.
 */
static void append_unit(struct out *out, size_t room, const char *unit,
			size_t length)
{
	if (length > room) {
		out->cut = out->stopped = true;
		length = (unsigned char)unit[0] < 0x80 && unit[0] != '\\' ? room
									  : 0;
	}
	append(out, unit, length);
}

void tpi_kube_keep_unit(void *arg, const char *unit, size_t length)
{
	struct tpi_kube_scan *scan = arg;

	if (scan->in_key) {
		key_unit(scan, unit, length);
		return;
	}
	for (int i = 0; i < TEXTS; i++) {
		struct out *out = scan->out[i];
		size_t room = out->soft - out->used;

		if (!scan->to[i] || out->stopped)
			continue;
		if (out->used >= out->soft)
			room = 0;
		if (i == TEXT &&
		    room > scan->options.string_bytes - scan->string_used)
			room = scan->options.string_bytes - scan->string_used;
		append_unit(out, room, unit, length);
	}
	scan->string_used += length;
	if (scan->string_used > scan->options.string_bytes)
		scan->string_used = scan->options.string_bytes;
}
