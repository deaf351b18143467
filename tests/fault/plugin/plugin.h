/* SPDX-License-Identifier: Apache-2.0 */
/* The function that the plugin exports and the host looks up. */
#ifndef TEST_PLUGIN_H
#define TEST_PLUGIN_H

#include <stdint.h>

/*
 * Opens a producer, a consumer with its descriptor, and a pool, uses them, and closes
 * them. 0 or an error. *side_lane: 1 if the producer has used a side lane.
 */
typedef int plugin_run_fn(const char *socket, int count, uint32_t *side_lane);
__attribute__((visibility("default"))) plugin_run_fn plugin_run;

#endif
