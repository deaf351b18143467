/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-kmsg: records of the kernel's log, as events of type log.
 *
 * The kernel numbers its records and overwrites the oldest ones. With no room in the channel we
 * wait, and the kernel's ring is the buffer. Records that it overwrites meanwhile show as a gap in
 * the numbers: their count is exact. The number of the last accepted record is kept in a file, as
 * the journal's cursor is, so a restart goes on behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/collectors/common/collector.h"
#include "tools/collectors/common/place_file.h"
#include "tools/collectors/kmsg/kmsg.h"

#define BATCH    64
#define PAUSE_NS INT64_C(100000000)

enum {
	KMSG_RECORD,
	KMSG_KINDS,
};

static const struct tpi_kind kinds[KMSG_KINDS] = {
	[KMSG_RECORD] = {"record", TAPIO_EVENT_LOG, TAPIO_SEVERITY_INFO},
};

struct values {
	const char *device;
	const char *state;
	int64_t store_ns;
	bool new_only;
	bool once;
};

struct run {
	struct tpi_collector collector;
	struct values *values;
	struct tpi_sink sink;
	struct tpi_place_file place;
	int fd;
	bool has_last;   /* a record of this boot was accepted */
	bool other_boot; /* or one of another boot: this one's begin with 0 */
	uint64_t last;   /* its number */
	char boot_id[40];
	uint8_t boot_bytes[16];
	char record[TPI_KMSG_BYTES];
	char text[TPI_KMSG_BYTES];
};

#define AT(member) .offset = offsetof(struct values, member)

static const struct tpi_setting settings[] = {
	{.help = "Which records:"},
	{"new-only", NULL,
	 "Without a stored place, only records from now on (default: all that the "
	 "kernel still has)",
	 0, TPI_SETTING_FLAG, AT(new_only)},
	{"once", NULL, "End where the log ends", 0, TPI_SETTING_FLAG, AT(once)},
	{"device", "PATH", "Where it is read (default: /dev/kmsg)",
	 .kind = TPI_SETTING_TEXT, AT(device)},
	{.help = "Where it was:"},
	{"state", "FILE",
	 "Keep the number of the last accepted record here, and go on behind it "
	 "(default: kmsg.place in $STATE_DIRECTORY if that is set)",
	 .kind = TPI_SETTING_TEXT, AT(state)},
	{"store", "TIME", "Between two writes of it (default: 1s)",
	 .kind = TPI_SETTING_DURATION, .min = 1000000, AT(store_ns)},
	{0},
};

static const char doc[] =
	"Emits the records of the kernel's log as typed events of type log. Records "
	"that the kernel has overwritten are counted.\v"
	"Examples:\n"
	"  tapio-collect-kmsg --wait --state=/var/lib/tapio/kmsg.place\n"
	"  tapio-collect-kmsg --once\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure, 2 usage, 3 no broker, 4 no such "
	"channel or no right to it, 5 the broker has gone (without --wait).";

static int probe(void *arg)
{
	const struct values *values = arg;
	int fd = open(values->device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0) {
		close(fd);
		return TPI_EXIT_OK;
	}
	tpi_say("cannot open %s: %s", values->device, strerror(errno));
	return TPI_EXIT_FAILURE;
}

/* ---- the place --------------------------------------------------------------------- */

static void read_boot_id(struct run *run)
{
	FILE *in = fopen("/proc/sys/kernel/random/boot_id", "re");
	size_t digits = 0;

	if (!in || !fgets(run->boot_id, sizeof(run->boot_id), in))
		run->boot_id[0] = '\0';
	if (in)
		fclose(in);
	run->boot_id[strcspn(run->boot_id, "\n")] = '\0';
	for (const char *at = run->boot_id; *at && digits < 32; at++) {
		unsigned int digit;

		if (*at == '-' || sscanf(at, "%1x", &digit) != 1)
			continue;
		run->boot_bytes[digits / 2] |=
			(uint8_t)(digits % 2 ? digit : digit << 4);
		digits++;
	}
}

/* "BOOT NUMBER". Of another boot: nothing of it is in the kernel any more. */
static void take_place(struct run *run)
{
	size_t length = strlen(run->boot_id);
	const char *text = run->place.text;
	char *end;

	run->other_boot = text[0] && strncmp(text, run->boot_id, length) != 0;
	if (!text[0] || run->other_boot || text[length] != ' ')
		return;
	run->last = strtoull(text + length + 1, &end, 10);
	run->has_last = end != text + length + 1 && !*end;
}

static void accept_place(struct run *run, uint64_t sequence)
{
	char text[TPI_PLACE_BYTES];

	run->last = sequence;
	run->has_last = true;
	snprintf(text, sizeof(text), "%s %" PRIu64, run->boot_id, sequence);
	tpi_place_file_accept(&run->place, text);
}

/* ---- one record ----------------------------------------------------------------------- */

static void tell_gap(struct run *run, uint64_t from, uint64_t to)
{
	char message[160];
	const struct tpi_loss loss = {
		.count = to - from,
		.cpu = UINT32_MAX,
		.cause = "overwritten",
		.message = message,
	};

	snprintf(message, sizeof(message),
		 "the kernel has overwritten records %" PRIu64 " to %" PRIu64
		 " before they were read",
		 from, to - 1);
	tpi_say("%s: %s", loss.cause, message);
	tpi_sink_loss(&run->sink, KMSG_RECORD, "kmsg", &loss);
}

static void fill_fields(struct run *run, struct tapio_event_log *log,
			const struct tpi_kmsg *kmsg)
{
	const char *key, *value;
	size_t key_bytes, value_bytes, at = 0;
	char name[64];

	while (tpi_kmsg_field(kmsg, &at, &key, &key_bytes, &value,
			      &value_bytes)) {
		if (key_bytes >= sizeof(name))
			continue;
		memcpy(name, key, key_bytes);
		name[key_bytes] = '\0';
		size_t length =
			tpi_kmsg_unescape(run->text, value, value_bytes);
		tpi_sink_attribute(&run->sink, &log->attributes, name,
				   run->text, length);
	}
}

static bool emit(struct run *run, const struct tpi_kmsg *kmsg)
{
	static const uint8_t severities[8] = {
		TAPIO_SEVERITY_EMERGENCY, TAPIO_SEVERITY_ALERT,
		TAPIO_SEVERITY_CRITICAL,  TAPIO_SEVERITY_ERROR,
		TAPIO_SEVERITY_WARNING,   TAPIO_SEVERITY_NOTICE,
		TAPIO_SEVERITY_INFO,      TAPIO_SEVERITY_DEBUG,
	};
	struct tapio_event_log *log = tpi_sink_begin(&run->sink, KMSG_RECORD);
	struct tapio_event *event = run->sink.builder.event;
	char cursor[TPI_PLACE_BYTES];
	bool left;

	if (!log)
		return true; /* counted: too long for the channel */
	event->severity = severities[kmsg->priority];
	/* The kernel's stamps are of its own clock, which stops with CLOCK_MONOTONIC. */
	event->time_ns = tpi_clock_read_ns(CLOCK_REALTIME) -
			 tpi_clock_read_ns(CLOCK_MONOTONIC) +
			 kmsg->monotonic_us * 1000;
	log->monotonic_ns = kmsg->monotonic_us * 1000;
	memcpy(log->boot_id, run->boot_bytes, sizeof(log->boot_id));
	if (kmsg->facility < 128)
		log->facility = (uint16_t)TAPIO_FACILITY(kmsg->facility);
	snprintf(cursor, sizeof(cursor), "%s %" PRIu64, run->boot_id,
		 kmsg->sequence);
	tpi_sink_text(&run->sink, &log->cursor, cursor);
	tpi_sink_text(&run->sink, &log->transport, "kernel");
	size_t length = tpi_kmsg_unescape(run->text, kmsg->message,
					  kmsg->message_bytes);
	tpi_sink_string(&run->sink, &log->body, run->text, length);
	fill_fields(run, log, kmsg);
	return tpi_sink_end_patiently(&run->sink, &left) || !left;
}

/* False: asked to stop before it was accepted. */
static bool take_record(struct run *run, size_t length)
{
	struct tpi_kmsg kmsg;

	if (!tpi_kmsg_parse(&kmsg, run->record, length)) {
		const struct tpi_loss loss = {
			.count = 1,
			.cpu = UINT32_MAX,
			.cause = "malformed",
			.message = "a record is not of the kernel's form",
		};

		tpi_sink_loss(&run->sink, KMSG_RECORD, "kmsg", &loss);
		return true;
	}
	if (run->has_last && kmsg.sequence <= run->last)
		return true; /* it was accepted before */
	if (run->has_last && kmsg.sequence > run->last + 1)
		tell_gap(run, run->last + 1, kmsg.sequence);
	else if (!run->has_last && run->other_boot && kmsg.sequence)
		tell_gap(run, 0, kmsg.sequence);
	if (!emit(run, &kmsg))
		return false;
	accept_place(run, kmsg.sequence);
	return true;
}

/* 1: there may be more. 0: the log's end. -EINTR asked to stop. -errno. */
static int read_batch(struct run *run)
{
	for (int i = 0; i < BATCH; i++) {
		ssize_t got = read(run->fd, run->record, sizeof(run->record));

		if (got > 0 && !take_record(run, (size_t)got))
			return -EINTR;
		if (got > 0 || (got < 0 && (errno == EPIPE || errno == EINTR)))
			continue; /* EPIPE: overwritten, the next number tells */
		if (got < 0 && errno != EAGAIN)
			return -errno;
		/* The kernel's log has no end: this is another file. */
		return got || run->values->once ? 0 : -ENODATA;
	}
	return 1;
}

/* ---- the whole --------------------------------------------------------------------------- */

static bool begin(struct run *run)
{
	struct tpi_collector *c = &run->collector;
	int err;

	read_boot_id(run);
	err = tpi_place_file_load(&run->place, run->values->state, "kmsg.place",
				  run->values->store_ns);
	/* Without a place all is emitted that is there: nothing is lost. */
	if (err == -EBADMSG)
		tpi_say("the place in %s cannot be used: reading begins with "
			"the oldest record",
			run->place.path);
	else if (err)
		return tpi_collector_fail(c, TPI_EXIT_FAILURE,
					  "cannot read the place in %s: %s",
					  run->place.path, strerror(-err));
	take_place(run);
	run->fd = open(run->values->device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (run->fd < 0)
		return tpi_collector_fail(c, TPI_EXIT_FAILURE,
					  "cannot open %s: %s",
					  run->values->device, strerror(errno));
	if (run->values->new_only && !run->has_last)
		lseek(run->fd, 0, SEEK_END);
	return !tpi_collector_sink(c, &run->sink) && tpi_collector_attach(c);
}

static void loop(struct run *run)
{
	struct tpi_collector *c = &run->collector;

	while (tpi_collector_tend(c)) {
		int got = 0;

		if (!tpi_collector_away(c))
			got = read_batch(run);
		tpi_place_file_store(&run->place, tpi_monotonic_ns(), false);
		if (got == -EINTR)
			return;
		if (got < 0) {
			tpi_collector_fail(c, TPI_EXIT_FAILURE,
					   "cannot read %s: %s",
					   run->values->device, strerror(-got));
			return;
		}
		if (got)
			continue;
		/* Away from the broker it is readable, and is not read. */
		if (tpi_collector_away(c))
			tpi_collector_wait(c, -1,
					   tpi_monotonic_ns() + PAUSE_NS);
		else if (run->values->once)
			return;
		else
			tpi_collector_wait(c, run->fd,
					   tpi_place_file_due_ns(&run->place));
	}
}

int main(int argc, char **argv)
{
	static struct values values = {
		.device = "/dev/kmsg",
		.store_ns = 1000000000,
	};
	static const struct tpi_collector_about about = {
		.name = "tapio-collect-kmsg",
		.section = "kmsg",
		.doc = doc,
		.settings = {settings, &values},
		.probe = probe,
		.kinds = kinds,
		.kind_count = KMSG_KINDS,
		.source = TAPIO_SOURCE_KMSG,
		.event_bytes = 2 * TPI_KMSG_BYTES,
	};
	static struct run run = {.fd = -1};

	if (!tpi_collector_begin(&run.collector, &about, argc, argv))
		return run.collector.status;
	run.values = &values;
	if (begin(&run))
		loop(&run);
	if (!tpi_place_file_store(&run.place, tpi_monotonic_ns(), true) &&
	    run.collector.status == TPI_EXIT_OK)
		run.collector.status = TPI_EXIT_FAILURE;
	if (run.fd >= 0)
		close(run.fd);
	return tpi_collector_end(&run.collector);
}
