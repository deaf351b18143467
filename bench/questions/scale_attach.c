/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long it takes until so many processes are attached, and what the broker's
 * process needs for each.
 *
 *	server            driver                 clients
 *	serves            forks them             wait for their turn
 *	  up ------------> first turn ----------> attach, and note when
 *	                                          next turn (or all had it at once)
 *	measures  <------- all are there
 *	  measured ------> leave ---------------> end, as if killed
 *	stops     <------- all have gone
 *
 * All that wait sleep, and no process is pinned: the two CPUs are for those who
 * attach and for the broker. Each client is a process that never attached
 * before. On a busy host two more processes, one on each of the CPUs, do nothing
 * but use it, from the start to the end.
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/abi.h>
#include <tapio/tapio.h>

#include "bench/questions/scale.h"
#include "lib/base/atomic.h"

/* How long clients wait for a broker that is busy with others. */
#define PATIENCE_NS INT64_C(20000000000)
/* Descriptors: a connection and a pidfd each, and what the broker needs. */
#define FDS(clients) (2 * (clients) + 512)

struct client {
	sem_t turn;
	uint64_t start_ns;
	uint64_t end_ns;
	int err;
	char why[160];
};

struct board {
	sem_t up;
	sem_t there; /* once by each client */
	sem_t all;
	sem_t measured;
	sem_t leave;
	sem_t gone;
	struct client client[];
};

struct job {
	const struct scale_clients *who;
	char socket[64];
	uint32_t count;
	bool burst;
	struct board *board;
};

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem))
		;
}

/* ---- the server ----------------------------------------------------------------- */

static int serve(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct job *job = arg;
	uint64_t before, after;
	void *server;
	int err = job->who->serve(job->socket, &server);

	if (err)
		return err;
	before = scale_own_bytes();
	sem_post(&job->board->up);
	wait_for(&job->board->all);
	after = scale_own_bytes();
	sem_post(&job->board->measured);
	wait_for(&job->board->gone);
	job->who->stop(server);
	/* Its place in the catalog was there before, and is counted all the
	 * same. */
	shared->side[index].value[0] =
		(after > before ? (double)(after - before) : 0) / job->count +
		sizeof(struct tapio_shm_attachment);
	return 0;
}

/* ---- the clients ---------------------------------------------------------------- */

static _Noreturn void be_client(const struct job *job, uint32_t i, pid_t driver)
{
	struct client *own = &job->board->client[i];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != driver)
		_exit(1);
	wait_for(&own->turn);
	own->start_ns = bench_now_ns();
	own->err = job->who->attach(job->socket, own->why, sizeof(own->why));
	own->end_ns = bench_now_ns();
	if (!job->burst && i + 1 < job->count)
		sem_post(&job->board->client[i + 1].turn);
	sem_post(&job->board->there);
	wait_for(&job->board->leave);
	_exit(0);
}

static int fork_clients(const struct job *job)
{
	pid_t driver = getpid(), pid;

	for (uint32_t i = 0; i < job->count; i++) {
		pid = fork();
		if (!pid)
			be_client(job, i, driver);
		if (pid > 0)
			continue;
		bench_why("%u processes could be started: %s", i,
			  strerror(errno));
		return BENCH_ABSENT;
	}
	return 0;
}

/* In total. The median. The 99th of a hundred. */
static int figures_of(const struct job *job, double *value)
{
	const struct client *clients = job->board->client;
	double *took = calloc(job->count, sizeof(*took));
	uint64_t first = UINT64_MAX, last = 0;
	int err = took ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && i < job->count; i++) {
		const struct client *c = &clients[i];

		err = c->err;
		if (err)
			bench_why("client %u: %s: %s", i, strerror(-err),
				  c->why);
		if (c->start_ns < first)
			first = c->start_ns;
		if (c->end_ns > last)
			last = c->end_ns;
		took[i] = (double)(c->end_ns - c->start_ns);
	}
	if (!err) {
		value[0] = (double)(last - first);
		value[1] = bench_quantile(took, job->count, 0.5);
		value[2] = bench_quantile(took, job->count, 0.99);
	}
	free(took);
	return err;
}

static int drive(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct job *job = arg;
	struct board *board = job->board;
	int err = fork_clients(job);

	if (err)
		return err; /* the others end with us */
	wait_for(&board->up);
	for (uint32_t i = 0; i < (job->burst ? job->count : 1); i++)
		sem_post(&board->client[i].turn);
	for (uint32_t i = 0; i < job->count; i++)
		wait_for(&board->there);
	err = figures_of(job, shared->side[index].value);
	sem_post(&board->all);
	wait_for(&board->measured);
	for (uint32_t i = 0; i < job->count; i++)
		sem_post(&board->leave);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	sem_post(&board->gone);
	/* Relaxed: a flag. */
	tpi_store_relaxed(&shared->stop, 1);
	return err;
}

static int spin(void *arg, struct bench_shared *shared, unsigned int index)
{
	(void)arg;
	(void)index;
	while (!tpi_load_relaxed(&shared->stop))
		;
	return 0;
}

/* ---- Tapio ------------------------------------------------------------------------ */

static const char config[] = "channel events {\n"
			     "	class main { block = 256  blocks = 256 }\n"
			     "}\n";

static int serve_broker(const char *socket, void **server)
{
	struct tapio_broker *broker;
	int err = scale_broker(&broker, config, socket, 0);

	*server = broker;
	return err;
}

static void stop_broker(void *server)
{
	tapio_broker_stop(server);
}

static struct tapio_options options_of(const char *socket, char *why,
				       size_t why_bytes)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = socket,
		.connect_ns = PATIENCE_NS,
		.error = why,
		.error_bytes = why_bytes,
	};
}

static int produce(const char *socket, char *why, size_t why_bytes)
{
	struct tapio_options options = options_of(socket, why, why_bytes);
	struct tapio_producer *producer;

	return tapio_producer_open(&producer, "events", &options);
}

/* All members of one group. */
static int consume(const char *socket, char *why, size_t why_bytes)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = options_of(socket, why, why_bytes),
		.group = "all",
	};
	struct tapio_consumer *consumer;

	return tapio_consumer_open(&consumer, "events", &options);
}

const struct scale_clients scale_producers = {serve_broker, stop_broker,
					      produce};
const struct scale_clients scale_consumers = {serve_broker, stop_broker,
					      consume};

/* ---- running ------------------------------------------------------------------- */

static void init_board(struct board *board, uint32_t clients)
{
	sem_t *sems[] = {&board->up,       &board->there, &board->all,
			 &board->measured, &board->leave, &board->gone};

	for (size_t i = 0; i < sizeof(sems) / sizeof(sems[0]); i++)
		sem_init(sems[i], 1, 0);
	for (uint32_t i = 0; i < clients; i++)
		sem_init(&board->client[i].turn, 1, 0);
}

int scale_attach(const struct bench_run *run,
		 const struct bench_subject *subject, double *figures)
{
	static unsigned int runs;
	struct job job = {
		.who = subject->arg,
		.count = (uint32_t)run->events,
		.burst = run->of->param == SCALE_BURST,
	};
	const struct bench_side sides[] = {{-1, serve, &job},
					   {-1, drive, &job},
					   {run->cpus[0], spin, NULL},
					   {run->cpus[1], spin, NULL}};
	const bool busy = run->of->param == SCALE_QUEUE_BUSY;
	uint64_t bytes =
		sizeof(*job.board) + job.count * sizeof(job.board->client[0]);
	struct bench_shared shared;
	int err = scale_need_fds(FDS(job.count));

	if (err)
		return err;
	job.board = bench_memory(bytes);
	if (!job.board)
		return -ENOMEM;
	init_board(job.board, job.count);
	/* Another one each time: the last one's may live on for a moment, in what
	 * the kernel has still to do of its io_uring. */
	snprintf(job.socket, sizeof(job.socket), "@tapio-bench-%d-%u", getpid(),
		 ++runs);
	err = bench_sides_run(sides, busy ? 4 : 2, &shared);
	figures[0] = shared.side[1].value[0];
	figures[1] = shared.side[1].value[1];
	figures[2] = shared.side[1].value[2];
	figures[3] = shared.side[0].value[0];
	bench_memory_free(job.board, bytes);
	return err;
}
