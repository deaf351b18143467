/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another configuration for a broker that serves. Called on SIGHUP (main.c), on RELOAD
 * (session.c, for `tapiod --reload`), and by tapio_broker_reload() (embed.c).
 *
 * All or nothing, in this order:
 *
 *  R1  the file is read and checked whole, into memory of its own;
 *  R2  it is compared with the memory that there is. Another size, or a change that
 *	attached clients stand in the way of, is a refusal;
 *  R3  steps that can fail: new channels and groups are made, the socket's mode is set. A
 *	failure undoes them;
 *  R4  steps that cannot fail: groups change or end, new channels are shown, channels that
 *	are not named any more are removed (registry/channels.c), and the new
 *	configuration is in force.
 *
 * Rules, limits and shares are looked at when a client asks for something. So they bind
 * each request from R4 on, and each client keeps its attachment.
 *
 * Everything is on the broker's thread, so no request is between two configurations.
 * SIGKILL anywhere: the next broker reads the file by itself, and a channel that is not
 * READY is undone. SIGSTOP: clients that ask wait, and events go on.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/config/config_compare.h"
#include "broker/registry/channels.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"

#define LINES_MAX 32 /* of differences, in the log */

/* ---- R1 --------------------------------------------------------------------- */

/* A file of another kind may make us wait for its writer. */
static int check_kind(const char *file, char *error, size_t error_bytes)
{
	struct stat st;

	if (stat(file, &st))
		return tpi_fail(-errno, error, error_bytes, "%s: %s", file,
				strerror(errno));
	if (S_ISREG(st.st_mode))
		return 0;
	return tpi_fail(-EINVAL, error, error_bytes,
			"%s: it is no regular file, and a broker that serves "
			"waits for no other kind",
			file);
}

static int load(const struct tpi_broker *broker, const char *text,
		struct tpi_config *next, char *error, size_t error_bytes)
{
	const char *file = broker->config_file;
	int err = 0;

	if (text)
		return tpi_config_load(next, NULL, text, error, error_bytes);
	if (!file && !broker->config_later)
		return tpi_fail(-EINVAL, error, error_bytes,
				"this broker was started without a file: give "
				"the configuration as a text");
	if (!file && !access(broker->config_later, F_OK))
		file = broker->config_later;
	if (file)
		err = check_kind(file, error, error_bytes);
	return err ? err
		   : tpi_config_load(next, file, NULL, error, error_bytes);
}

/* ---- R2 --------------------------------------------------------------------- */

struct differences {
	struct tpi_broker *broker;
	uint32_t count;
	char first[400];
};

static void on_difference(void *arg, const char *difference, const char *remedy)
{
	struct differences *d = arg;

	if (!d->count)
		snprintf(d->first, sizeof(d->first), "%s: %s", difference,
			 remedy);
	if (d->count++ < LINES_MAX)
		tpi_log(&d->broker->log, TAPIO_LOG_ERROR, "reload: %s: %s",
			difference, remedy);
}

static int compare(struct tpi_broker *broker, struct tpi_config *next,
		   char *error, size_t error_bytes)
{
	struct differences d = {.broker = broker};
	struct tpi_config_memory memory = {
		.catalog = &broker->registry.catalog,
		.used_bytes = broker->registry.used_bytes,
		.now = &broker->config,
	};

	next->side_lanes_only = broker->config.side_lanes_only;
	tpi_registry_check_stamps(next, &broker->log);
	if (!tpi_config_compare(&memory, next, on_difference, &d))
		return 0;
	return tpi_fail(-EBUSY, error, error_bytes,
			"%u difference%s to what is served (the log of tapiod "
			"has each), the first is %s",
			d.count, TPI_PLURAL(d.count), d.first);
}

/* A channel that is not named any more has no group that is. */
static const struct tpi_config_channel nameless;

static const struct tpi_config_channel *next_of(const struct tpi_config *next,
						const struct tpi_host *host)
{
	const struct tpi_config_channel *channel =
		tpi_config_find(next, host->lanes.info.name);

	return channel ? channel : &nameless;
}

static int check_groups(struct tpi_broker *broker,
			const struct tpi_config *next, char *error,
			size_t error_bytes)
{
	struct tpi_host *host;
	int err = 0;

	TPI_FOREACH_HOST (host, &broker->registry)
		if (!err)
			err = tpi_groups_check(host, next_of(next, host), error,
					       error_bytes);
	return err;
}

/* ---- R3 --------------------------------------------------------------------- */

/* In a new channel all of them are new. */
static int make_groups(struct tpi_broker *broker, const struct tpi_config *next,
		       struct tpi_groups_changed *changed, char *error,
		       size_t error_bytes)
{
	struct tpi_registry *registry = &broker->registry;
	struct tpi_host *host;
	int err = 0;

	TPI_FOREACH_HOST (host, registry) {
		if (err)
			break;
		err = tpi_channel_exists(&registry->catalog, host->index)
			      ? tpi_groups_make(
					broker, host, next_of(next, host),
					&changed->made, error, error_bytes)
			      : tpi_groups_make_all(broker, host,
						    &changed->made, error,
						    error_bytes);
	}
	return err;
}

static int prepare(struct tpi_broker *broker, struct tpi_config *next,
		   struct tpi_groups_changed *changed, char *error,
		   size_t error_bytes)
{
	struct tpi_registry *registry = &broker->registry;
	struct tpi_host *host;
	int err = tpi_channels_make(registry, next, &broker->topology,
				    &broker->log, error, error_bytes);

	if (err)
		return err;
	err = make_groups(broker, next, changed, error, error_bytes);
	if (!err)
		err = tpi_socket_change(broker, next, error, error_bytes);
	if (!err)
		return 0;
	tpi_channels_unmake(registry);
	TPI_FOREACH_HOST (host, registry)
		tpi_groups_unmake(host, next_of(next, host));
	return err;
}

/* ---- R4 --------------------------------------------------------------------- */

static void settle_groups(struct tpi_broker *broker,
			  const struct tpi_config *next,
			  struct tpi_groups_changed *changed)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, &broker->registry)
		if (tpi_channel_exists(&broker->registry.catalog, host->index))
			tpi_groups_settle(broker, host, next_of(next, host),
					  changed);
}

/*
 * The channels of `next` are an array on the heap, so a host's
 * pointer into it holds though the struct itself is copied. Nothing else keeps a pointer
 * into a configuration: the server has a copy of its name, groups have copies of theirs,
 * and rules are walked by one request at a time, on this thread.
 */
static struct tpi_channels_changed put_in_force(struct tpi_broker *broker,
						struct tpi_config *next)
{
	struct tpi_registry *registry = &broker->registry;
	struct tpi_config old = broker->config;
	struct tpi_channels_changed channels;

	broker->config = *next;
	channels = tpi_channels_settle(broker);
	tpi_config_free(&old);
	memset(next, 0, sizeof(*next));
	/* Relaxed: shown only. */
	tpi_store_relaxed(&registry->catalog.broker->clients_max,
			  broker->config.clients_max);
	tpi_store_relaxed(&registry->catalog.broker->budget_bytes,
			  broker->config.budget_bytes);
	/* Without them clients are told to come again (accept.c). */
	(void)tpi_registry_raise_fds(registry, &broker->config, &broker->log,
				     NULL, 0);
	if (broker->server.helpers.hung)
		tpi_bar_update(broker); /* the mode is part of its list */
	return channels;
}

/* What a reload has done, for its answer. */
struct done {
	struct tpi_groups_changed groups;
	struct tpi_channels_changed channels;
	uint32_t made; /* channels */
};

static int change(struct tpi_broker *broker, struct tpi_config *next,
		  struct done *done, char *error, size_t error_bytes)
{
	int err = compare(broker, next, error, error_bytes);

	if (!err)
		err = check_groups(broker, next, error, error_bytes);
	if (!err)
		err = prepare(broker, next, &done->groups, error, error_bytes);
	if (err)
		return err;
	settle_groups(broker, next, &done->groups);
	done->made = tpi_channels_show(&broker->registry);
	done->channels = put_in_force(broker, next);
	/* Those that have nothing to drain. */
	tpi_channels_tick(broker);
	return 0;
}

/* ---- all of it ----------------------------------------------------------------- */

static void refuse(struct tpi_broker *broker, const char *why)
{
	tpi_add_relaxed(&broker->registry.catalog.broker->reload_refusals, 1);
	tpi_log(&broker->log, TAPIO_LOG_ERROR,
		"reload: refused, nothing has changed: %s", why);
}

int tpi_broker_reload(struct tpi_broker *broker, const char *text, char *said,
		      size_t said_bytes)
{
	struct done done = {0};
	struct tpi_config next = {0};
	char line[512] = "";
	int err = load(broker, text, &next, line, sizeof(line));

	if (!err)
		err = change(broker, &next, &done, line, sizeof(line));
	tpi_config_free(&next);
	if (err) {
		refuse(broker, line);
		snprintf(said, said_bytes, "%s", line);
		return err;
	}
	snprintf(line, sizeof(line),
		 "in force: %u allow rule%s, clients_max %u; groups: %u made, "
		 "%u changed, %u ended, %u left as durable ones; channels: %u "
		 "made, %u removed, %u taken back",
		 broker->config.rule_count,
		 TPI_PLURAL(broker->config.rule_count),
		 broker->config.clients_max, done.groups.made,
		 done.groups.retuned, done.groups.ended, done.groups.left,
		 done.made, done.channels.removed, done.channels.restored);
	tpi_add_relaxed(&broker->registry.catalog.broker->reloads, 1);
	tpi_log(&broker->log, TAPIO_LOG_NOTICE, "reload: %s%s%s",
		!text && broker->config_file ? broker->config_file : "",
		!text && broker->config_file ? ": " : "", line);
	snprintf(said, said_bytes, "%s", line);
	return 0;
}
