/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines on standard output. See the header. Texts of rules and events may hold anything: JSON is
 * made by the library, which escapes it, and for people control characters become '?', so that no
 * event can drive a terminal.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tapio/event.h>

#include "tools/correlate/print.h"

#define JSON_BYTES (4u * 65536)

static int written(void)
{
	return fflush(stdout) ? -errno : 0;
}

/* ---- text ------------------------------------------------------------------------------ */

static void put_safe(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		const unsigned char c = (unsigned char)text[i];
		/* C1 controls of UTF-8 are 0xc2 and one of these. */
		const bool second =
			i && (unsigned char)text[i - 1] == 0xc2 && c < 0xa0;

		putchar(c < 0x20 || c == 0x7f || second ? '?' : c);
	}
}

static void put_time(uint64_t time_ns)
{
	const time_t seconds = (time_t)(time_ns / 1000000000);
	struct tm tm;
	char text[32];

	if (!gmtime_r(&seconds, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		text[0] = '\0';
	printf("%s.%03" PRIu64 "Z", text, time_ns / 1000000 % 1000);
}

static bool has_colours(void)
{
	static int known;

	if (!known)
		known = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") ? 1 : -1;
	return known > 0;
}

static const char *colour_of(uint8_t severity)
{
	if (severity >= TAPIO_SEVERITY_CRITICAL)
		return "\033[1;31m";
	if (severity >= TAPIO_SEVERITY_ERROR)
		return "\033[31m";
	if (severity >= TAPIO_SEVERITY_WARNING)
		return "\033[33m";
	return "\033[36m";
}

static void put_string(const struct tapio_event_view *v, const char *name,
		       const char *before, const char *after)
{
	struct tapio_event_value value;

	if (tapio_event_view_get(v, name, &value) != 1 || !value.length)
		return;
	fputs(before, stdout);
	put_safe(value.data, value.length);
	fputs(after, stdout);
}

static void print_text(const struct tapio_event_view *v,
		       const struct tapio_event_finding *f)
{
	const char *severity = tapio_severity_name(v->header.severity);
	const bool colours = has_colours();

	put_time(v->header.time_ns);
	printf(" %s%s%s", colours ? colour_of(v->header.severity) : "",
	       severity ? severity : "?", colours ? "\033[0m" : "");
	put_string(v, "rule", " ", ":");
	if (f->verdict == TAPIO_VERDICT_UNKNOWN)
		fputs(" UNKNOWN (events were lost):", stdout);
	put_string(v, "message", " ", "");
	put_string(v, "key", " [", "]");
	printf(" count=%" PRIu64 " events=%" PRIu32 "\n", f->count, f->events);
}

static int print_json(const struct tapio_event_view *v)
{
	static char json[JSON_BYTES];
	int length = tapio_event_format_json(json, sizeof(json), v);

	if (length <= 0 || (size_t)length >= sizeof(json))
		return -EMSGSIZE;
	fwrite(json, 1, (size_t)length, stdout);
	putchar('\n');
	return 0;
}

int tpi_print_finding(enum tpi_correlate_output output, const void *event,
		      size_t length)
{
	const struct tapio_event_finding *f;
	struct tapio_event_view v;
	int err = 0;

	if (output == TPI_OUTPUT_NONE ||
	    tapio_event_view_init(&v, event, length))
		return 0;
	f = tapio_event_view_fields(&v, TAPIO_EVENT_FINDING);
	if (!f)
		return 0;
	if (output == TPI_OUTPUT_JSON)
		err = print_json(&v);
	else
		print_text(&v, f);
	return err ? err : written();
}

/* ---- explanations ---------------------------------------------------------------------- */

static const char *const ends[] = {
	[TPI_CORR_END_WAITING] = "under way",
	[TPI_CORR_END_FIRED] = "fired",
	[TPI_CORR_END_UNKNOWN] = "complete, but events were lost in its window",
	[TPI_CORR_END_SUPPRESSED] = "complete, but in its cool-down",
	[TPI_CORR_END_EXPIRED] = "not complete when the window was over",
	[TPI_CORR_END_EVICTED] = "made room for another key",
};

static const char *end_name(enum tpi_corr_end end)
{
	return end > 0 && (size_t)end < sizeof(ends) / sizeof(ends[0])
		       ? ends[end]
		       : "?";
}

static bool is_complete(enum tpi_corr_end end)
{
	return end == TPI_CORR_END_FIRED || end == TPI_CORR_END_UNKNOWN ||
	       end == TPI_CORR_END_SUPPRESSED;
}

static void put_steps(const struct tpi_rule_info *info, uint32_t reached,
		      bool those)
{
	bool any = false;

	for (unsigned int i = 0; i < info->step_count; i++) {
		if (!!(reached >> i & 1) != those)
			continue;
		printf("%s%s", any ? ", " : "", info->steps[i]);
		any = true;
	}
	if (!any)
		fputs("none", stdout);
}

int tpi_print_why(enum tpi_correlate_output output, const struct tpi_corr *corr,
		  const struct tpi_corr_why *why)
{
	struct tpi_rule_info info;

	if (output != TPI_OUTPUT_TEXT)
		return 0;
	put_time(why->time_ns);
	printf(" explain %s:", why->rule);
	if (why->key[0]) {
		fputs(" [", stdout);
		put_safe(why->key, strlen(why->key));
		fputs("]", stdout);
	}
	printf(" %s: %" PRIu64 " of %" PRIu64, end_name(why->end), why->have,
	       why->need);
	if (tpi_rules_info(tpi_corr_rules(corr), why->rule_index, &info) &&
	    info.kind == TPI_RULE_SEQUENCE) {
		/* The event that completes it is not among those that wait. */
		fputs(is_complete(why->end) ? "; before its last event "
					    : "; seen ",
		      stdout);
		put_steps(&info, why->steps, true);
		if (!is_complete(why->end)) {
			fputs("; not seen ", stdout);
			put_steps(&info, why->steps, false);
		}
	}
	putchar('\n');
	return written();
}

static void print_rule(const struct tpi_rule_info *info,
		       const struct tpi_corr_rule_stats *stats)
{
	printf("explain %s: %" PRIu64 " findings, %" PRIu64 " unknown, %" PRIu64
	       " in a cool-down, %" PRIu64 " keys ended without one, %" PRIu64
	       " live",
	       info->name, stats->findings, stats->unknown, stats->suppressed,
	       stats->expired, stats->keys);
	fputs("; events that matched: ", stdout);
	for (unsigned int i = 0; i < info->step_count; i++)
		printf("%s%s %" PRIu64, i ? ", " : "", info->steps[i],
		       stats->steps[i]);
	if (stats->keyless)
		printf("; without a field of its key: %" PRIu64,
		       stats->keyless);
	if (stats->late)
		printf("; late: %" PRIu64, stats->late);
	if (stats->evicted || stats->forgotten)
		printf("; keys that made room: %" PRIu64
		       ", events that did: %" PRIu64,
		       stats->evicted, stats->forgotten);
	putchar('\n');
}

void tpi_print_rules(enum tpi_correlate_output output,
		     const struct tpi_corr *corr)
{
	const struct tpi_rules *rules = tpi_corr_rules(corr);
	struct tpi_corr_rule_stats stats;
	struct tpi_rule_info info;

	if (output != TPI_OUTPUT_TEXT)
		return;
	for (unsigned int i = 0; tpi_rules_info(rules, i, &info); i++)
		if (tpi_corr_rule_stats(corr, i, &stats))
			print_rule(&info, &stats);
	fflush(stdout);
}
