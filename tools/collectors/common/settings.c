/* SPDX-License-Identifier: Apache-2.0 */
/* Values of settings, from the command line and from the file alike. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/common/settings.h"
#include "tools/common/parse.h"
#include "tools/common/tool.h"

static bool store_flag(bool *value, const char *text, char *why,
		       size_t why_bytes)
{
	static const char *const words[] = {"false", "true", "no",
					    "yes",   "off",  "on"};

	if (!text) { /* of the command line */
		*value = true;
		return true;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(text, words[i])) {
			*value = i & 1;
			return true;
		}
	}
	snprintf(why, why_bytes, "not true or false");
	return false;
}

static bool store_item(struct tpi_list *list, const char *text, char *why,
		       size_t why_bytes)
{
	const char **grown =
		realloc(list->items, (list->count + 1) * sizeof(*list->items));

	if (!grown) {
		snprintf(why, why_bytes, "out of memory");
		return false;
	}
	list->items = grown;
	list->items[list->count++] = text;
	return true;
}

/* A number between the limits of its row. `err` is that of its parser. */
static bool within(const struct tpi_setting *row, uint64_t number, int err,
		   const char *form, char *why, size_t why_bytes)
{
	const uint64_t max = row->max ? row->max : UINT64_MAX;

	if (err == -EINVAL)
		snprintf(why, why_bytes, "%s", form);
	else if (err || number < row->min || number > max)
		snprintf(why, why_bytes, "outside %" PRIu64 " to %" PRIu64,
			 row->min, max);
	else
		return true;
	return false;
}

static bool store_count(const struct tpi_setting *row, uint64_t *value,
			const char *text, char *why, size_t why_bytes)
{
	int err = tpi_parse_count(text, 0, UINT64_MAX, value);

	return within(row, *value, err, "not a number (as in 500, 10k)", why,
		      why_bytes);
}

static bool store_size(const struct tpi_setting *row, uint64_t *value,
		       const char *text, char *why, size_t why_bytes)
{
	int err = tpi_parse_size(text, value);

	return within(row, *value, err, "not a size (as in 64, 4K, 2M, 1G)",
		      why, why_bytes);
}

static bool store_rate(const struct tpi_setting *row, uint64_t *value,
		       const char *text, char *why, size_t why_bytes)
{
	int err = tpi_parse_rate(text, value);

	return within(row, *value, err,
		      "not a rate per second (as in 500, 10k, 2.5M)", why,
		      why_bytes);
}

static bool store_duration(const struct tpi_setting *row, int64_t *value,
			   const char *text, char *why, size_t why_bytes)
{
	if (tpi_parse_duration(text, value)) {
		snprintf(why, why_bytes,
			 "not a duration (as in 250us, 100ms, 5s, 2m, 1h, "
			 "forever)");
		return false;
	}
	if (*value == TAPIO_FOREVER || (uint64_t)*value >= row->min)
		return true;
	if (row->min % 1000000000 == 0)
		snprintf(why, why_bytes, "less than %" PRIu64 "s",
			 row->min / 1000000000);
	else
		snprintf(why, why_bytes, "less than %" PRIu64 "ms",
			 row->min / 1000000);
	return false;
}

bool tpi_setting_store(const struct tpi_settings *settings,
		       const struct tpi_setting *row, const char *text,
		       char *why, size_t why_bytes)
{
	void *value = (char *)settings->values + row->offset;

	switch (row->kind) {
	case TPI_SETTING_FLAG:
		return store_flag(value, text, why, why_bytes);
	case TPI_SETTING_TEXT:
		*(const char **)value = text;
		return true;
	case TPI_SETTING_LIST:
		return store_item(value, text, why, why_bytes);
	case TPI_SETTING_COUNT:
		return store_count(row, value, text, why, why_bytes);
	case TPI_SETTING_SIZE:
		return store_size(row, value, text, why, why_bytes);
	case TPI_SETTING_RATE:
		return store_rate(row, value, text, why, why_bytes);
	case TPI_SETTING_DURATION:
		return store_duration(row, value, text, why, why_bytes);
	case TPI_SETTING_OWN:
		return row->parse(value, text, why, why_bytes);
	default:
		snprintf(why, why_bytes, "not a setting");
		return false;
	}
}

void tpi_settings_free(const struct tpi_settings *settings)
{
	for (const struct tpi_setting *row = settings->rows;
	     row->name || row->help; row++) {
		if (row->kind != TPI_SETTING_LIST)
			continue;
		struct tpi_list *list =
			(void *)((char *)settings->values + row->offset);

		free(list->items);
		*list = (struct tpi_list){0};
	}
}

/* Whether a name of the file is that of an option. */
static bool same_name(const char *option, const char *name)
{
	for (; *option && *name; option++, name++)
		if (*name != (*option == '-' ? '_' : *option))
			return false;
	return !*option && !*name;
}

const struct tpi_setting *tpi_settings_find(const struct tpi_settings *tables,
					    const char *name,
					    const struct tpi_settings **table)
{
	for (; tables->rows; tables++) {
		for (const struct tpi_setting *row = tables->rows;
		     row->name || row->help; row++) {
			if (!row->name || row->command_line_only ||
			    !same_name(row->name, name))
				continue;
			*table = tables;
			return row;
		}
	}
	return NULL;
}
