/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small things that questions and peers call: clocks, pinning, and saying
 * why. In a side the reason goes straight into the memory that it shares with the
 * frame, so that it outlives the side.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "bench/frame/frame.h"

static char frame_why[BENCH_WHY_BYTES];
static char *why = frame_why;
static size_t why_bytes = sizeof(frame_why);

void bench_why(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_bytes, format, args);
	va_end(args);
}

void bench_why_into(char *text, size_t bytes)
{
	why = text;
	why_bytes = bytes;
}

const char *bench_why_taken(void)
{
	static char taken[BENCH_WHY_BYTES];

	snprintf(taken, sizeof(taken), "%s", why);
	*why = 0;
	return taken;
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

int bench_pin(int cpu)
{
	cpu_set_t set;
	int err;

	CPU_ZERO(&set);
	if (cpu >= 0)
		CPU_SET((unsigned int)cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		return 0;
	err = -errno;
	bench_why("cannot run on CPU %d: %s", cpu, strerror(-err));
	return err;
}
