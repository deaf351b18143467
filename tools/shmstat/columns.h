/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of each part, those that matter first, first (columns.c). */
#ifndef STAT_COLUMNS_H
#define STAT_COLUMNS_H

#include "tools/shmstat/table.h"

extern const struct column summary_columns[];
extern const struct column broker_columns[];
extern const struct column channel_columns[];
extern const struct column segment_columns[];
extern const struct column lane_columns[];
extern const struct column group_columns[];
extern const struct column client_columns[];
extern const struct column ledger_columns[];
extern const struct column counter_columns[];
extern const struct column latency_columns[];
extern const struct column layout_columns[];

#endif
