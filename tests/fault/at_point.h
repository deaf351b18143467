/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doing something at a testpoint, a number of times. For a test with one thread: what is done
 * runs in the thread that passes the point.
 */
#ifndef TEST_AT_POINT_H
#define TEST_AT_POINT_H

#include <string.h>

#include "lib/base/testpoint.h"

static const char *at_name;
static void (*at_act)(void);
static int at_left; /* how often it is to be done yet */

static void at_hook(const char *name)
{
	if (!at_left || strcmp(name, at_name))
		return;
	at_left--;
	at_act();
}

static inline void at(const char *name, int count, void (*act)(void))
{
	at_act = act;
	at_name = name;
	at_left = count;
	tpi_testpoint_set(at_hook);
}

#endif
