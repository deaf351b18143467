/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/collectors/ebpf/record.h"
#include "tools/collectors/ebpf/settings.h"

#define BIT(source) (UINT32_C(1) << TPI_EBPF_SOURCE_##source)

const char *const tpi_ebpf_source_names[TPI_EBPF_SOURCES] = {
	[TPI_EBPF_SOURCE_PROCESS] = "process",
	[TPI_EBPF_SOURCE_OOM] = "oom",
	[TPI_EBPF_SOURCE_TCP] = "tcp",
	[TPI_EBPF_SOURCE_BLOCK] = "block",
	[TPI_EBPF_SOURCE_OPEN] = "open",
	[TPI_EBPF_SOURCE_RUN_QUEUE] = "runqueue",
	[TPI_EBPF_SOURCE_DNS] = "dns",
	[TPI_EBPF_SOURCE_EXISTING] = "existing",
};

const struct tpi_ebpf_values tpi_ebpf_defaults = {
	.sources =
		BIT(PROCESS) | BIT(OOM) | BIT(TCP) | BIT(BLOCK) | BIT(EXISTING),
	.slow_io_ns = 100000000,
	.interval_ns = 10000000000,
	.ring_bytes = 524288,
};

static int find_source(const char *name, size_t length)
{
	for (int i = 0; i < TPI_EBPF_SOURCES; i++)
		if (strlen(tpi_ebpf_source_names[i]) == length &&
		    !strncmp(tpi_ebpf_source_names[i], name, length))
			return i;
	return -1;
}

static bool parse_sources(void *value, const char *text, char *why,
			  size_t why_bytes)
{
	uint32_t *sources = value, found = 0;

	for (const char *at = text;; at++) {
		size_t length = strcspn(at, ",");
		int source = find_source(at, length);

		if (source < 0) {
			snprintf(
				why, why_bytes,
				"not a list of process, oom, tcp, block, open, "
				"runqueue, dns, existing: there is no '%.*s'",
				(int)length, at);
			return false;
		}
		found |= UINT32_C(1) << source;
		at += length;
		if (!*at)
			break;
	}
	*sources = found;
	return true;
}

#define AT(member) .offset = offsetof(struct tpi_ebpf_values, member)

const struct tpi_setting tpi_ebpf_rows[] = {
	{.help = "Which events:"},
	{"sources", "LIST",
	 "Only these, separated by commas: process, oom, tcp, block, open, "
	 "runqueue, dns, existing (default: process,oom,tcp,block,existing)",
	 'S', TPI_SETTING_OWN, AT(sources), .parse = parse_sources},
	{"open-prefix", "PATH",
	 "Opens of files whose path begins so; may be given more than once (implies "
	 "the source open)",
	 .kind = TPI_SETTING_LIST, AT(open_prefixes)},
	{"open-cgroup", "DIR",
	 "Opens by processes of this cgroup, or below it, alone; may be given more "
	 "than once",
	 .kind = TPI_SETTING_LIST, AT(open_cgroups)},
	{"slow-io", "TIME",
	 "Requests to disks that took this long (default: 100ms)",
	 .kind = TPI_SETTING_DURATION, AT(slow_io_ns)},
	{.help = "How:"},
	{"interval", "TIME",
	 "Between two histograms, and reports of losses (default: 10s)", 'i',
	 TPI_SETTING_DURATION, AT(interval_ns), .min = 10000000},
	{"ring", "SIZE",
	 "Of each ring in the kernel, of which a CPU has two: a power of two "
	 "(default: 512K)",
	 .kind = TPI_SETTING_SIZE, AT(ring_bytes), .min = 4096,
	 .max = UINT64_C(1) << 28},
	{"cgroup-root", "DIR",
	 "Where the cgroups (version 2) begin whose DNS is read (default: where they "
	 "are mounted)",
	 .kind = TPI_SETTING_TEXT, AT(cgroup_root)},
	{0},
};

static bool check_ring(const struct tpi_ebpf_values *v, char *why,
		       size_t why_bytes)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!(v->ring_bytes & (v->ring_bytes - 1)) && v->ring_bytes >= page)
		return true;
	snprintf(
		why, why_bytes,
		"ring: %llu bytes is not a power of two of %llu at least (a page)",
		(unsigned long long)v->ring_bytes, (unsigned long long)page);
	return false;
}

static bool check_opens(struct tpi_ebpf_values *v, char *why, size_t why_bytes)
{
	if (v->open_prefixes.count)
		v->sources |= BIT(OPEN);
	if (tpi_ebpf_wants(v, TPI_EBPF_SOURCE_OPEN) &&
	    !v->open_prefixes.count) {
		snprintf(why, why_bytes,
			 "the source open needs open-prefix (\"/\" is every "
			 "file)");
		return false;
	}
	for (size_t i = 0; i < v->open_prefixes.count; i++) {
		const char *prefix = v->open_prefixes.items[i];

		if (prefix[0] == '/' && strlen(prefix) <= TPI_EBPF_PREFIX_BYTES)
			continue;
		snprintf(
			why, why_bytes,
			"open-prefix: '%s' is not an absolute path of %d bytes "
			"at most",
			prefix, TPI_EBPF_PREFIX_BYTES);
		return false;
	}
	if (v->open_prefixes.count > TPI_EBPF_FILTERS ||
	    v->open_cgroups.count > TPI_EBPF_FILTERS) {
		snprintf(why, why_bytes,
			 "more than %d of open-prefix or open-cgroup",
			 TPI_EBPF_FILTERS);
		return false;
	}
	return true;
}

bool tpi_ebpf_check(void *values, char *why, size_t why_bytes)
{
	return check_ring(values, why, why_bytes) &&
	       check_opens(values, why, why_bytes);
}
