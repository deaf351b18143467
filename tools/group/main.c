/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-group: lists the groups of a broker's channels, and removes one that is
 * no longer needed. Listing looks only, as tapio-shmstat does. Removing asks
 * the broker, which decides about the right to it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/consumer.h>

#include "lib/base/atomic.h"
#include "lib/memory/policy.h"
#include "tools/common/tool.h"
#include "tools/inspect/inspect.h"

#define TIMEOUT_NS  INT64_C(2000000000)
#define COUNT_BYTES 24

enum command {
	COMMAND_NONE,
	COMMAND_LIST,
	COMMAND_REMOVE,
};

struct arguments {
	struct tpi_connect connect;
	enum command command;
	const char *channel; /* list: NULL: all */
	const char *group;
};

static const char doc[] =
	"Lists groups of consumers, or removes one.\v"
	"remove ends a durable group that has no members: its events are no longer "
	"kept for it. Allowed for the uid that made the group, for the broker's "
	"uid and for root.\n"
	"\n"
	"Examples:\n"
	"  tapio-group list events\n"
	"  tapio-group remove events nightly-export\n"
	"\n"
	"Exit status: 0 done, 1 failure (also a group with members), 2 usage, 3 "
	"no broker, 4 no such channel or group, or no right to it.";

static void parse_command(struct arguments *args, struct argp_state *state,
			  const char *word)
{
	if (!strcmp(word, "list"))
		args->command = COMMAND_LIST;
	else if (!strcmp(word, "remove"))
		args->command = COMMAND_REMOVE;
	else
		argp_error(state, "'%s' is not a command: list or remove",
			   word);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->connect;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			parse_command(args, state, arg);
		else if (state->arg_num == 1)
			args->channel = arg;
		else if (state->arg_num == 2 && args->command != COMMAND_LIST)
			args->group = arg;
		else
			argp_error(state, "unexpected argument '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		if (args->command == COMMAND_NONE)
			argp_error(state,
				   "a command is missing: list or remove");
		if (args->command == COMMAND_REMOVE && !args->group)
			argp_error(state, "remove needs a channel and a group");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- remove -------------------------------------------------------------------- */

static int ask(void *arg, const struct tapio_options *options)
{
	const struct arguments *args = arg;

	return tapio_group_remove(options, args->channel, args->group);
}

static int remove_group(struct arguments *args)
{
	int err = tpi_connect(&args->connect, ask, args);

	switch (err) {
	case 0:
		return TPI_EXIT_OK;
	case -ENOENT:
	case -ENXIO:
	case -EACCES:
	case -EPERM:
	case -EBUSY:
	case -EINVAL:
	case -ENAMETOOLONG:
	case -EOPNOTSUPP:
		tpi_say("%s", args->connect.error[0] ? args->connect.error
						     : strerror(-err));
		return err == -ENOENT || err == -ENXIO || err == -EACCES ||
				       err == -EPERM
			       ? TPI_EXIT_REFUSED
			       : TPI_EXIT_FAILURE;
	default:
		break;
	}
	return (int)tpi_connect_failed(&args->connect, args->channel, err);
}

/* ---- list ---------------------------------------------------------------------- */

struct counts {
	bool had; /* or they are unknown */
	uint64_t unread;
	uint64_t lost;
};

static struct counts count(const struct tpi_inspect *inspect, uint32_t channel,
			   uint32_t slot)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];
	uint32_t lanes = c->channel.lane_count;
	struct counts counts = {.had = c->cursors[slot].cursors != NULL};
	struct tpi_ledger l;

	for (uint32_t i = 0; i < lanes; i++) {
		if (tpi_inspect_ledger(inspect, channel, i, slot, &l))
			continue;
		counts.unread += l.in_flight;
		counts.lost += l.lost;
	}
	return counts;
}

static void print_count(char text[COUNT_BYTES], bool had, uint64_t count)
{
	if (had)
		snprintf(text, COUNT_BYTES, "%llu", (unsigned long long)count);
	else
		snprintf(text, COUNT_BYTES, "-");
}

static void print_group(const struct tpi_inspect *inspect, uint32_t channel,
			const char *channel_name, uint32_t slot)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(inspect, channel)[slot];
	/* ORDER group.slot (acquire): the name is that of the group whose state
	 * this is. Pairs with the broker's release. */
	uint64_t word = tpi_load_acquire(&group->slot);
	const char *policy = tpi_policy_name(tpi_inspect_policy(group, word));
	struct counts counts;
	char name[TAPIO_NAME_BYTES], unread[COUNT_BYTES], lost[COUNT_BYTES];

	if (TAPIO_SLOT_STATE(word) != TAPIO_SLOT_ACTIVE)
		return;
	memcpy(name, group->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	counts = count(inspect, channel, slot);
	print_count(unread, counts.had, counts.unread);
	print_count(lost, counts.had, counts.lost);
	printf("%-15s %-15s %-8s %-7s %7u %10u %12s %12s\n", channel_name,
	       name[0] ? name : "-", policy,
	       /* Relaxed: shown, each by itself. */
	       tpi_load_relaxed(&group->flags) & TAPIO_GROUP_FLAG_DURABLE
		       ? "durable"
		       : "-",
	       tpi_load_relaxed(&group->members), group->uid, unread, lost);
}

/* On stderr, why counts of its groups are not there. Whether there is no right to them. */
static bool say_missing(const struct tpi_inspect_channel *c, const char *name)
{
	if (*c->why)
		tpi_say("channel %s is not read: %s", name, c->why);
	return *c->why && c->denied;
}

/* Whether the channel is there. If not, it says which ones are. */
static bool is_there(const struct tpi_inspect *inspect, const char *name)
{
	struct tapio_shm_channel info;
	char names[512] = "";
	size_t used = 0;

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		if (tpi_channel_look(&inspect->catalog, c, &info, NULL, 0))
			continue;
		if (!strcmp(name, info.name))
			return true;
		if (used < sizeof(names))
			used += (size_t)snprintf(
				names + used, sizeof(names) - used, "%s\"%s\"",
				used ? ", " : "", info.name);
	}
	tpi_say("no channel \"%s\"; this broker has %s%s", name, names,
		used < sizeof(names) ? "" : "...");
	return false;
}

/* Groups of one channel, or of all. */
static void print_groups(const struct tpi_inspect *inspect, const char *only,
			 bool *denied)
{
	struct tapio_shm_channel info;

	printf("%-15s %-15s %-8s %-7s %7s %10s %12s %12s\n", "CHANNEL", "GROUP",
	       "POLICY", "STAYS", "MEMBERS", "UID", "UNREAD", "LOST");
	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		if (tpi_channel_look(&inspect->catalog, c, &info, NULL, 0) ||
		    (only && strcmp(only, info.name)))
			continue;
		for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
			print_group(inspect, c, info.name, slot);
		*denied |= say_missing(&inspect->channels[c], info.name);
	}
}

static int open_inspect(struct arguments *args, struct tpi_inspect **inspect)
{
	struct tpi_inspect_options options = {
		.socket = tpi_connect_socket(&args->connect),
		.timeout_ns = TIMEOUT_NS,
	};
	int64_t deadline_ns =
		tpi_deadline_ns(tpi_monotonic_ns(), args->connect.wait_ns);
	int err;

	/* As tpi_connect() does it, for a look that is no attachment. */
	do {
		err = tpi_inspect_open(inspect, &options, args->connect.error,
				       sizeof(args->connect.error));
	} while (err && tpi_monotonic_ns() < deadline_ns &&
		 tpi_sleep_until(tpi_monotonic_ns() + 10000000));
	return err;
}

static int list(struct arguments *args)
{
	struct tpi_inspect *inspect;
	bool denied = false, found;
	int err = open_inspect(args, &inspect);

	if (err) {
		tpi_say("%s", args->connect.error[0] ? args->connect.error
						     : strerror(-err));
		return err == -EPROTONOSUPPORT || err == -EACCES
			       ? TPI_EXIT_REFUSED
		       : err == -ENOMEM ? TPI_EXIT_FAILURE
					: TPI_EXIT_NO_BROKER;
	}
	found = !args->channel || is_there(inspect, args->channel);
	if (found)
		print_groups(inspect, args->channel, &denied);
	tpi_inspect_close(inspect);
	return !found || denied ? TPI_EXIT_REFUSED : TPI_EXIT_OK;
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&tpi_connect_argp, 0, "Broker:", 0}, {0}};
	static const struct argp argp = {
		NULL, parse,    "list [CHANNEL]\nremove CHANNEL GROUP",
		doc,  children, NULL,
		NULL};
	struct arguments args = {.command = COMMAND_NONE};

	tpi_tool_init("tapio-group");
	argp_parse(&argp, argc, argv, 0, NULL, &args);
	tpi_signals_init();
	return args.command == COMMAND_LIST ? list(&args) : remove_group(&args);
}
