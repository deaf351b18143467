/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as people write them on a command line. Called by each tool's option
 * parser.
 *
 * One scanner for all: whole part, fraction, unit from a table. It works in
 * integers, so that "0.1s" is 100,000,000 ns and not a double's approximation.
 * Digits finer than the smallest unit are cut off.
 */
#include <errno.h>
#include <string.h>

#include <tapio/common.h>

#include "tools/common/parse.h"

struct unit {
	const char *name;
	uint64_t scale;
};

static const struct unit durations[] = {
	{"", 1000000000},
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", UINT64_C(60) * 1000000000},
	{"h", UINT64_C(3600) * 1000000000},
	{"d", UINT64_C(86400) * 1000000000},
	{NULL, 0},
};

static const struct unit sizes[] = {
	{"", 1},
	{"B", 1},
	{"K", UINT64_C(1) << 10},
	{"KiB", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20},
	{"MiB", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30},
	{"GiB", UINT64_C(1) << 30},
	{"T", UINT64_C(1) << 40},
	{"TiB", UINT64_C(1) << 40},
	{NULL, 0},
};

static const struct unit thousands[] = {
	{"", 1},        {"k", 1000},       {"K", 1000},
	{"M", 1000000}, {"G", 1000000000}, {NULL, 0},
};

static int find_unit(const struct unit *units, const char *name,
		     uint64_t *scale)
{
	for (; units->name; units++) {
		if (!strcmp(units->name, name)) {
			*scale = units->scale;
			return 0;
		}
	}
	return -EINVAL;
}

/* Digits at *text. Moves *text behind them. How many there were, or -ERANGE. */
static int scan_digits(const char **text, uint64_t *value, uint64_t *power)
{
	const char *s = *text;

	*value = 0;
	*power = 1;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, *s - '0', value))
			return -ERANGE;
		if (s - *text < 19)
			*power *= 10;
	}
	int count = (int)(s - *text);
	*text = s;
	return count;
}

static int parse_scaled(const char *text, const struct unit *units,
			uint64_t *out)
{
	uint64_t whole, fraction = 0, power = 1, unused, scale;
	int digits = scan_digits(&text, &whole, &unused);

	*out = 0;
	if (digits <= 0)
		return digits ? digits : -EINVAL;
	if (*text == '.') {
		text++;
		digits = scan_digits(&text, &fraction, &power);
		if (digits <= 0 || digits > 18)
			return digits > 0 ? -ERANGE : -EINVAL;
	}
	if (find_unit(units, text, &scale))
		return -EINVAL;
	uint64_t value;
	uint64_t part = (uint64_t)((unsigned __int128)fraction * scale / power);
	if (__builtin_mul_overflow(whole, scale, &value) ||
	    __builtin_add_overflow(value, part, &value))
		return -ERANGE;
	*out = value;
	return 0;
}

int tpi_parse_duration(const char *text, int64_t *out_ns)
{
	uint64_t ns;

	*out_ns = 0;
	if (!strcmp(text, "forever")) {
		*out_ns = TAPIO_FOREVER;
		return 0;
	}
	int err = parse_scaled(text, durations, &ns);
	if (err)
		return err;
	if (ns > INT64_MAX)
		return -ERANGE;
	*out_ns = (int64_t)ns;
	return 0;
}

int tpi_parse_size(const char *text, uint64_t *out_bytes)
{
	return parse_scaled(text, sizes, out_bytes);
}

int tpi_parse_rate(const char *text, uint64_t *out_per_second)
{
	char number[64];
	size_t length = strlen(text);

	*out_per_second = 0;
	if (length > 2 && !strcmp(text + length - 2, "/s"))
		length -= 2;
	if (length >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, length);
	number[length] = '\0';
	return parse_scaled(number, thousands, out_per_second);
}

int tpi_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t value;
	int err = parse_scaled(text, thousands, &value);

	*out = 0;
	if (err)
		return err;
	if (value < min || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}
