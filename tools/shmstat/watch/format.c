/* SPDX-License-Identifier: Apache-2.0 */
/* See format.h. */
#include "tools/shmstat/watch/format.h"

#include <math.h>
#include <stdio.h>

/* Three digits and a unit. */
static void scale(char text[FORMAT_BYTES], double n)
{
	static const char units[] = "kMGTPE";
	int unit = -1;

	for (; n >= 999.5 && unit < 5; unit++)
		n /= 1000;
	snprintf(text, FORMAT_BYTES,
		 n < 9.995   ? "%.2f%c"
		 : n < 99.95 ? "%.1f%c"
			     : "%.0f%c",
		 n, units[unit < 0 ? 0 : unit]);
}

char *format_count(char text[FORMAT_BYTES], double n)
{
	if (!isfinite(n))
		snprintf(text, FORMAT_BYTES, "-");
	else if (n < 99999.5)
		snprintf(text, FORMAT_BYTES, "%.0f", n);
	else
		scale(text, n);
	return text;
}

char *format_rate(char text[FORMAT_BYTES], double per_s)
{
	if (isfinite(per_s) && per_s > 0 && per_s < 9.95)
		snprintf(text, FORMAT_BYTES, "%.1f", per_s);
	else if (isfinite(per_s) && per_s >= 9999.5)
		scale(text, per_s);
	else
		format_count(text, per_s);
	return text;
}

char *format_us(char text[FORMAT_BYTES], double ns)
{
	double us = ns / 1000;

	if (!isfinite(ns))
		snprintf(text, FORMAT_BYTES, "-");
	else if (us < 9.995)
		snprintf(text, FORMAT_BYTES, "%.2f", us);
	else if (us < 999.95)
		snprintf(text, FORMAT_BYTES, "%.1f", us);
	else if (us < 99999.5)
		snprintf(text, FORMAT_BYTES, "%.0f", us);
	else if (us < 1e9)
		snprintf(text, FORMAT_BYTES, us < 9.95e6 ? "%.1fs" : "%.0fs",
			 us / 1e6);
	else
		snprintf(text, FORMAT_BYTES, ">999s");
	return text;
}

char *format_age(char text[FORMAT_BYTES], double seconds)
{
	long long s = isfinite(seconds) && seconds > 0 && seconds < 1e15
			      ? (long long)seconds
			      : 0;

	if (s < 60)
		snprintf(text, FORMAT_BYTES, "%llds", s);
	else if (s < 3600)
		snprintf(text, FORMAT_BYTES, "%lldm %llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, FORMAT_BYTES, "%lldh %lldm", s / 3600,
			 s / 60 % 60);
	else
		snprintf(text, FORMAT_BYTES, "%lldd %lldh", s / 86400,
			 s / 3600 % 24);
	return text;
}

const char *format_level(int level, bool utf8)
{
	static const char *const blocks[FORMAT_LEVELS] = {
		"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const ascii[FORMAT_LEVELS] = {
		".", "_", ":", "-", "=", "+", "*", "#", "@"};

	level = level < 0                ? 0
		: level >= FORMAT_LEVELS ? FORMAT_LEVELS - 1
					 : level;
	return utf8 ? blocks[level] : ascii[level];
}

int format_level_of(double n, double most)
{
	if (!isfinite(n) || n <= 0 || most <= 0)
		return 0;
	return n >= most ? 8 : 1 + (int)(n / most * 7.999);
}

enum style format_heat(double fill)
{
	return !(fill > 0)   ? STYLE_DIM
	       : fill < 0.5  ? STYLE_HEAT_LOW
	       : fill < 0.85 ? STYLE_HEAT_HALF
			     : STYLE_HEAT_HIGH;
}

int format_spark(struct sheet *sheet, int row, int column, int width,
		 const double *points, size_t count, bool utf8)
{
	size_t shown =
		width > 0 && count > (size_t)width ? (size_t)width : count;
	double most = 0;

	for (size_t i = count - shown; i < count; i++)
		if (isfinite(points[i]) && points[i] > most)
			most = points[i];
	for (size_t i = 0; width > 0 && i < shown; i++) {
		double n = points[count - shown + i];
		int level = format_level_of(n, most);

		if (isfinite(n))
			sheet_put(sheet, row,
				  column + width - (int)shown + (int)i,
				  level ? STYLE_SPARK : STYLE_DIM,
				  format_level(level ? level : 1, utf8));
	}
	return column + (width > 0 ? width : 0);
}

int format_bar(struct sheet *sheet, int row, int column, int width, double part,
	       enum style style, bool utf8)
{
	/* Eighths of a column, from the left. */
	static const char *const eighths[] = {"",  "▏", "▎", "▍", "▌",
					      "▋", "▊", "▉", "█"};
	int whole, rest;

	part = !isfinite(part) || part < 0 ? 0 : part > 1 ? 1 : part;
	whole = (int)(part * width);
	rest = (int)((part * width - whole) * 8);
	if (part > 0 && !whole && !rest)
		rest = 1;
	for (int i = 0; i < width; i++) {
		if (i < whole)
			sheet_put(sheet, row, column + i, style,
				  utf8 ? "█" : "#");
		else if (i == whole && rest && utf8)
			sheet_put(sheet, row, column + i, style, eighths[rest]);
		else
			sheet_put(sheet, row, column + i, STYLE_DIM,
				  utf8 ? "·" : ".");
	}
	return column + width;
}
