/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages, exit statuses and option values, shared by the tools.
 *
 * argp ends the program by itself on a wrong option. tpi_tool_init gives it the
 * exit status that the man pages promise. A message is one write, so that tools
 * that share a terminal or a log do not mix their lines.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/output.h"
#include "lib/base/own_fd.h"
#include "tools/common/parse.h"
#include "tools/common/tool.h"

static const char *tool_name = "tapio";

static void print_version(FILE *stream, struct argp_state *state)
{
	(void)state;
	fprintf(stream, "%s %s\n", tool_name, tapio_version());
}

void tpi_tool_init(const char *name)
{
	tpi_fd_occupy_stdio();
	tpi_output_check_at_exit(name, TPI_EXIT_FAILURE);
	tool_name = name;
	argp_err_exit_status = TPI_EXIT_USAGE;
	argp_program_version_hook = print_version;
}

void tpi_say(const char *format, ...)
{
	char line[1024];
	va_list args;
	int used = snprintf(line, sizeof(line), "%s: ", tool_name);

	va_start(args, format);
	used += vsnprintf(line + used, sizeof(line) - (size_t)used, format,
			  args);
	va_end(args);
	size_t length = (size_t)used;
	if (length > sizeof(line) - 1)
		length = sizeof(line) - 1;
	line[length] = '\n'; /* in place of the final NUL */
	/* There is no way to tell when stderr is gone. */
	if (write(STDERR_FILENO, line, length + 1) < 0)
		return;
}

uint64_t tpi_clock_read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t tpi_monotonic_ns(void)
{
	return (int64_t)tpi_clock_read_ns(CLOCK_MONOTONIC);
}

int64_t tpi_deadline_ns(int64_t begin_ns, int64_t duration_ns)
{
	int64_t end_ns;

	if (duration_ns == TAPIO_FOREVER ||
	    __builtin_add_overflow(begin_ns, duration_ns, &end_ns))
		return INT64_MAX;
	return end_ns;
}

int64_t tpi_arg_duration(struct argp_state *state, const char *option,
			 const char *text)
{
	int64_t ns;

	if (tpi_parse_duration(text, &ns))
		argp_error(state,
			   "%s: '%s' is not a duration (as in 250us, 100ms, "
			   "5s, 2m, 1h, forever)",
			   option, text);
	return ns;
}

uint64_t tpi_arg_size(struct argp_state *state, const char *option,
		      const char *text, uint64_t min, uint64_t max)
{
	uint64_t bytes;
	int err = tpi_parse_size(text, &bytes);

	if (err == -EINVAL)
		argp_error(state,
			   "%s: '%s' is not a size (as in 64, 4K, 2M, 1G)",
			   option, text);
	else if (err || bytes < min || bytes > max)
		argp_error(state,
			   "%s: '%s' is outside %" PRIu64 " to %" PRIu64
			   " bytes",
			   option, text, min, max);
	return bytes;
}

uint64_t tpi_arg_rate(struct argp_state *state, const char *option,
		      const char *text)
{
	uint64_t per_second;

	if (tpi_parse_rate(text, &per_second))
		argp_error(state,
			   "%s: '%s' is not a rate per second (as in 500, "
			   "10k, 2.5M)",
			   option, text);
	return per_second;
}

uint64_t tpi_arg_count(struct argp_state *state, const char *option,
		       const char *text, uint64_t min, uint64_t max)
{
	uint64_t count;
	int err = tpi_parse_count(text, min, max, &count);

	if (err == -EINVAL)
		argp_error(state, "%s: '%s' is not a number (as in 500, 10k)",
			   option, text);
	else if (err)
		argp_error(state, "%s: '%s' is outside %" PRIu64 " to %" PRIu64,
			   option, text, min, max);
	return count;
}
