/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as short text, and as marks. NAN, which is not known, is "-". */
#ifndef WATCH_FORMAT_H
#define WATCH_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/shmstat/watch/sheet.h"

#define FORMAT_BYTES 32

/* At most six columns: 12345, 123k, 1.23M. Each returns `text`. */
char *format_count(char text[FORMAT_BYTES], double n);
/* The same. A rate below ten has a decimal. */
char *format_rate(char text[FORMAT_BYTES], double per_s);
/* Nanoseconds as microseconds, up to six columns: 0.21, 46.2, 1234, 1.2s. */
char *format_us(char text[FORMAT_BYTES], double ns);
/* 59s, 12m 3s, 5h 2m, 3d 4h */
char *format_age(char text[FORMAT_BYTES], double seconds);

/* Marks of a level from 0 to 8. Eight is full. In ASCII where not `utf8`. */
#define FORMAT_LEVELS 9
const char *format_level(int level, bool utf8);
/* The level of a part of a whole. Zero only if n is 0. */
int format_level_of(double n, double most);
/* That of a fill, 0 to 1. */
enum style format_heat(double fill);

/* Draws the points, the newest at the right, in `width` columns. The column behind. */
int format_spark(struct sheet *sheet, int row, int column, int width,
		 const double *points, size_t count, bool utf8);
/* A bar for a part of one. */
int format_bar(struct sheet *sheet, int row, int column, int width, double part,
	       enum style style, bool utf8);

#endif
