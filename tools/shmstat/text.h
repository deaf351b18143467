/* SPDX-License-Identifier: Apache-2.0 */
/* A look as text (text.c, text_liveness.c, explain.c). */
#ifndef STAT_TEXT_H
#define STAT_TEXT_H

#include "tools/shmstat/command.h"
#include "tools/shmstat/table.h"

/* Lines of 80 characters, of the terminal's width, or of any width (--wide): 0. */
size_t text_width(const struct stat_args *args);

/* The parts of a look as tables, under what is said of the broker. */
void text_print(const json_t *look, const struct stat_args *args);

/* Is it alive, and by what means: the first lines of every text form. */
void text_liveness(const json_t *look, size_t width);

/* Counters with meaning, cause and remedy. */
void text_explain(const json_t *counters, size_t width);

/* Breaks a text between words. The first line begins at `indent`, where the caller is. */
void text_wrap(const char *text, size_t indent, size_t width);

#endif
