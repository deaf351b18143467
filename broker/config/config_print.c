/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing a configuration in the syntax in which it is read, for `tapiod
 * --print-config`. The text that it prints, read again, prints the same.
 */
#include <inttypes.h>
#include <string.h>

#include "broker/config/config.h"
#include "lib/memory/policy.h"

/* libconfuse reads \" and \\ in a quoted string as the character itself. */
static void quoted(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\' || *text == '$')
			putc('\\', out);
		putc(*text, out);
	}
	putc('"', out);
}

static void bytes(FILE *out, uint64_t n)
{
	static const char units[] = "\0KMG";
	int unit = 0;

	while (unit < 3 && n && n % 1024 == 0) {
		n /= 1024;
		unit++;
	}
	fprintf(out, "\"%" PRIu64 "%.1s\"", n, &units[unit]);
}

static void duration(FILE *out, uint64_t ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	int unit = 0;

	while (unit < 3 && ns && ns % 1000 == 0) {
		ns /= 1000;
		unit++;
	}
	fprintf(out, "\"%" PRIu64 "%s\"", ns, units[unit]);
}

static void takeover(FILE *out, uint64_t ns)
{
	if (ns == TAPIO_TAKEOVER_NEVER)
		fprintf(out, "never");
	else
		duration(out, ns);
}

static void print_globals(const struct tpi_config *config, FILE *out)
{
	static const char *const huge[] = {"auto", "require", "never"};

	fprintf(out,
		"# Where clients connect: a path, or \"@name\" for an "
		"abstract socket. Unset:\n"
		"# /run/tapio/tapiod.sock, or in the session of a plain user\n"
		"# $XDG_RUNTIME_DIR/tapio/tapiod.sock.\n");
	if (config->socket) {
		fprintf(out, "socket = ");
		quoted(out, config->socket);
		putc('\n', out);
	} else {
		fprintf(out, "# socket = \"/run/tapio/tapiod.sock\"\n");
	}
	fprintf(out,
		"# Mode of the socket's file, which decides which users can "
		"connect: 0660 its\n# group, 0666 all. The allow rules decide "
		"what they can do.\n"
		"socket_mode = \"%04o\"\n",
		(unsigned int)config->socket_mode);
	fprintf(out,
		"# Group of the socket's file (a name or a number). Unset: the "
		"broker's own, or\n# for a broker that root runs "
		"\"tapio\" where that exists.\n");
	if (config->socket_group == (gid_t)-1)
		fprintf(out, "# socket_group = \"tapio\"\n");
	else
		fprintf(out, "socket_group = \"%u\"\n", config->socket_group);
	fprintf(out, "# All shared memory together; bytes, or with K, M, G.\n"
		     "budget = ");
	bytes(out, config->budget_bytes);
	fprintf(out,
		"\n# Huge pages: auto (the best available), require "
		"(hugetlb, or do not start),\n# never.\nhugepages = %s\n",
		huge[config->hugepages]);
	fprintf(out,
		"# Most clients at a time.\n"
		"clients_max = %u\n"
		"# Of them, most for one uid, and those kept free for root and "
		"the broker's uid,\n# for which no share holds.\n"
		"uid_clients_max = %u\n"
		"clients_reserved = %u\n",
		config->clients_max, config->uid_clients_max,
		config->clients_reserved);
	fprintf(out,
		"# Most channels. The catalog has room for so many, so that "
		"a reload can add some.\n"
		"%schannels_max = %u\n",
		config->channels_auto ? "# " : "", config->channels_max);
	fprintf(out,
		"# Whether root and the broker's own uid may do everything.\n"
		"trust_owner = %s\n",
		config->trust_owner ? "true" : "false");
}

static void print_sides(const struct tpi_config_channel *channel, uint32_t i,
			FILE *out)
{
	const struct tapio_shm_class *klass = &channel->spec.classes[i];

	if (channel->sides_auto[i])
		fprintf(out, "\t\tside_lanes = auto\n");
	else
		fprintf(out, "\t\tside_lanes = %u\n", klass->side_lanes);
	fprintf(out, "\t\tside_blocks = %u\n", klass->side_count);
}

static void print_isolation(const struct tpi_channel_spec *spec, FILE *out)
{
	fprintf(out,
		"\t# Memory that producers write: of the channel, or a segment "
		"for each process,\n\t# so that none can change another's "
		"events.\n\tisolation = %s\n",
		tpi_spec_isolated(spec) ? "process" : "channel");
	if (tpi_spec_isolated(spec))
		fprintf(out,
			"\t# Producers at a time, and users over time.\n"
			"\tproducers_max = %u\n",
			spec->producers_max);
}

static void print_class(const struct tpi_config_channel *channel, uint32_t i,
			FILE *out)
{
	const struct tapio_shm_class *klass = &channel->spec.classes[i];

	fprintf(out, "\tclass ");
	quoted(out, klass->name);
	fprintf(out, " {\n\t\tblock = %u\n", klass->block_bytes);
	if (channel->blocks_auto[i])
		fprintf(out,
			"\t\t# blocks = %u, or fewer if the budget does "
			"not suffice\n",
			klass->block_count);
	else
		fprintf(out, "\t\tblocks = %u\n", klass->block_count);
	if (!tpi_spec_isolated(&channel->spec))
		print_sides(channel, i, out);
	fprintf(out, "\t\tpriority = %u\n\t}\n", klass->priority);
}

static void print_channel(const struct tpi_config_channel *channel, FILE *out)
{
	static const char *const stamps[] = {"none", "tsc", "clock"};
	const struct tpi_channel_spec *spec = &channel->spec;

	fprintf(out, "\nchannel ");
	quoted(out, spec->name);
	fprintf(out,
		" {\n\t# When a producer finds no room: drop the event, "
		"or wait for so long.\n\tfull = %s\n\twait = ",
		spec->full_policy == TAPIO_FULL_WAIT ? "wait" : "drop");
	duration(out, spec->wait_ns);
	fprintf(out,
		"\n\t# Time stamps: none, tsc or clock.\n\tstamp = %s\n"
		"\t# Groups at a time, of %d slots, and of one uid.\n"
		"\tgroups_max = %u\n\tuid_groups_max = %u\n",
		stamps[spec->stamp], TAPIO_GROUP_SLOTS, channel->groups_max,
		channel->uid_groups_max);
	print_isolation(spec, out);
	fprintf(out, "\t# Each CPU has a ring of `blocks` events of up to "
		     "`block` bytes. Threads\n\t# without rseq share "
		     "`side_lanes` rings of `side_blocks`. An event that\n"
		     "\t# names no class goes to the smallest class of the "
		     "lowest priority that\n\t# holds it.\n");
	for (uint32_t i = 0; i < spec->class_count; i++)
		print_class(channel, i, out);
	for (uint32_t i = 0; i < channel->group_count; i++) {
		fprintf(out, "\t# Keeps its place while it has no member.\n"
			     "\tgroup ");
		quoted(out, channel->groups[i].name);
		fprintf(out, " {\n\t\tpolicy = %s\n\t\tlag = %u\n",
			tpi_policy_name(channel->groups[i].policy),
			channel->groups[i].lag);
		fprintf(out, "\t\ttakeover = ");
		takeover(out, channel->groups[i].takeover_ns);
		fprintf(out, "\n\t}\n");
	}
	fprintf(out, "}\n");
}

static void print_ids(const char *option, const unsigned int *ids,
		      uint32_t count, FILE *out)
{
	if (!count)
		return;
	fprintf(out, "\t%s = {", option);
	for (uint32_t i = 0; i < count; i++)
		fprintf(out, "%s\"%u\"", i ? ", " : "", ids[i]);
	fprintf(out, "}\n");
}

static void print_rule(const struct tpi_config_rule *rule, FILE *out)
{
	const char *comma = "";

	fprintf(out, "\nallow ");
	quoted(out, rule->name);
	fprintf(out, " {\n\tchannel = ");
	quoted(out, rule->channel);
	putc('\n', out);
	if (rule->any)
		fprintf(out, "\tany = true\n");
	print_ids("uid", rule->uids, rule->uid_count, out);
	print_ids("gid", rule->gids, rule->gid_count, out);
	fprintf(out, "\trole = {");
	for (unsigned int i = 0; tpi_config_role(i); i++) {
		if (!(rule->rights & TPI_RIGHT_PRODUCE << i))
			continue;
		fprintf(out, "%s%s", comma, tpi_config_role(i));
		comma = ", ";
	}
	fprintf(out, "}\n}\n");
}

void tpi_config_print(const struct tpi_config *config, FILE *out)
{
	print_globals(config, out);
	for (uint32_t i = 0; i < config->channel_count; i++)
		print_channel(&config->channels[i], out);
	if (!config->rule_count)
		fprintf(out,
			"\n# Rights of other users, for example:\n"
			"# allow collectors {\n"
			"#\tchannel = \"events*\"   # a pattern, as a "
			"shell's\n"
			"#\tuid = {\"collector\"}   # or gid, or any = true\n"
			"#\trole = {produce}      # consume, inspect, "
			"lossless, durable\n# }\n");
	for (uint32_t i = 0; i < config->rule_count; i++)
		print_rule(&config->rules[i], out);
}
