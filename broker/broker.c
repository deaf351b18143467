/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker put together: from a configuration to a loop that serves, and back.
 * Called by tapiod (main.c) and by tapio_broker_start() (embed.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"

#ifdef TAPIO_TESTPOINTS
uint64_t tpi_tick_ns;
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
	tpi_side_lanes_tick(&broker->registry, &broker->log);
	tpi_sessions_tick(broker);
	tpi_reaper_tick(broker);
	tpi_evict_tick(broker);
	tpi_timer_start(broker->loop, timer, tick_ns());
}

static void set_state(struct tpi_broker *broker, uint32_t state)
{
	/* ORDER broker.state (release): everything that was set up, or torn
	 * down, before it. Pairs with the acquire of clients (client/). */
	tpi_store_release(&broker->registry.catalog.broker->state, state);
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

static int set_up(struct tpi_broker *broker,
		  const struct tpi_broker_setup *setup, enum tpi_stage *stage,
		  char *error, size_t error_bytes)
{
	int err;

	*stage = TPI_STAGE_CONFIG;
	err = tpi_config_load(&broker->config, setup->config_file,
			      setup->config_text, error, error_bytes);
	if (err)
		return err;
	*stage = TPI_STAGE_IO_URING;
	err = tpi_loop_create(&broker->loop, error, error_bytes);
	if (err)
		return err;
	*stage = TPI_STAGE_MEMORY;
	err = read_topology(broker, setup, error, error_bytes);
	if (err)
		return err;
	err = tpi_registry_create(&broker->registry, &broker->config,
				  &broker->topology, &broker->log, error,
				  error_bytes);
	if (err)
		return err;
	for (uint32_t i = 0; i < broker->registry.host_count; i++)
		tpi_groups_configured(broker, &broker->registry.hosts[i]);
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
	broker->server.fd = -1;
	broker->server.lock_fd = -1;
	broker->log = setup->log;
	broker->log.burst = TPI_LOG_BURST;
	broker->tick.fire = on_tick;
	err = set_up(broker, setup, stage, error, error_bytes);
	if (err) {
		tpi_broker_destroy(broker);
		return err;
	}
	tpi_timer_start(broker->loop, &broker->tick, tick_ns());
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
	broker->clock.watch.fd = -1;
	TAILQ_FOREACH (session, &broker->server.sessions, link)
		session->fd = -1;
	TAILQ_FOREACH (process, &broker->processes, link)
		process->pidfd = -1;
	tpi_registry_lose(&broker->registry);
}

/* Clients keep their mappings. They only have to know that we are gone. */
static void say_goodbye(struct tpi_broker *broker)
{
	set_state(broker, TAPIO_BROKER_STOPPED);
	tpi_server_unlisten(broker);
	for (uint32_t i = 0; i < broker->registry.host_count; i++)
		tpi_host_wake(&broker->registry.hosts[i]);
	tpi_sessions_close_all(broker);
}

int tpi_broker_run(struct tpi_broker *broker,
		   void (*idle)(void *arg, bool waits), void *arg)
{
	int err = tpi_loop_run(broker->loop, idle, arg);

	if (!tpi_loop_owned(broker->loop))
		lose_descriptors(broker);
	if (err)
		tpi_log(&broker->log, TAPIO_LOG_ERROR,
			"the event loop failed: %s", strerror(-err));
	say_goodbye(broker);
	return err;
}

/* The rest of the clients: freed without a sweep, since the memory goes with
 * it. */
static void forget_clients(struct tpi_broker *broker)
{
	struct tpi_registry *registry = &broker->registry;

	for (uint32_t i = 2;
	     registry->attachments && i < registry->catalog.attachment_count;
	     i++)
		if (registry->attachments[i].id != TAPIO_NOBODY)
			tpi_attachment_free(registry,
					    &registry->attachments[i]);
	for (uint32_t i = 0; i < registry->host_count; i++)
		tpi_host_forget(&registry->hosts[i]);
}

void tpi_broker_destroy(struct tpi_broker *broker)
{
	if (!broker)
		return;
	if (broker->loop && !tpi_loop_owned(broker->loop))
		lose_descriptors(broker);
	if (broker->loop) {
		tpi_sessions_close_all(broker);
		forget_clients(broker);
		tpi_server_unlisten(broker);
		tpi_clock_stop(broker);
	}
	tpi_registry_destroy(&broker->registry);
	tpi_loop_destroy(broker->loop);
	tpi_topology_free(&broker->topology);
	tpi_config_free(&broker->config);
	free(broker);
}
