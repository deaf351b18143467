/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker put together: from a configuration to a loop that serves, and back.
 * Called by tapiod (main.c) and by tapio_broker_start() (embed.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/loop/child.h"
#include "broker/registry/adopt.h"
#include "broker/registry/channels.h"
#include "broker/session/quota.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

#ifdef TAPIO_TESTPOINTS
uint64_t tpi_tick_ns;
void (*tpi_ticked)(void);
#endif

static uint64_t tick_ns(void)
{
#ifdef TAPIO_TESTPOINTS
	/* Relaxed: one word, right with any value. */
	uint64_t ns = tpi_load_relaxed(&tpi_tick_ns);

	if (ns)
		return ns;
#endif
	return TPI_TICK_NS;
}

static void on_tick(struct tpi_timer *timer)
{
	struct tpi_broker *broker =
		(struct tpi_broker *)((char *)timer -
				      offsetof(struct tpi_broker, tick));

	tpi_log_refill(&broker->log);
	tpi_registry_test_rseq(&broker->registry, &broker->log);
	tpi_registry_note_keeper(&broker->registry);
	tpi_side_lanes_tick(&broker->registry, &broker->log);
	tpi_child_reap_late();
	tpi_sessions_tick(broker);
	tpi_reaper_tick(broker);
	tpi_isolation_tick(broker);
	tpi_evict_tick(broker);
	tpi_channels_tick(broker);
#ifdef TAPIO_TESTPOINTS
	if (tpi_ticked)
		tpi_ticked();
#endif
	tpi_timer_start(broker->loop, timer, tick_ns());
}

static void set_state(struct tpi_broker *broker, uint32_t state)
{
	/* ORDER broker.state (release): everything that was set up, or torn
	 * down, before it. Pairs with the acquire of clients (client/). */
	tpi_store_release(&broker->registry.catalog.broker->state, state);
	TPI_TESTPOINT("broker.state");
}

static const char *choose_socket(const struct tpi_broker *broker,
				 const struct tpi_broker_setup *setup)
{
	if (setup->socket)
		return setup->socket;
	if (broker->config.socket)
		return broker->config.socket;
	return setup->socket_default;
}

static int read_topology(struct tpi_broker *broker,
			 const struct tpi_broker_setup *setup, char *error,
			 size_t error_bytes)
{
	uint32_t nodes = setup->nodes ? setup->nodes : 1;
	int err;

	if (!setup->cpus) {
		err = tpi_topology_read(&broker->topology,
					"/sys/devices/system");
		if (err)
			tpi_fail(err, error, error_bytes,
				 "cannot read the CPUs from "
				 "/sys/devices/system: %s",
				 strerror(-err));
		return err;
	}
	err = tpi_topology_simulate(&broker->topology, setup->cpus, nodes);
	if (err)
		tpi_fail(err, error, error_bytes,
			 "a machine of %u CPUs and %u nodes cannot be "
			 "simulated: at most %d CPUs and %d nodes, and no more "
			 "nodes than CPUs",
			 setup->cpus, nodes, TPI_CPUS_MAX, TAPIO_NODES_MAX);
	return err;
}

/* "": the loop runs on io_uring. */
static const char *why_epoll(const struct tpi_broker *broker)
{
	const char *why;

	(void)tpi_loop_backend(broker->loop, &why);
	return why;
}

static int make_loop(struct tpi_broker *broker, char *error, size_t error_bytes)
{
	int err = tpi_loop_create(&broker->loop, error, error_bytes);
	const char *why = err ? "" : why_epoll(broker);

	if (*why)
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"the event loop runs on epoll: %s", why);
	else if (!err)
		tpi_log(&broker->log, TAPIO_LOG_INFO,
			"the event loop runs on io_uring");
	return err;
}

/* B4 to B8 of broker/registry/adopt.c. */
static int take_over(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;
	int err;

	tpi_groups_recall(broker);
	err = tpi_attachments_adopt(broker);
	if (err)
		return err;
	tpi_groups_make_whole(broker);
	tpi_adopt_empty_rest(registry);
	tpi_attachments_settle(broker);
	(void)tpi_channels_settle(broker);
	tpi_groups_reconcile(broker);
	tpi_registry_describe_again(registry, &broker->config, &broker->log);
	return 0;
}

static void discard(struct tpi_broker *broker)
{
	uint32_t count = tpi_adopt_nothing(broker->keep);

	if (count)
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"the memory of a former broker (%u descriptors) is "
			"given up, as was asked for",
			count);
}

static int make_registry(struct tpi_broker *broker,
			 const struct tpi_broker_setup *setup, char *error,
			 size_t error_bytes)
{
	int err;

	if (setup->discard_memory)
		discard(broker);
	err = tpi_registry_create(&broker->registry, &broker->config,
				  &broker->topology, broker->keep, &broker->log,
				  error, error_bytes);
	if (err || !broker->registry.adopted)
		return err;
	err = take_over(broker);
	if (err)
		tpi_fail(err, error, error_bytes,
			 "taking over the memory of a former broker: %s",
			 strerror(-err));
	return err;
}

static int set_up(struct tpi_broker *broker,
		  const struct tpi_broker_setup *setup, enum tpi_stage *stage,
		  char *error, size_t error_bytes)
{
	struct tpi_host *host;
	int err;

	*stage = TPI_STAGE_CONFIG;
	broker->config_later = setup->config_later;
	if (setup->config_file) {
		broker->config_file = strdup(setup->config_file);
		if (!broker->config_file)
			return tpi_fail(-ENOMEM, error, error_bytes,
					"out of memory");
	}
	err = tpi_config_load(&broker->config, setup->config_file,
			      setup->config_text, error, error_bytes);
	if (err)
		return err;
	*stage = TPI_STAGE_LOOP;
	err = make_loop(broker, error, error_bytes);
	if (err)
		return err;
	*stage = TPI_STAGE_MEMORY;
	err = read_topology(broker, setup, error, error_bytes);
	if (err)
		return err;
	err = make_registry(broker, setup, error, error_bytes);
	if (err)
		return err;
	if (!*why_epoll(broker))
		broker->registry.catalog.broker->features |=
			TAPIO_FEATURE_IO_URING;
	TPI_FOREACH_HOST (host, &broker->registry)
		tpi_groups_configured(broker, host);
	tpi_clock_start(broker);
	*stage = TPI_STAGE_SOCKET;
	return tpi_server_listen(broker, choose_socket(broker, setup), error,
				 error_bytes);
}

int tpi_broker_create(struct tpi_broker **out,
		      const struct tpi_broker_setup *setup,
		      enum tpi_stage *stage, char *error, size_t error_bytes)
{
	struct tpi_broker *broker = calloc(1, sizeof(*broker));
	int err;

	*out = NULL;
	*stage = TPI_STAGE_MEMORY;
	if (!broker)
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	TAILQ_INIT(&broker->processes);
	TAILQ_INIT(&broker->server.sessions);
	TAILQ_INIT(&broker->server.left);
	TAILQ_INIT(&broker->server.helpers.list);
	STAILQ_INIT(&broker->server.helpers.buried);
	broker->server.fd = -1;
	broker->server.lock_fd = -1;
	broker->server.spare_fd = -1;
	broker->log = setup->log;
	broker->keep = setup->keep;
	broker->log.burst = TPI_LOG_BURST;
	broker->tick.fire = on_tick;
	err = set_up(broker, setup, stage, error, error_bytes);
	if (err) {
		tpi_broker_destroy(broker);
		return err;
	}
	tpi_timer_start(broker->loop, &broker->tick, tick_ns());
	tpi_starts_begin(broker);
	set_state(broker, TAPIO_BROKER_RUNNING);
	*out = broker;
	return 0;
}

/*
 * The program has closed all descriptors (closefrom), and may have given their numbers to
 * files of its own. So none is closed or written to from here on.
 */
static void lose_descriptors(struct tpi_broker *broker)
{
	struct tpi_process *process;
	struct tpi_session *session;

	tpi_loop_lose(broker->loop);
	broker->server.fd = -1;
	broker->server.lock_fd = -1;
	broker->server.spare_fd = -1;
	broker->clock.watch.fd = -1;
	TAILQ_FOREACH (session, &broker->server.sessions, link)
		session->fd = -1;
	TAILQ_FOREACH (process, &broker->processes, link)
		process->pidfd = -1;
	tpi_unread_lose(&broker->server);
	tpi_helpers_lose(&broker->server.helpers);
	tpi_starts_lose(&broker->starts);
	tpi_registry_lose(&broker->registry);
}

/* Clients keep their mappings. They only have to know that we are gone. */
static void say_goodbye(struct tpi_broker *broker)
{
	struct tpi_host *host;

	set_state(broker, TAPIO_BROKER_STOPPED);
	tpi_serving_end(&broker->serving, broker->registry.catalog.broker);
	TPI_FOREACH_HOST (host, &broker->registry)
		tpi_host_wake(host);
	tpi_sessions_close_all(broker);
	tpi_server_unlisten(broker);
	tpi_helpers_stop(broker);
	tpi_starts_end(broker);
	tpi_registry_give_up(&broker->registry);
}

int tpi_broker_run(struct tpi_broker *broker,
		   void (*idle)(void *arg, bool waits), void *arg)
{
	int err;

	tpi_serving_begin(&broker->serving, broker->registry.catalog.broker,
			  &broker->log);
	err = tpi_loop_run(broker->loop, idle, arg);
	if (!tpi_loop_owned(broker->loop))
		lose_descriptors(broker);
	if (err)
		tpi_log(&broker->log, TAPIO_LOG_ERROR,
			"the event loop failed: %s", strerror(-err));
	say_goodbye(broker);
	return err;
}

/* A successor will take the memory over: this broker did not come to serve it. */
static bool has_successor(const struct tpi_registry *registry)
{
	return registry->adopted &&
	       registry->catalog.broker->state != TAPIO_BROKER_STOPPED;
}

/* The rest of the clients: freed without a sweep, since the memory goes with
 * it, or left to a successor. */
static void forget_clients(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;

	void (*forget)(struct tpi_registry * registry,
		       struct tpi_attachment * attachment) =
		has_successor(registry) ? tpi_attachment_leave
					: tpi_attachment_free;

	for (uint32_t i = 2; registry->attachments && i < registry->fresh_index;
	     i++)
		if (registry->attachments[i].id != TAPIO_NOBODY)
			forget(registry, &registry->attachments[i]);
	/* The kept part of memory that was not made to its end. */
	if (registry->catalog.broker && !registry->adopted)
		tpi_registry_give_up(registry);
}

void tpi_broker_destroy(struct tpi_broker *broker)
{
	if (!broker)
		return;
	if (broker->loop && !tpi_loop_owned(broker->loop))
		lose_descriptors(broker);
	if (broker->loop) {
		tpi_sessions_close_all(broker);
		tpi_starts_end(broker);
		forget_clients(broker);
		tpi_server_unlisten(broker);
		tpi_helpers_stop(broker);
		tpi_clock_stop(broker);
	}
	tpi_registry_destroy(&broker->registry);
	tpi_loop_destroy(broker->loop);
	tpi_topology_free(&broker->topology);
	tpi_config_free(&broker->config);
	free(broker->config_file);
	free(broker);
}
