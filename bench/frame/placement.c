/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the two CPUs are: so near that a cache line takes a core's time from one
 * to the other, or so far that it takes an interconnect's. A virtual machine moves
 * between the two by itself, and figures of the one say nothing about the other.
 *
 *	<= BENCH_TOGETHER_MOST_NS   together: 35 to 60 ns were seen on one core
 *	>= BENCH_APART_LEAST_NS     apart: 100 to 250 ns were seen on two
 *	between                     unknown: of a time in which it moved
 *
 * A virtual machine has no other way to tell. The CPUs' topology (CPUID, and what
 * the kernel makes of it in /sys) is what the hypervisor declares once, and stays
 * so while it moves the machine's threads from core to core. So the names are for
 * what was timed: on bare metal, too, "together" says that lines are quick, not
 * that the CPUs share a core.
 *
 * Pure. Test: tests/unit/bench_placement.c.
 */
#include <math.h>
#include <string.h>

#include "bench/frame/frame.h"

static const char *const names[] = {
	[BENCH_ANYWHERE] = "any", [BENCH_TOGETHER] = "together",
	[BENCH_APART] = "apart",  [BENCH_UNKNOWN] = "unknown",
	[BENCH_MIXED] = "mixed",
};

const char *bench_placement_name(enum bench_placement placement)
{
	return names[placement];
}

bool bench_placement_parse(const char *name, enum bench_placement *placement)
{
	for (int i = BENCH_ANYWHERE; i <= BENCH_APART; i++)
		if (!strcmp(name, names[i])) {
			*placement = (enum bench_placement)i;
			return true;
		}
	return false;
}

enum bench_placement bench_placement_of(double line_ns)
{
	/* No time is 0, and what is no number is neither of these. */
	if (line_ns > 0 && line_ns <= BENCH_TOGETHER_MOST_NS)
		return BENCH_TOGETHER;
	if (isfinite(line_ns) && line_ns >= BENCH_APART_LEAST_NS)
		return BENCH_APART;
	return BENCH_UNKNOWN;
}

enum bench_placement bench_placement_join(enum bench_placement a,
					  enum bench_placement b)
{
	if (a == b || b == BENCH_ANYWHERE)
		return a;
	if (a == BENCH_ANYWHERE)
		return b;
	return a == BENCH_UNKNOWN || b == BENCH_UNKNOWN ? BENCH_UNKNOWN
							: BENCH_MIXED;
}

bool bench_placement_keeps(enum bench_placement wanted,
			   enum bench_placement got)
{
	return wanted == BENCH_ANYWHERE || wanted == got;
}

bool bench_placement_waits(enum bench_placement wanted, double spent_s,
			   double wait_s)
{
	return wanted == BENCH_ANYWHERE || spent_s < wait_s;
}

void bench_placed_add(struct bench_placed *sum, const struct bench_placed *one)
{
	sum->got = bench_placement_join(sum->got, one->got);
	sum->kept += one->kept;
	sum->thrown += one->thrown;
	sum->waited_s += one->waited_s;
	sum->thrown_s += one->thrown_s;
	sum->short_cases += one->short_cases;
}
