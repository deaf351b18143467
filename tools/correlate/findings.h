/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Findings as events (type `finding`, docs/events.md), and the outbox that they wait in until the
 * channel has taken them. Used by the main thread of tapio-correlate.
 */
#ifndef TPI_CORRELATE_FINDINGS_H
#define TPI_CORRELATE_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/correlate/engine.h"

/* The names of events that a finding has at most. It counts all of them. */
#define TPI_FINDING_EVIDENCE_MAX 256

/*
 * Makes the event of a finding in `buffer`, of `bytes` at most. Without room these are left out:
 * first copies of events, then names of events, then the ends of texts. observed_ns: when it was found
 * (0: now). Its length, or -EMSGSIZE: not even its fields have room.
 */
int tpi_finding_build(void *buffer, size_t bytes, const struct tpi_corr *corr,
		      const struct tpi_corr_finding *finding,
		      uint64_t observed_ns);

/* The findings that wait, in one block of memory, so that it can be stored as it is. */
struct tpi_outbox {
	unsigned char *data;
	size_t used;
	size_t room;
	uint32_t count;
	uint32_t emitted; /* of these, and `at` is behind them */
	size_t at;
};

/* -ENOMEM. */
int tpi_outbox_add(struct tpi_outbox *box, const void *event, size_t length);

/* The next one that was not emitted. NULL: there is none. */
const void *tpi_outbox_next(const struct tpi_outbox *box, uint32_t *length);
/* It was. */
void tpi_outbox_pass(struct tpi_outbox *box);

/* Empties it. Its memory stays. */
void tpi_outbox_clear(struct tpi_outbox *box);
void tpi_outbox_free(struct tpi_outbox *box);

/*
 * Fills it with a stored outbox, of which `emitted` were emitted. -EBADMSG: that is no outbox.
 * -ENOMEM.
 */
int tpi_outbox_load(struct tpi_outbox *box, const void *data, size_t length,
		    uint32_t emitted);

#endif
