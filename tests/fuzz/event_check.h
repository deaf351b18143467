/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of a view, whatever bytes it was made from. */
#ifndef TESTS_EVENT_CHECK_H
#define TESTS_EVENT_CHECK_H

#include <stdbool.h>

#include <tapio/event.h>

/*
 * Every value lies in the event, and what is printed is valid, and, if the event is
 * `stable`, the same each time.
 */
void check_view(const struct tapio_event_view *v, bool stable);

#endif
