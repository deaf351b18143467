/* SPDX-License-Identifier: Apache-2.0 */
/* The machine, as far as figures depend on it. Values that cannot be read are
 * left empty. */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/frame/frame.h"

/* The text behind "key...: " or "key=" in a line of a file, unquoted. */
static bool value_of(const char *path, const char *key, char separator,
		     char *value, size_t bytes)
{
	FILE *file = fopen(path, "re");
	char line[4096];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *at = strchr(line, separator);

		if (strncmp(line, key, strlen(key)) || !at)
			continue;
		at += 1 + strspn(at + 1, " \t\"");
		at[strcspn(at, "\"\n")] = 0;
		snprintf(value, bytes, "%s", at);
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static void first_line(const char *path, char *text, size_t bytes)
{
	FILE *file = fopen(path, "re");

	*text = 0;
	if (!file)
		return;
	if (fgets(text, (int)bytes, file))
		text[strcspn(text, "\n")] = 0;
	fclose(file);
}

static void read_cpu(struct bench_machine *m)
{
	char flags[4096] = "";
	const char *hypervisor;

	if (!value_of("/proc/cpuinfo", "model name", ':', m->cpu,
		      sizeof(m->cpu)))
		snprintf(m->cpu, sizeof(m->cpu), "%s", m->architecture);
	value_of("/proc/cpuinfo", "flags", ':', flags, sizeof(flags));
	hypervisor = strstr(flags, " hypervisor");
	m->hypervisor =
		hypervisor && (hypervisor[11] == ' ' || !hypervisor[11]);
	first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
		   m->governor, sizeof(m->governor));
}

void bench_machine_read(struct bench_machine *m)
{
	struct utsname name;
	char huge[32] = "0";

	memset(m, 0, sizeof(*m));
	if (!uname(&name)) {
		snprintf(m->architecture, sizeof(m->architecture), "%.31s",
			 name.machine);
		snprintf(m->kernel, sizeof(m->kernel), "%s %s", name.sysname,
			 name.release);
	}
	read_cpu(m);
	value_of("/etc/os-release", "PRETTY_NAME", '=', m->system,
		 sizeof(m->system));
	m->cpus_online = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	m->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			  (uint64_t)sysconf(_SC_PAGESIZE);
	value_of("/proc/meminfo", "HugePages_Total", ':', huge, sizeof(huge));
	m->huge_pages = strtoull(huge, NULL, 10);
	if (getloadavg(&m->load, 1) != 1)
		m->load = 0;
}
