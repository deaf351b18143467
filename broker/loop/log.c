/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging. Called on the broker's thread alone (and, before it runs, on the
 * thread that starts it), so there is no lock. Text that comes from clients has
 * been checked to be printable before it gets here.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/loop/log.h"
#include "broker/loop/log_writer.h"

static const char *const words[] = {
	[TAPIO_LOG_ERROR] = "error",   [TAPIO_LOG_WARNING] = "warning",
	[TAPIO_LOG_NOTICE] = "notice", [TAPIO_LOG_INFO] = "info",
	[TAPIO_LOG_DEBUG] = "debug",
};
#define LINE_BYTES 768
#define WORDS      ((int)(sizeof(words) / sizeof(words[0])))

static void say(struct tpi_log *log, int level, const char *format,
		va_list args)
{
	char line[LINE_BYTES];

	vsnprintf(line, sizeof(line), format, args);
	log->sink(log->arg, level, line);
}

void tpi_log(struct tpi_log *log, int level, const char *format, ...)
{
	va_list args;

	if (level > log->level || !log->sink)
		return;
	va_start(args, format);
	say(log, level, format, args);
	va_end(args);
}

void tpi_log_client(struct tpi_log *log, int level, const char *format, ...)
{
	va_list args;

	if (level > log->level || !log->sink)
		return;
	if (!log->burst) {
		log->suppressed++;
		return;
	}
	log->burst--;
	va_start(args, format);
	say(log, level, format, args);
	va_end(args);
}

void tpi_log_refill(struct tpi_log *log)
{
	uint32_t suppressed = log->suppressed;

	log->burst = TPI_LOG_BURST;
	log->suppressed = 0;
	if (suppressed)
		tpi_log(log, TAPIO_LOG_WARNING,
			"%u more messages about clients were suppressed",
			suppressed);
}

/* systemd says in JOURNAL_STREAM which device and inode its stream has. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == dev &&
	       st.st_ino == ino;
}

/* UTC to the millisecond, as in RFC 3339: "2026-11-25T14:03:07.042Z". */
static void print_time(char *text, size_t bytes)
{
	struct timespec now;
	struct tm utc;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	n = strftime(text, bytes, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + n, bytes - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static int format_line(char *line, size_t bytes, int level, const char *message)
{
	char time[40];

	if (stderr_is_journal()) /* it knows the time */
		return snprintf(line, bytes, "<%d>%s\n", level, message);
	print_time(time, sizeof(time));
	return snprintf(line, bytes, "%s tapiod: %s: %s\n", time, words[level],
			message);
}

void tpi_log_stderr(void *arg, int level, const char *message)
{
	char line[LINE_BYTES + 64];
	int length = format_line(line, sizeof(line), level, message);

	(void)arg;
	if ((size_t)length >= sizeof(line)) {
		length = sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	tpi_log_writer_put(line, (size_t)length);
}

static void say_dropped(uint64_t lines)
{
	char message[96], line[192];
	int length;

	snprintf(message, sizeof(message),
		 "%" PRIu64 " lines were dropped here: stderr was not read",
		 lines);
	length = format_line(line, sizeof(line), TAPIO_LOG_WARNING, message);
	(void)!write(STDERR_FILENO, line, (size_t)length);
}

void tpi_log_stderr_start(void)
{
	/* Without the thread lines are written here, and may wait. */
	(void)tpi_log_writer_start(say_dropped);
}

int tpi_log_level(const char *word)
{
	for (int i = TAPIO_LOG_ERROR; i < WORDS; i++)
		if (!strcmp(word, words[i]))
			return i;
	return -1;
}
