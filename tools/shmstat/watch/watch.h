/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat watch`: its two forms. */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include "tools/shmstat/command.h"

#define WATCH_INTERVAL_NS INT64_C(1000000000)

/* Full-screen (watch_screen.c). Not built without ncurses. Its exit status. */
int watch_screen(struct stat_args *args);

#endif
