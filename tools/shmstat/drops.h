/* SPDX-License-Identifier: Apache-2.0 */
/* Refused events, added up over the lanes of a class, with the cause. */
#ifndef STAT_DROPS_H
#define STAT_DROPS_H

#include <jansson.h>

/*
 * Of a look whose lanes have rates (rates.h): an array, the highest rate first, of
 *
 *	channel, class, cause, says   the last is the cause in words
 *	lanes                         that have refused for it
 *	dropped, dropped_per_s        events, and null where no rate is known
 *	group, unread                 of `full` and `timeout`: the group with the most unread
 *	                              events on one of these lanes now, or null
 *	peak                          where no group has any now: the most that `group` ever had
 *	                              on one lane, or null
 */
json_t *drops_collect(const json_t *look);

#endif
