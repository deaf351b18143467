/* SPDX-License-Identifier: Apache-2.0 */
/* The first line of tapio-tail on a terminal. */
#include "tools/tail/banner.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/inspect/about.h"

#define NS_PER_S UINT64_C(1000000000)

static void print_time(char *text, size_t bytes, uint64_t ns)
{
	time_t s = (time_t)(ns / NS_PER_S);
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, bytes, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void print_role(char *text, size_t bytes,
		       const struct tpi_tail_options *tail)
{
	if (tail->group)
		snprintf(text, bytes, "as a member of group %s", tail->group);
	else if (tail->join)
		snprintf(text, bytes, "as a group of its own");
	else
		snprintf(text, bytes, "as an observer");
}

static void print_producers(char *text, size_t bytes,
			    const struct tpi_about *about)
{
	if (!about->known)
		snprintf(text, bytes,
			 "producers not known (no right to inspect)");
	else if (!about->producers)
		snprintf(text, bytes, "no producer is attached");
	else
		snprintf(text, bytes, "%" PRIu32 " producer%s attached",
			 about->producers, about->producers == 1 ? "" : "s");
}

static void print_since(char *text, size_t bytes,
			const struct tpi_tail_arguments *args)
{
	char time[32];

	if (args->since_ns) {
		print_time(time, sizeof(time), args->since_ns);
		snprintf(text, bytes, "events since %s", time);
	} else if (args->tail.start == TAPIO_START_OLDEST) {
		snprintf(text, bytes, "from the oldest event");
	} else {
		print_time(time, sizeof(time),
			   tpi_clock_read_ns(CLOCK_REALTIME));
		snprintf(text, bytes, "new events from %s on", time);
	}
}

static void say_banner(const struct tpi_tail_arguments *args,
		       const struct tpi_about *about)
{
	char role[128], producers[64], since[64];

	print_role(role, sizeof(role), &args->tail);
	print_producers(producers, sizeof(producers), about);
	print_since(since, sizeof(since), args);
	tpi_say("%s channel %s %s: %s, %s",
		args->duration_ns ? "following" : "showing", args->tail.channel,
		role, producers, since);
}

static void say_gone(const struct tpi_tail_arguments *args,
		     const struct tpi_about *about)
{
	char asked[32], whole[32];

	if (about->known && !about->stamped) {
		tpi_say("channel %s has no time stamps: --since goes by the "
			"times of the events themselves",
			args->tail.channel);
		return;
	}
	if (!about->lanes_late)
		return;
	print_time(asked, sizeof(asked), args->since_ns);
	print_time(whole, sizeof(whole), about->whole_ns);
	tpi_say("not all since %s is still there: %" PRIu32 " of %" PRIu32
		" lanes have overwritten %" PRIu64
		" events so far, and from %s on nothing is missing",
		asked, about->lanes_late, about->lanes, about->overwritten,
		whole);
}

void tpi_tail_banner(const struct tpi_tail_arguments *args)
{
	bool terminal = isatty(STDERR_FILENO);
	struct tpi_about about;

	if (!terminal && !args->since_ns)
		return;
	tpi_about_look(&about, tpi_connect_socket(&args->connect),
		       args->tail.channel, args->since_ns);
	if (terminal)
		say_banner(args, &about);
	if (args->since_ns)
		say_gone(args, &about);
}
