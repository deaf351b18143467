/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of a latency with both awake: one line handed over (stream_line.h). */
#define line_wake(bell)              ((void)(bell))
#define line_sleep(bell, line, next) ((void)(line))

#include "bench/peers/stream_line.h"

const struct stream_peer stream_line = {
	.peer = LINE_PEER("one line"),
	.make = line_make,
	.unmake = line_unmake,
	LINE_STREAM,
};
