/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and names as people read them. Pure. Test:
 * tests/unit/bench_numbers.c. */
#include <math.h>
#include <string.h>

#include "bench/frame/frame.h"

const char *bench_subject_name(const struct bench_subject *subject, char *text,
			       size_t bytes)
{
	const char *variant = subject->variant ? subject->variant : "";

	snprintf(text, bytes, "%s%s%s", subject->peer->name,
		 *variant ? ", " : "", variant);
	return text;
}

struct step {
	double factor;
	const char *name;
};

/* The largest step of a ladder in which `least` is still 1 or more. */
static struct bench_scale climb(const struct step *ladder, double least,
				const char *rest)
{
	struct bench_scale scale;

	while (ladder[1].name && least * ladder[1].factor >= 1)
		ladder++;
	scale.factor = ladder->factor;
	snprintf(scale.unit, sizeof(scale.unit), "%s%s", ladder->name, rest);
	return scale;
}

struct bench_scale bench_scale(const char *unit, double least)
{
	static const struct step times[] = {
		{1, "ns"}, {1e-3, "us"}, {1e-6, "ms"}, {1e-9, "s"}, {0, NULL}};
	static const struct step sizes[] = {{1, "bytes"},
					    {1. / 1024, "KiB"},
					    {1. / 1048576, "MiB"},
					    {1. / 1073741824, "GiB"},
					    {0, NULL}};
	static const struct step rates[] = {
		{1, ""}, {1e-3, "k "}, {1e-6, "M "}, {1e-9, "G "}, {0, NULL}};
	static const struct step as_is[] = {{1, ""}, {0, NULL}};
	size_t length = strlen(unit);

	if (!strcmp(unit, "ns"))
		return climb(times, least, "");
	if (!strcmp(unit, "bytes"))
		return climb(sizes, least, "");
	/* "events/s", but not "GB/s", which has its prefix. */
	if (length > 4 && !strcmp(unit + length - 2, "/s"))
		return climb(rates, least, unit);
	return climb(as_is, least, unit);
}

/* 1234567 -> "1,234,567" */
static void grouped(double value, char *text, size_t bytes)
{
	char digits[48];
	size_t length, used = 0;

	snprintf(digits, sizeof(digits), "%.0f", value);
	length = strlen(digits);
	for (size_t i = 0; i < length && used + 2 < bytes; i++) {
		if (i && (length - i) % 3 == 0 && digits[i - 1] != '-')
			text[used++] = ',';
		text[used++] = digits[i];
	}
	text[used] = 0;
}

const char *bench_number(double value, char *text, size_t bytes)
{
	double size = fabs(value);

	if (!isfinite(value))
		snprintf(text, bytes, "-");
	else if (size >= 1e15)
		snprintf(text, bytes, "%.3g", value);
	else if (size >= 99.95)
		grouped(value, text, bytes);
	else if (size >= 9.995)
		snprintf(text, bytes, "%.1f", value);
	else if (size >= 0.9995 || value == 0)
		snprintf(text, bytes, "%.2f", value);
	else if (size >= 0.0995)
		snprintf(text, bytes, "%.3f", value);
	else
		snprintf(text, bytes, "%.2g", value);
	return text;
}

/* No more digits than a ratio on a shared machine has. */
const char *bench_times(double ratio, char *text, size_t bytes)
{
	char number[32];

	if (!isfinite(ratio))
		snprintf(text, bytes, "-  ");
	else if (ratio >= 9.995)
		snprintf(text, bytes, "%s x",
			 bench_number(ratio, number, sizeof(number)));
	else if (ratio >= 0.0995)
		snprintf(text, bytes, "%.2f x", ratio);
	else
		snprintf(text, bytes, "%.2g x", ratio);
	return text;
}

unsigned int bench_width(const char *text)
{
	unsigned int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xC0) != 0x80;
	return width;
}
