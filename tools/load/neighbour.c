/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel beside: see neighbour.h. Two processes, forked by the leader, and one
 * page that the three share. The producer numbers its events. Whether each came
 * once is told by how many came, by their sum, and by their order within a lane.
 */
#include "tools/load/neighbour.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tapio/consumer.h>
#include <tapio/producer.h>

#include "lib/base/atomic.h"

#define GROUP    "neighbour"
#define TAG      TAPIO_TAG(1, 6)
#define POLL_NS  INT64_C(50000000)
#define START_NS INT64_C(60000000000)
#define END_NS   INT64_C(20000000000)
#define NAP_NS   1000000
#define PHASES   3

struct load_neighbour {
	struct load_place producer, consumer;
	uint32_t stop;   /* the producer is to end, */
	uint32_t finish; /* and then the consumer */
	uint64_t received __attribute__((aligned(LOAD_LINE)));
	uint64_t sum; /* of numbers received */
	uint64_t disordered;
	uint64_t next[TAPIO_CLIENTS_MAX]; /* [lane]: 1 + last number */
	/* The leader's. */
	int64_t at_ns[PHASES]; /* when each phase began */
	uint64_t seen[PHASES]; /* how many had come by then */
};

struct event {
	uint64_t number;
	uint64_t padding[7];
};

static void nap(void)
{
	const struct timespec t = {.tv_nsec = NAP_NS};

	nanosleep(&t, NULL);
}

/* The index that its processes are forked with says nothing. This does. */
static struct load_neighbour *here;

/* ---- the producer ------------------------------------------------------------ */

/* Sleeps until the next event is due, if there is a rate. */
static void pace(const struct load_run *run, int64_t *next_ns)
{
	int64_t now = tpi_monotonic_ns();

	if (!run->options.rate)
		return;
	if (now - *next_ns > 1000000000)
		*next_ns = now; /* it was stopped: no rush */
	*next_ns += 1000000000 / (int64_t)run->options.rate;
	if (*next_ns > now)
		tpi_sleep_until(*next_ns);
}

static int emit(struct load_run *run, struct tapio_producer *p)
{
	struct load_place *place = &here->producer;
	struct event event = {0};
	int64_t next_ns = tpi_monotonic_ns();
	int err = 0;

	load_wait_for_go(run->scoreboard);
	while (!err && !tpi_load_relaxed(&here->stop)) {
		pace(run, &next_ns);
		err = tapio_output(p, TAG, &event, sizeof(event));
		if (!err) {
			tpi_store_relaxed(&place->sent, ++event.number);
		} else if (err == -EAGAIN || err == -ETIMEDOUT) {
			place->refused++;
			nap();
			err = 0;
		}
	}
	return err;
}

static int producer(struct load_run *run, uint32_t index)
{
	struct load_place *place = &here->producer;
	char why[256] = "";
	struct tapio_options broker = load_broker(run, why, sizeof(why));
	struct tapio_producer *p;
	int err;

	(void)index;
	err = tapio_producer_open(&p, LOAD_NEIGHBOUR_CHANNEL, &broker);
	if (err)
		return load_place_failed(place, err, "opening a producer", why);
	tpi_store_release(&place->state, LOAD_RUNNING);
	err = emit(run, p);
	tapio_producer_close(p);
	return err ? load_place_failed(place, err, "emitting", NULL) : 0;
}

/* ---- the consumer --------------------------------------------------------------- */

static void take(const struct tapio_view *view)
{
	const struct event *event = view->data;
	uint64_t *next = &here->next[view->lane % TAPIO_CLIENTS_MAX];

	if (view->flags & TAPIO_VIEW_GAP || view->length != sizeof(*event) ||
	    event->number < *next) {
		here->disordered++;
		return;
	}
	*next = event->number + 1;
	here->sum += event->number;
	/* Relaxed: counts that the leader shows. */
	tpi_store_relaxed(&here->received, here->received + 1);
}

static int consume(struct tapio_consumer *c)
{
	struct tapio_view views[64];
	int n = 0;

	while (n >= 0 && !tpi_load_relaxed(&here->finish)) {
		n = tapio_poll(c, views, 64, POLL_NS);
		for (int i = 0; i < n; i++)
			take(&views[i]);
		if (n > 0 && tapio_release(c) < 0)
			return -EIO;
		if (n == -EINTR)
			n = 0;
	}
	return n < 0 ? n : 0;
}

static int consumer(struct load_run *run, uint32_t index)
{
	struct load_place *place = &here->consumer;
	char why[256] = "";
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = load_broker(run, why, sizeof(why)),
		.group = GROUP,
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_consumer *c;
	int err;

	(void)index;
	err = tapio_consumer_open(&c, LOAD_NEIGHBOUR_CHANNEL, &options);
	if (err)
		return load_place_failed(place, err, "opening a consumer", why);
	tpi_store_release(&place->state, LOAD_RUNNING);
	err = consume(c);
	tapio_consumer_close(c);
	return err ? load_place_failed(place, err, "consuming", NULL) : 0;
}

/* ---- the leader ------------------------------------------------------------------- */

static uint32_t state_of(const struct load_place *place)
{
	/* ORDER load_place.state (acquire): see load_place_failed(). */
	return tpi_load_acquire(&place->state);
}

static void start(struct load_run *run, struct load_place *place,
		  int (*work)(struct load_run *run, uint32_t index))
{
	int64_t until = tpi_monotonic_ns() + START_NS;
	pid_t pid = load_fork(run, work, 0);

	if (pid < 0) {
		load_fail(run, "fork: %s", strerror(-pid));
		return;
	}
	place->pid = pid;
	while (state_of(place) == LOAD_STARTING && tpi_monotonic_ns() < until)
		nap();
	if (state_of(place) != LOAD_RUNNING)
		load_fail(run, "neighbour: %s",
			  *place->why ? place->why : "it does not start");
}

struct load_neighbour *load_neighbour_start(struct load_run *run)
{
	here = mmap(NULL, sizeof(*here), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (here == MAP_FAILED) {
		load_fail(run, "no memory for the neighbour: %s",
			  strerror(errno));
		return here = NULL;
	}
	start(run, &here->consumer, consumer);
	if (!run->failed)
		start(run, &here->producer, producer);
	return here;
}

bool load_neighbour_ended(struct load_neighbour *neighbour, pid_t pid)
{
	struct load_place *places[] = {&neighbour->producer,
				       &neighbour->consumer};

	for (int i = 0; i < 2; i++)
		if (places[i]->pid == pid) {
			places[i]->pid = 0;
			return true;
		}
	return false;
}

void load_neighbour_phase(struct load_neighbour *neighbour, unsigned int phase)
{
	neighbour->at_ns[phase] = tpi_monotonic_ns();
	neighbour->seen[phase] = tpi_load_relaxed(&neighbour->received);
}

/* Whether the group's ledger says `sent`, all of it delivered. */
static bool ledger_agrees(const struct load_run *run, uint64_t sent)
{
	const struct tpi_inspect *inspect = run->inspect;
	uint32_t channel = run->neighbour_channel;
	uint32_t lanes = inspect->channels[channel].channel.lane_count;
	const struct tapio_shm_group *groups =
		tpi_inspect_groups(inspect, channel);
	uint64_t delivered = 0;
	struct tpi_ledger l;

	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		if (strncmp(groups[slot].name, GROUP, sizeof(GROUP)))
			continue;
		for (uint32_t lane = 0; lane < lanes; lane++) {
			if (tpi_inspect_ledger(inspect, channel, lane, slot,
					       &l))
				return false;
			if (l.faults || l.lost || l.skipped || l.in_flight)
				return false;
			delivered += l.delivered;
		}
	}
	return delivered == sent;
}

void load_neighbour_finish(struct load_run *run,
			   struct load_neighbour *neighbour,
			   struct load_neighbour_result *result)
{
	int64_t until = tpi_monotonic_ns() + END_NS;
	uint64_t sent;
	bool agrees;

	tpi_store_relaxed(&neighbour->stop, 1);
	load_end(run, &neighbour->producer, "neighbour", END_NS);
	sent = tpi_load_relaxed(&neighbour->producer.sent);
	while (!(agrees = ledger_agrees(run, sent)) &&
	       tpi_monotonic_ns() < until)
		nap();
	tpi_store_relaxed(&neighbour->finish, 1);
	load_end(run, &neighbour->consumer, "neighbour", END_NS);
	*result = (struct load_neighbour_result){
		.before = neighbour->seen[1] - neighbour->seen[0],
		.during = neighbour->seen[2] - neighbour->seen[1],
		.before_ns = neighbour->at_ns[1] - neighbour->at_ns[0],
		.during_ns = neighbour->at_ns[2] - neighbour->at_ns[1],
		.sent = sent,
		.received = neighbour->received,
		.refused = neighbour->producer.refused,
		.disordered = neighbour->disordered,
	};
	result->exact = agrees && result->received == sent &&
			!result->disordered &&
			neighbour->sum == (sent % 2 ? (sent - 1) / 2 * sent
						    : sent / 2 * (sent - 1));
	munmap(neighbour, sizeof(*neighbour));
	here = NULL;
}
