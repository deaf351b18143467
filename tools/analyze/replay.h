/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of JSON, as tapio-tail --json writes them, to a merger. */
#ifndef ANALYZE_REPLAY_H
#define ANALYZE_REPLAY_H

#include "tools/analyze/analyze.h"

#define AN_REPLAY_WHY_BYTES 400

struct an_replay;

/* NULL: no memory. */
struct an_replay *an_replay_new(const struct an_spec *spec,
				struct an_budget *budget,
				struct an_merger *merger);
void an_replay_free(struct an_replay *replay);

/* An event, a gap, or bytes without a type, which are passed over. False: neither, and why. */
bool an_replay_line(struct an_replay *replay, const char *text, size_t length,
		    char *why);

/* Hands on all that was read. */
void an_replay_flush(struct an_replay *replay);

#endif
