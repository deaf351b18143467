/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a look. A value that is missing or of another kind reads as nothing. */
#ifndef STAT_GET_H
#define STAT_GET_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* NULL: no string. */
static inline const char *get_word(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

static inline const char *get_text(const json_t *row, const char *key)
{
	const char *text = get_word(row, key);

	return text ? text : "";
}

static inline long long get_count(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

/* NAN: it is not known. */
static inline double get_number(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static inline bool get_true(const json_t *row, const char *key)
{
	return json_is_true(json_object_get(row, key));
}

/* The sum, or the largest number if it is larger: counts from shared memory may be anything. */
static inline long long get_sum(long long a, long long b)
{
	long long sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

/* "cpu 3", or "side 12" by its number. */
static inline const char *get_place(const json_t *lane, char *text, size_t size)
{
	const json_t *cpu = json_object_get(lane, "cpu");

	if (json_is_integer(cpu))
		snprintf(text, size, "cpu %lld",
			 (long long)json_integer_value(cpu));
	else
		snprintf(text, size, "side %lld", get_count(lane, "lane"));
	return text;
}

#endif
