/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer and a consumer that need nothing but a libc, so that the script beside
 * this file can build them with two libcs and let them meet.
 *
 *	client produce SOCKET COUNT LANES    LANES: `side`, or `any`
 *	client consume SOCKET COUNT          by tapio_fd(), that is with a thread
 *	client refuse  SOCKET                what a fork's child may not do
 *
 * An event is its number. Exit status 0: each has come once, and the stats say so.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/tapio.h>

#define TAG     TAPIO_TAG(1, 6)
#define THREADS 2

static char why[256];
static struct tapio_producer *producer;
static uint64_t count;

#define must(condition)                                               \
	do {                                                          \
		if (!(condition)) {                                   \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, \
				__LINE__, #condition, why);           \
			exit(1);                                      \
		}                                                     \
	} while (0)

static struct tapio_options options_for(const char *socket)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = socket,
		.connect_ns = INT64_C(5000000000),
		.error = why,
		.error_bytes = sizeof(why),
	};
}

/* Every second event is written in place, the others are copied. */
static void *emit(void *arg)
{
	struct tapio_reservation r;

	for (uint64_t i = (uintptr_t)arg; i < count; i += THREADS) {
		if (i / THREADS % 2) {
			must(!tapio_output(producer, TAG, &i, sizeof(i)));
			continue;
		}
		must(!tapio_reserve(producer, TAG, sizeof(i), &r));
		memcpy(r.data, &i, sizeof(i));
		must(!tapio_submit(producer, &r));
	}
	return NULL;
}

static int produce(const char *socket, const char *lanes)
{
	static const char *const words[] = {"unknown", "proven", "absent",
					    "broken", "inconclusive"};
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	struct tapio_options options = options_for(socket);
	pthread_t threads[THREADS];

	must(!tapio_producer_open(&producer, "events", &options));
	for (uintptr_t i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, emit, (void *)i));
	for (int i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
	must(!tapio_producer_stats_read(producer, &stats));
	must(stats.dropped == 0 && stats.held == 0);
	if (!strcmp(lanes, "side"))
		must(stats.side_lane);
	printf("published %llu, on %s, rseq %s\n",
	       (unsigned long long)stats.published,
	       stats.side_lane ? "side lanes" : "lanes of CPUs",
	       stats.rseq < 5 ? words[stats.rseq] : "?");
	tapio_producer_close(producer);
	return 0;
}

static void take(uint8_t *seen, const struct tapio_view *view)
{
	uint64_t i;

	must(!(view->flags & TAPIO_VIEW_GAP));
	must(view->length == sizeof(i));
	memcpy(&i, view->data, sizeof(i));
	must(i < count && !seen[i]);
	seen[i] = 1;
}

static int consume(const char *socket)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = options_for(socket),
		.group = "all",
	};
	uint8_t *seen = calloc(count, 1);
	struct tapio_consumer *consumer;
	struct tapio_view views[64];
	struct pollfd ready = {.events = POLLIN};
	uint64_t came = 0;
	int n;

	must(!tapio_consumer_open(&consumer, "events", &options));
	ready.fd = tapio_fd(consumer);
	must(ready.fd >= 0);
	/* From now on nothing is lost: the group has a member. */
	puts("ready");
	fflush(stdout);
	while (came < count) {
		n = tapio_poll(consumer, views, 64, 0);
		must(n >= 0);
		if (!n)
			must(poll(&ready, 1, 60000) == 1);
		for (int i = 0; i < n; i++)
			take(seen, &views[i]);
		came += (uint64_t)n;
		must(!tapio_release(consumer));
	}
	must(!tapio_poll(consumer, views, 64, 0));
	must(!tapio_consumer_stats_read(consumer, &stats));
	must(stats.delivered == count && !stats.lost && !stats.skipped &&
	     !stats.in_flight);
	printf("delivered %llu\n", (unsigned long long)stats.delivered);
	tapio_consumer_close(consumer);
	free(seen);
	return 0;
}

/* MADV_WIPEONFORK, or the atfork handler of this libc. */
static int refuse(const char *socket)
{
	struct tapio_options options = options_for(socket);
	int status;
	pid_t pid;

	must(!tapio_producer_open(&producer, "events", &options));
	pid = fork();
	if (!pid)
		_exit(tapio_output(producer, TAG, "x", 1) != -ECHILD);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	tapio_producer_close(producer);
	options.socket = "/nonexistent";
	options.connect_ns = 0;
	must(tapio_producer_open(&producer, "events", &options) ==
	     -ECONNREFUSED);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "produce")) {
		count = strtoull(argv[3], NULL, 10);
		return produce(argv[2], argv[4]);
	}
	if (argc == 4 && !strcmp(argv[1], "consume")) {
		count = strtoull(argv[3], NULL, 10);
		return consume(argv[2]);
	}
	if (argc == 3 && !strcmp(argv[1], "refuse"))
		return refuse(argv[2]);
	fprintf(stderr, "usage: see the head of client.c\n");
	return 2;
}
