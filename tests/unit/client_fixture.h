/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker in this process and handles on its channels, for tests of the client
 * library from end to end.
 *
 * The same bodies run in both flavours, on CPUs' lanes and on side lanes
 * (tests/cpu_lanes.h), so configurations give both as many blocks, and a test that
 * counts on one lane pins its thread. A producer that is not on the lanes of the
 * flavour fails its test.
 */
#ifndef TAPIO_TESTS_CLIENT_FIXTURE_H
#define TAPIO_TESTS_CLIENT_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tapio/broker.h>
#include <tapio/tapio.h>

#include "client/consumer/consumer.h"
#include "client/producer/producer.h"
#include "lib/lane/ledger.h"
#include "tests/check_main.h"
#include "tests/cpu_lanes.h"

/* 64 blocks of 256 bytes per lane, no time stamps, lossless for every group
 * that asks. */
#define RIG_CLASS                           \
	"class main { block = 256\n"        \
	"blocks = 64\n side_blocks = 64\n " \
	"side_lanes = 8 }\n"
#define RIG_CONFIG "channel t { stamp = \"none\"\n" RIG_CLASS "}\n"

#define TAG TAPIO_TAG(100, 5)

/* On a busy machine, and under valgrind, a broker may take long. */
#define RIG_ANSWER_NS INT64_C(60000000000)

struct rig {
	struct tapio_broker *broker;
	struct tapio_options options;
	char error[512];
};
static struct rig rig;

/* Opens go to that broker, which may be restarted meanwhile. */
static inline void rig_use(const char *socket)
{
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = socket,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
		.connect_ns = RIG_ANSWER_NS,
	};
}

static inline void rig_start(const char *config)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
	};
	int err = tapio_broker_start(&rig.broker, &options);

	ck_assert_msg(!err, "broker: %s: %s", strerror(-err), rig.error);
	rig_use(tapio_broker_socket(rig.broker));
	rig.options.connect_ns = 0; /* it is there */
}

static inline void rig_stop(void)
{
	tapio_broker_stop(rig.broker);
	rig.broker = NULL;
}

/* Whether this process works on CPUs' lanes. */
static inline bool on_cpu_lanes(const struct tapio_producer *p)
{
	return p->now->emit.cpus != 0;
}

/* For tests that take CPUs' lanes away from a producer. */
static inline struct tapio_producer *rig_producer_anywhere(void)
{
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, "t", &rig.options);

	ck_assert_msg(!err, "producer: %s: %s", strerror(-err), rig.error);
	return p;
}

static inline struct tapio_producer *rig_producer(void)
{
	struct tapio_producer *p = rig_producer_anywhere();

	ck_assert_msg(on_cpu_lanes(p) == !side_flavour(),
		      "producer on %s lanes",
		      on_cpu_lanes(p) ? "CPUs'" : "side");
	return p;
}

static inline struct tapio_consumer *
rig_open(const struct tapio_consumer_options *options)
{
	struct tapio_consumer_options copy = *options;
	struct tapio_consumer *c;
	int err;

	copy.size = sizeof(copy);
	copy.broker = rig.options;
	err = tapio_consumer_open(&c, "t", &copy);
	ck_assert_msg(!err, "consumer: %s: %s", strerror(-err), rig.error);
	return c;
}

/* `group` NULL: one of its own. */
static inline struct tapio_consumer *rig_consumer(const char *group,
						  uint32_t policy)
{
	struct tapio_consumer_options options = {
		.group = group,
		.policy = policy,
	};

	return rig_open(&options);
}

static inline struct tapio_observer *rig_observer(uint32_t start)
{
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.start = start,
	};
	struct tapio_observer *o;
	int err = tapio_observer_open(&o, "t", &options);

	ck_assert_msg(!err, "observer: %s: %s", strerror(-err), rig.error);
	return o;
}

/* The CPUs that this process could use at first. Known before main. */
static cpu_set_t rig_cpus;

__attribute__((constructor)) static void rig_find_cpus(void)
{
	if (sched_getaffinity(0, sizeof(rig_cpus), &rig_cpus))
		CPU_SET(0, &rig_cpus);
}

static inline int cpu_count(void)
{
	return CPU_COUNT(&rig_cpus);
}

/* Open descriptors of this process. */
static inline int rig_open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Pins the calling thread to the n-th of them. */
static inline void pin(int n)
{
	cpu_set_t one;
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &rig_cpus) && !n--)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* Polls once without waiting. Fails on an error. */
static inline unsigned int look(struct tapio_consumer *c,
				struct tapio_view *views, unsigned int max)
{
	int n = tapio_poll(c, views, max, 0);

	ck_assert_msg(n >= 0, "poll: %s", strerror(-n));
	return (unsigned int)n;
}

/* Reads and releases all there is. How many events. */
static inline uint64_t drain(struct tapio_consumer *c)
{
	struct tapio_view views[64];
	uint64_t sum = 0;
	unsigned int n;

	while ((n = look(c, views, 64))) {
		sum += n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	return sum;
}

static inline struct tapio_consumer_stats group_stats(struct tapio_consumer *c)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(tapio_consumer_stats_read(c, &stats), 0);
	return stats;
}

static inline struct tapio_producer_stats
channel_stats(struct tapio_producer *p)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(tapio_producer_stats_read(p, &stats), 0);
	return stats;
}

/* The refusals on all lanes for one cause. */
static inline uint64_t dropped(const struct tapio_producer *p,
			       unsigned int cause)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < p->now->emit.lane_count; i++)
		sum += tpi_load_relaxed(
			&p->now->emit.lanes[i].shm->dropped[cause]);
	return sum;
}

/*
 * The ledger of the consumer's group on every lane balances, and has these sums.
 */
static inline void assert_ledger(struct tapio_consumer *c, uint64_t delivered,
				 uint64_t skipped, uint64_t lost)
{
	const struct tapio_shm_group *group =
		&c->now->client.groups[c->now->client.granted.group_slot];
	struct tpi_ledger ledger, sum = {0};
	uint32_t i;

	for (i = 0; i < c->now->lane_count; i++) {
		ck_assert_int_eq(tpi_ledger_read(c->now->tracks[i].lane, group,
						 c->now->tracks[i].cursor,
						 &ledger),
				 0);
		ck_assert_msg(!ledger.faults, "lane %u: faults 0x%x", i,
			      ledger.faults);
		ck_assert_uint_eq(ledger.published,
				  ledger.delivered + ledger.skipped +
					  ledger.lost + ledger.in_flight);
		sum.delivered += ledger.delivered;
		sum.skipped += ledger.skipped;
		sum.lost += ledger.lost;
		sum.in_flight += ledger.in_flight;
	}
	ck_assert_uint_eq(sum.delivered, delivered);
	ck_assert_uint_eq(sum.skipped, skipped);
	ck_assert_uint_eq(sum.lost, lost);
	ck_assert_uint_eq(sum.in_flight, 0);
}

/* Nothing is held any more, on any lane. */
static inline void assert_nothing_held(struct tapio_producer *p)
{
	ck_assert_uint_eq(channel_stats(p).held, 0);
}

static inline void nap_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000,
			     .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/*
 * Waits until this process has no more descriptors than that. A broker in it closes its ends
 * of connections, and those of its children that have ended, some time later.
 */
static inline void rig_assert_fds(int most)
{
	int64_t until = tpi_now_ns() + INT64_C(60000000000);

	while (rig_open_fds() > most && tpi_now_ns() < until)
		nap_ms(1);
	ck_assert_int_le(rig_open_fds(), most);
}

/* Waits for a child. True when it ended with status 0. */
static inline bool child_ok(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline int rig_run(Suite *suite)
{
	return check_run(suite);
}

#endif
