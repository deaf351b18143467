/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries that have gone from the journal behind the last entry that was accepted.
 *
 * journald numbers all entries that it writes, whatever file they go to. The numbers of one
 * source have no gap. So where the next entry has a number of the same source,
 *
 *	missing = its number - ours - 1
 *
 * exactly. Where the source is another one (journald began a new journal, or has copied
 * the entries of /run to /var) we ask whether there is an entry at our place or before it.
 * The journal is vacuumed from its oldest end. So with such an entry nothing behind it has
 * gone, and without one we cannot say how many did.
 */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "tools/collectors/journal/journal.h"

/* The place of the current entry. -errno. */
static int current_place(sd_journal *journal, struct tpi_place *place,
			 char text[TPI_CURSOR_BYTES])
{
	char *cursor = NULL;
	int err = sd_journal_get_cursor(journal, &cursor);

	if (err < 0)
		return err;
	snprintf(text, TPI_CURSOR_BYTES, "%s", cursor);
	err = tpi_place_parse(cursor, place) ? 0 : -EBADMSG;
	free(cursor);
	return err;
}

/* Whether an entry is there that is older than this one or is it. */
static bool has_older(sd_journal *journal, const struct tpi_place *ours)
{
	uint64_t realtime_us;

	return sd_journal_seek_head(journal) >= 0 &&
	       sd_journal_next(journal) > 0 &&
	       sd_journal_get_realtime_usec(journal, &realtime_us) >= 0 &&
	       realtime_us <= ours->realtime_us;
}

/* `next` is the first entry behind ours. */
static void judge(struct tpi_gap *gap, sd_journal *journal,
		  const struct tpi_place *ours, const struct tpi_place *next)
{
	gap->first_ns = ours->realtime_us * 1000;
	gap->last_ns = next->realtime_us * 1000;
	if (!strcmp(ours->seqnum_id, next->seqnum_id)) {
		gap->found = next->seqnum > ours->seqnum + 1;
		gap->count = gap->found ? next->seqnum - ours->seqnum - 1 : 0;
		return;
	}
	gap->found = !has_older(journal, ours);
	gap->count = TPI_LOSS_UNKNOWN;
}

static int find(struct tpi_gap *gap, sd_journal *journal, const char *cursor)
{
	struct tpi_place ours, next;
	int got, err = 0;

	if (!tpi_place_parse(cursor, &ours))
		return -EBADMSG;
	if (sd_journal_seek_cursor(journal, cursor) < 0)
		return 0;
	got = sd_journal_next(journal);
	if (got > 0)
		err = current_place(journal, &next, gap->after);
	if (got > 0 && !err && tpi_place_same(&ours, &next)) {
		got = sd_journal_next(journal);
		if (got > 0)
			err = current_place(journal, &next, gap->after);
		if (got == 0)
			gap->after[0] = '\0'; /* ours is the last one */
	} else if (got == 0 && !has_older(journal, &ours)) {
		/* The journal has nothing of this time, before or after. */
		gap->found = true;
		gap->count = TPI_LOSS_UNKNOWN;
		gap->first_ns = ours.realtime_us * 1000;
	}
	if (got > 0 && !err)
		judge(gap, journal, &ours, &next);
	return got < 0 ? got : err;
}

int tpi_gap_find(struct tpi_gap *gap, const char *cursor,
		 const struct tpi_journal_values *values)
{
	sd_journal *journal;
	int err;

	memset(gap, 0, sizeof(*gap));
	err = tpi_journal_open(&journal, values);
	if (err)
		return err;
	err = find(gap, journal, cursor);
	sd_journal_close(journal);
	return err;
}
