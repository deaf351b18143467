/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-journal: entries of systemd's journal, as events of type log. See
 * journal.h for how none is lost.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/collectors/journal/journal.h"
#include "tools/common/parse.h"

#define BATCH    64 /* entries between two looks at what is due */
#define PAUSE_NS INT64_C(100000000)

static const struct tpi_kind kinds[TPI_JOURNAL_KINDS] = {
	[TPI_JOURNAL_ENTRY] = {"entry", TAPIO_EVENT_LOG, TAPIO_SEVERITY_INFO},
};

/* ---- settings --------------------------------------------------------------------- */

static bool parse_since(void *value, const char *text, char *why,
			size_t why_bytes)
{
	int64_t *since_ns = value;

	if (!strcmp(text, "oldest"))
		*since_ns = TPI_SINCE_OLDEST;
	else if (!strcmp(text, "now"))
		*since_ns = TPI_SINCE_NOW;
	else if (tpi_parse_duration(text, since_ns) || *since_ns < 0) {
		snprintf(why, why_bytes,
			 "not oldest, now, or a duration back from now (as in "
			 "30s, 10m, 2h)");
		return false;
	}
	return true;
}

static bool parse_priority(void *value, const char *text, char *why,
			   size_t why_bytes)
{
	static const char *const names[8] = {"emerg", "alert",   "crit",
					     "err",   "warning", "notice",
					     "info",  "debug"};
	int *priority = value;

	for (int i = 0; i < 8; i++) {
		if (strcmp(text, names[i]) && (text[0] != '0' + i || text[1]))
			continue;
		*priority = i;
		return true;
	}
	snprintf(
		why, why_bytes,
		"not a priority: emerg, alert, crit, err, warning, notice, info, "
		"debug, or 0 to 7");
	return false;
}

#define AT(member) .offset = offsetof(struct tpi_journal_values, member)

static const struct tpi_setting settings[] = {
	{.help = "Which journal:"},
	{"directory", "PATH", "Journal files below this directory", 'D',
	 TPI_SETTING_TEXT, AT(directory)},
	{"file", "PATH", "This journal file (may be repeated)", 'f',
	 TPI_SETTING_LIST, AT(files)},
	{"namespace", "NAME", "The journal of this namespace",
	 .kind = TPI_SETTING_TEXT, AT(name_space)},
	{.help = "Which entries:"},
	{"since", "WHEN",
	 "Where to begin without a cursor: oldest, now, or so long ago, as 2h "
	 "(default: now; with --directory or --file: oldest)",
	 'S', TPI_SETTING_OWN, AT(since_ns), .parse = parse_since},
	{"unit", "NAME", "Of this unit, and about it (may be repeated)", 'u',
	 TPI_SETTING_LIST, AT(units)},
	{"identifier", "NAME", "With this identifier (may be repeated)", 't',
	 TPI_SETTING_LIST, AT(identifiers)},
	{"priority", "NAME", "Of this priority and more severe ones", 'p',
	 TPI_SETTING_OWN, AT(priority), .parse = parse_priority},
	{"match", "FIELD=VALUE",
	 "With this value of a field; of one field either, of several all (may "
	 "be repeated)",
	 'm', TPI_SETTING_LIST, AT(matches)},
	{"count", "N", "End after N entries", 'n', TPI_SETTING_COUNT, AT(count),
	 .min = 1},
	{"once", NULL, "End where the journal ends", 0, TPI_SETTING_FLAG,
	 AT(once)},
	{"no-attributes", NULL,
	 "Leave out fields that the event has no member for", 0,
	 TPI_SETTING_FLAG, AT(no_attributes)},
	{"all-fields", NULL, "As attributes also those that journald adds", 0,
	 TPI_SETTING_FLAG, AT(all_fields)},
	{.help = "Where it was:"},
	{"state", "FILE",
	 "Keep the cursor of the last accepted entry here, and go on behind it "
	 "(default: journal.cursor in $STATE_DIRECTORY if that is set)",
	 .kind = TPI_SETTING_TEXT, AT(state)},
	{"store", "TIME", "Between two writes of it (default: 1s)",
	 .kind = TPI_SETTING_DURATION, .min = 1000000, AT(store_ns)},
	{0},
};

static const char doc[] =
	"Emits the entries of systemd's journal as typed events of type log. Each "
	"entry is emitted at least once, over any death of this program.\v"
	"Examples:\n"
	"  tapio-collect-journal --wait --state=/var/lib/tapio/journal.cursor\n"
	"  tapio-collect-journal -u ssh.service -p warning\n"
	"  tapio-collect-journal -D /mnt/var/log/journal --once\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure, 2 usage, 3 no broker, 4 no such "
	"channel or no right to it, 5 the broker has gone (without --wait).";

static bool check(void *arg, char *why, size_t why_bytes)
{
	const struct tpi_journal_values *values = arg;

	if (!!values->directory + !!values->files.count + !!values->name_space >
	    1) {
		snprintf(why, why_bytes,
			 "directory, file and namespace: only one of them can "
			 "be given");
		return false;
	}
	for (size_t i = 0; i < values->matches.count; i++) {
		const char *match = values->matches.items[i];

		if (strchr(match, '=') && match[0] != '=')
			continue;
		snprintf(why, why_bytes, "match: '%s' is not FIELD=VALUE",
			 match);
		return false;
	}
	return true;
}

/* Those that are damaged are told of when it runs: it reads the others. */
static void say_denied(void *arg, const char *path, int err)
{
	bool *denied = arg;

	if (err != -EACCES && err != -EPERM)
		return;
	tpi_say("cannot read %s: %s (the group systemd-journal may)", path,
		strerror(-err));
	*denied = true;
}

static int probe(void *arg)
{
	const struct tpi_journal_values *values = arg;
	sd_journal *journal;
	bool denied = false;
	int err = tpi_journal_open(&journal, values);

	if (!err)
		err = tpi_journal_filter(journal, values);
	if (err)
		tpi_say("cannot read %s: %s", tpi_journal_where(values),
			strerror(-err));
	sd_journal_close(journal);
	if (!err && !tpi_journal_bad_files(values, say_denied, &denied))
		tpi_say("warning: there is no journal file in %s",
			values->directory ? values->directory
					  : "/run/log/journal and "
					    "/var/log/journal of this host");
	return err || denied ? TPI_EXIT_FAILURE : TPI_EXIT_OK;
}

/* ---- what was lost ------------------------------------------------------------------ */

struct run {
	struct tpi_collector collector;
	struct tpi_journal_values *values;
	struct tpi_sink sink;
	struct tpi_journal_reader reader;
	struct tpi_place_file place;
	uint64_t entries;
	bool ended; /* as --once or --count asks */
	/* The gap that was told last: between these two. */
	char told_before[TPI_CURSOR_BYTES];
	char told_after[TPI_CURSOR_BYTES];
};

static void tell_loss(struct run *run, const struct tpi_loss *loss)
{
	tpi_say("%s: %s", loss->cause, loss->message);
	tpi_sink_loss(&run->sink, TPI_JOURNAL_ENTRY, "journal", loss);
}

static void tell_bad_file(void *arg, const char *path, int err)
{
	struct run *run = arg;
	char message[4300];
	const struct tpi_loss loss = {
		.count = TPI_LOSS_UNKNOWN,
		.cpu = UINT32_MAX,
		.cause = "unreadable",
		.message = message,
	};

	snprintf(message, sizeof(message), "%s cannot be read: %s", path,
		 strerror(-err));
	tell_loss(run, &loss);
}

/* Files come and go often, and the same gap is found each time until we are behind it. */
static bool was_told(struct run *run, const struct tpi_gap *gap)
{
	if (!strcmp(run->told_before, run->place.text) &&
	    !strcmp(run->told_after, gap->after))
		return true;
	snprintf(run->told_before, sizeof(run->told_before), "%s",
		 run->place.text);
	snprintf(run->told_after, sizeof(run->told_after), "%s", gap->after);
	return false;
}

/* Entries behind the last accepted one that have gone meanwhile. */
static void tell_gap(struct run *run)
{
	char message[400], number[32] = "an unknown number of";
	struct tpi_gap gap;

	if (!run->place.text[0] ||
	    tpi_gap_find(&gap, run->place.text, run->values) || !gap.found ||
	    was_told(run, &gap))
		return;
	if (gap.count != TPI_LOSS_UNKNOWN)
		snprintf(number, sizeof(number), "%llu",
			 (unsigned long long)gap.count);
	snprintf(
		message, sizeof(message),
		"%s entries behind the last accepted one are not in %s any "
		"more%s",
		number, tpi_journal_where(run->values),
		tpi_journal_has_filter(run->values)
			? " (of all entries, also those that the filters leave "
			  "out)"
			: "");
	const struct tpi_loss loss = {
		.count = gap.count,
		.first_ns = gap.first_ns,
		.last_ns = gap.last_ns,
		.cpu = UINT32_MAX,
		.cause = "vacuumed",
		.message = message,
		.before = run->place.text,
		.after = gap.after,
	};
	tell_loss(run, &loss);
	if (gap.after[0])
		return;
	/* The journal is empty: whatever comes is behind the last accepted entry. */
	run->place.text[0] = '\0';
	run->values->since_ns = TPI_SINCE_OLDEST;
}

static void tell_bad_cursor(struct run *run, int err)
{
	char message[4300];
	const struct tpi_loss loss = {
		.count = TPI_LOSS_UNKNOWN,
		.cpu = UINT32_MAX,
		.cause = "cursor",
		.message = message,
	};

	snprintf(message, sizeof(message),
		 "the cursor in %s cannot be used (%s): reading begins as "
		 "without one",
		 run->place.path, strerror(-err));
	tell_loss(run, &loss);
}

/* ---- where to begin --------------------------------------------------------------------- */

static uint64_t realtime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int64_t since_ns(const struct tpi_journal_values *values)
{
	if (values->since_ns != TPI_SINCE_AUTO)
		return values->since_ns;
	return values->directory || values->files.count ? TPI_SINCE_OLDEST
							: TPI_SINCE_NOW;
}

static int seek_since(struct run *run)
{
	const int64_t ns = since_ns(run->values);
	sd_journal *journal = run->reader.journal;

	if (ns == TPI_SINCE_OLDEST)
		return sd_journal_seek_head(journal);
	return sd_journal_seek_realtime_usec(
		journal, realtime_us() - (uint64_t)ns / 1000);
}

/* Behind the last accepted entry, or where the settings say. 0 or -errno. */
static int seek(struct run *run)
{
	const char *cursor = run->place.text;
	int err = cursor[0]
			  ? sd_journal_seek_cursor(run->reader.journal, cursor)
			  : seek_since(run);

	return err < 0 ? err : 0;
}

static bool open_journal(struct run *run)
{
	struct tpi_journal_reader *r = &run->reader;
	int err = tpi_journal_open(&r->journal, run->values);

	if (!err)
		err = tpi_journal_filter(r->journal, run->values);
	if (!err && sd_journal_get_fd(r->journal) < 0)
		err = -EMFILE; /* of inotify: it must watch before we read */
	if (!err)
		err = seek(run);
	if (err)
		return tpi_collector_fail(
			&run->collector, TPI_EXIT_FAILURE, "cannot read %s: %s",
			tpi_journal_where(run->values), strerror(-err));
	if (sd_id128_get_boot(&r->boot_id) < 0)
		r->boot_id = SD_ID128_NULL;
	return true;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* The entry that we are at. False: the program is to end. */
static bool take_entry(struct run *run)
{
	struct tpi_place place, last;
	char *cursor = NULL;
	int err = sd_journal_get_cursor(run->reader.journal, &cursor);

	if (err < 0) /* of a file that has gone: the gap tells of it */
		return true;
	/* It was accepted before: by a cursor one comes to the entry itself. */
	if (run->place.text[0] && tpi_place_parse(cursor, &place) &&
	    tpi_place_parse(run->place.text, &last) &&
	    tpi_place_same(&place, &last)) {
		free(cursor);
		return true;
	}
	if (tpi_entry_emit(&run->reader, cursor) == TPI_ENTRY_DONE) {
		tpi_place_file_accept(&run->place, cursor);
		run->ended = ++run->entries == run->values->count;
	} else {
		run->ended = true;
	}
	free(cursor);
	return !run->ended;
}

/* Up to a batch. 1: there may be more. 0: the journal's end, or ours. -errno. */
static int read_batch(struct run *run)
{
	for (int i = 0; i < BATCH; i++) {
		int got = sd_journal_next(run->reader.journal);

		if (got <= 0)
			return got;
		if (!take_entry(run))
			return 0;
	}
	return 1;
}

/* A journal that cannot be read on is opened anew, behind what was accepted. */
static bool open_again(struct run *run, int err)
{
	char message[400];
	const struct tpi_loss loss = {
		.count = TPI_LOSS_UNKNOWN,
		.cpu = UINT32_MAX,
		.cause = "unreadable",
		.message = message,
		.before = run->place.text,
	};

	snprintf(message, sizeof(message), "%s cannot be read on: %s",
		 tpi_journal_where(run->values), strerror(-err));
	tell_loss(run, &loss);
	sd_journal_close(run->reader.journal);
	run->reader.journal = NULL;
	return tpi_collector_wait(&run->collector, -1,
				  tpi_monotonic_ns() + 10 * PAUSE_NS) >= 0 &&
	       open_journal(run);
}

/* Files that came and went. */
static void process_changes(struct run *run)
{
	if (sd_journal_process(run->reader.journal) == SD_JOURNAL_INVALIDATE)
		tell_gap(run);
}

/* Until there is something to read, to store, or to do. */
static void wait_for_more(struct run *run)
{
	sd_journal *journal = run->reader.journal;
	int64_t until_ns = tpi_place_file_due_ns(&run->place);
	uint64_t timeout_us;

	if (sd_journal_get_timeout(journal, &timeout_us) >= 0 &&
	    timeout_us != UINT64_MAX && (int64_t)(timeout_us * 1000) < until_ns)
		until_ns = (int64_t)(timeout_us * 1000);
	if (tpi_collector_wait(&run->collector, sd_journal_get_fd(journal),
			       until_ns) != -EINTR)
		process_changes(run);
}

static void loop(struct run *run)
{
	struct tpi_collector *c = &run->collector;

	while (!run->ended && tpi_collector_tend(c)) {
		/* No broker: the journal keeps what would be lost with it. */
		if (tpi_collector_away(c)) {
			tpi_collector_wait(c, -1,
					   tpi_monotonic_ns() + PAUSE_NS);
			continue;
		}
		int got = read_batch(run);

		tpi_place_file_store(&run->place, tpi_monotonic_ns(), false);
		if (got < 0 && !open_again(run, got))
			return;
		if (got || run->ended)
			continue;
		if (run->values->once) {
			process_changes(run);
			return;
		}
		wait_for_more(run);
	}
}

/* ---- the whole ------------------------------------------------------------------------------ */

/*
 * sd-journal maps the files. One that is cut short while we read it (journald never
 * does that) ends us here, and not with a core dump: the place of the accepted entries is stored.
 */
static void cut_short(int number)
{
	static const char text[] = "tapio-collect-journal: a journal file was "
				   "cut short while it was read\n";

	(void)number;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(TPI_EXIT_FAILURE);
	_exit(TPI_EXIT_FAILURE);
}

/* libsystemd gave up. In a field of an entry that is no end: see entry.c. */
static void aborted(int number)
{
	static const char text[] =
		"tapio-collect-journal: a journal file is "
		"damaged so that libsystemd cannot read it\n";

	(void)number;
	tpi_entry_aborted();
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(TPI_EXIT_FAILURE);
	_exit(TPI_EXIT_FAILURE);
}

static bool begin(struct run *run)
{
	struct tpi_collector *c = &run->collector;
	struct sigaction action = {.sa_handler = cut_short};
	struct sigaction abort_action = {.sa_handler = aborted};
	struct tpi_place place;
	int err;

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGABRT, &abort_action, NULL);
	err = tpi_place_file_load(&run->place, run->values->state,
				  "journal.cursor", run->values->store_ns);
	if (!err && run->place.text[0] &&
	    !tpi_place_parse(run->place.text, &place))
		err = -EBADMSG;
	if (err == -EBADMSG)
		run->place.text[0] = '\0';
	if (err && err != -EBADMSG)
		return tpi_collector_fail(c, TPI_EXIT_FAILURE,
					  "cannot read the cursor in %s: %s",
					  run->place.path, strerror(-err));
	if (tpi_collector_sink(c, &run->sink) || !tpi_collector_attach(c))
		return false;
	if (err)
		tell_bad_cursor(run, err);
	run->reader.sink = &run->sink;
	run->reader.values = run->values;
	tpi_journal_bad_files(run->values, tell_bad_file, run);
	tell_gap(run);
	return open_journal(run);
}

int main(int argc, char **argv)
{
	static struct tpi_journal_values values = {
		.store_ns = 1000000000,
		.since_ns = TPI_SINCE_AUTO,
		.priority = -1,
	};
	static const struct tpi_collector_about about = {
		.name = "tapio-collect-journal",
		.section = "journal",
		.doc = doc,
		.settings = {settings, &values},
		.check = check,
		.probe = probe,
		.kinds = kinds,
		.kind_count = TPI_JOURNAL_KINDS,
		.source = TAPIO_SOURCE_JOURNALD,
		.event_bytes = TPI_SINK_BYTES_MAX,
	};
	static struct run run;

	if (!tpi_collector_begin(&run.collector, &about, argc, argv))
		return run.collector.status;
	run.values = &values;
	if (begin(&run))
		loop(&run);
	if (!tpi_place_file_store(&run.place, tpi_monotonic_ns(), true) &&
	    run.collector.status == TPI_EXIT_OK)
		run.collector.status = TPI_EXIT_FAILURE;
	sd_journal_close(run.reader.journal);
	return tpi_collector_end(&run.collector);
}
