/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See points.h: tapiod in this program, so with testpoints. A new keeper executes it again.
 * Letters to the broker come through a FIFO, since no client can ask for these things.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/keep/keeper.h"
#include "lib/base/atomic.h"
#include "tests/fault/points.h"

#define TICK_NS UINT64_C(20000000)

int __real_tpi_keeper_run(struct tpi_keeper_side *side, int failure);
int __wrap_tpi_keeper_run(struct tpi_keeper_side *side, int failure);
int __real_tpi_broker_run(struct tpi_broker *broker,
			  void (*idle)(void *arg, bool waits), void *arg);
int __wrap_tpi_broker_run(struct tpi_broker *broker,
			  void (*idle)(void *arg, bool waits), void *arg);
int tapiod_main(int argc, char **argv);

static struct tpi_broker *served; /* in a broker */
static struct tpi_watch commands;

int __wrap_tpi_keeper_run(struct tpi_keeper_side *side, int failure)
{
	tpi_store_relaxed(&board->keeper, (uint32_t)getpid());
	/* Release: the pid before it. */
	tpi_add_acq_rel(&board->keepers, 1);
	return __real_tpi_keeper_run(side, failure);
}

static struct tpi_group *group_named(struct tpi_host *host, const char *name)
{
	for (int i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (host->groups[i].state == TAPIO_SLOT_ACTIVE &&
		    !strcmp(host->groups[i].name, name))
			return &host->groups[i];
	return NULL;
}

static void spend_free_slots(const char *channel)
{
	struct tpi_host *host = tpi_registry_find(&served->registry, channel);

	for (int i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		if (host->groups[i].state != TAPIO_SLOT_FREE)
			continue;
		host->memory[i].spent = true;
		tpi_slot_memory_note(&host->memory[i]);
	}
}

static void on_command(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_host *host = tpi_registry_find(&served->registry, "b");
	struct tpi_group *group;
	char command;

	(void)events;
	if (read(watch->fd, &command, 1) != 1)
		return;
	group = group_named(host, command == 'm' ? "d" : "x");
	if (command == 's') {
		spend_free_slots("b");
		spend_free_slots("v");
	} else if (command == 'm' && group) {
		tpi_group_mend(served, host, group);
	} else if (command == 'e' && group) {
		tpi_group_evict(served, host, group);
	}
	tpi_add_relaxed(&board->answered, 1);
}

int __wrap_tpi_broker_run(struct tpi_broker *broker,
			  void (*idle)(void *arg, bool waits), void *arg)
{
	int fd = open(board->commands, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	served = broker;
	commands.ready = on_command;
	if (fd < 0 || tpi_watch_start(broker->loop, &commands, fd))
		_exit(20);
	points_serving();
	tpi_store_relaxed(&board->broker, (uint32_t)getpid());
	/* Release: the pid before it. */
	tpi_add_acq_rel(&board->serves, 1);
	return __real_tpi_broker_run(broker, idle, arg);
}

int points_host(int argc, char **argv)
{
	tpi_tick_ns = TICK_NS;
	points_be_tapiod();
	return tapiod_main(argc, argv);
}
