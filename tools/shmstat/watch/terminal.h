/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal of `watch`, by ncurses. It is put back as it was on every way out: by
 * terminal_close(), and by a handler where a signal ends the program.
 */
#ifndef WATCH_TERMINAL_H
#define WATCH_TERMINAL_H

#include "tools/shmstat/watch/sheet.h"

/* Takes the terminal over. False: `why` says what it lacks, and nothing was changed. */
bool terminal_open(char *why, size_t size);
void terminal_close(void);

void terminal_size(int *width, int *height);
bool terminal_utf8(void);
void terminal_draw(const struct sheet *sheet);
/* The next key as view_key() takes it. 0: one without a meaning. -1: none has come. */
int terminal_key(void);

#endif
