/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of replace_world.h: `replace_client ROLE SOCKET FD`. The same source is built with a
 * library of another minor number, too.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "lib/base/atomic.h"
#include "lib/wire/fdpass.h"
#include "tests/fault/replace_world.h"

#define TAG     TAPIO_TAG(100, 5)
#define BURST   16 /* and a nap, so that a test has numbers enough */
#define PATIENT INT64_C(30000000000)

static struct replace_shared *me;
static enum replace_role role;
static struct tapio_options options;
static char error[256];

__attribute__((noreturn, format(printf, 1, 2))) static void
give_up(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(me->error[role], sizeof(me->error[role]), format, args);
	va_end(args);
	exit(1);
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* Relaxed here and below: each word is a count, or ends a loop. */
static bool stops(const uint32_t *word)
{
	return tpi_load_relaxed(word) != 0;
}

static bool comes_back(struct tapio_producer *p)
{
	for (int i = 0; i < 10000 && !tapio_producer_connected(p); i++)
		nap(1000000);
	return tapio_producer_connected(p);
}

static void produce(void)
{
	struct tapio_producer *p;
	uint32_t n = 0;
	int err = tapio_producer_open(&p, "a", &options);

	if (err)
		give_up("producer: %s: %s", strerror(-err), error);
	while (!stops(&me->stop) && n < REPLACE_NUMBERS) {
		err = tapio_output(p, TAG, &n, sizeof(n));
		if (!err)
			tpi_store_relaxed(&me->accepted, ++n);
		else if (err != -EAGAIN)
			give_up("output: %s", strerror(-err));
		if (err || n % BURST == 0)
			nap(500000);
	}
	tpi_store_relaxed(&me->connected, comes_back(p));
	if (!tpi_load_relaxed(&me->connected))
		snprintf(me->error[role], sizeof(me->error[role]), "%s",
			 tapio_producer_error(p));
	tpi_store_release(&me->done, 1);
	tapio_producer_close(p);
}

static void note(const struct tapio_view *view)
{
	uint32_t n;

	if (view->length != sizeof(n))
		give_up("an event of %u bytes", view->length);
	memcpy(&n, view->data, sizeof(n));
	if (n >= REPLACE_NUMBERS)
		give_up("event %u", n);
	if (me->seen[n]++)
		tpi_add_relaxed(&me->twice, 1);
	else
		tpi_add_relaxed(&me->read, 1);
}

static bool has_all(void)
{
	return tpi_load_acquire(&me->done) &&
	       tpi_load_relaxed(&me->read) >= tpi_load_relaxed(&me->accepted);
}

static void consume(void)
{
	struct tapio_consumer_options how = {
		.size = sizeof(how), .broker = options, .group = "g"};
	struct tapio_view views[32];
	struct tapio_consumer *c;
	int n = tapio_consumer_open(&c, "a", &how);

	if (n)
		give_up("consumer: %s: %s", strerror(-n), error);
	tpi_store_release(&me->consumes, 1);
	while (!stops(&me->stop_all) && !has_all()) {
		n = tapio_poll(c, views, 32, 5000000);
		if (n < 0)
			give_up("poll: %s", strerror(-n));
		for (int i = 0; i < n; i++)
			note(&views[i]);
		tapio_release(c);
	}
	/* Events that come twice come now. */
	for (int i = 0; i < 5; i++) {
		n = tapio_poll(c, views, 32, 5000000);
		for (int k = 0; k < n; k++)
			note(&views[k]);
		tapio_release(c);
	}
	tapio_consumer_close(c);
}

/* No connection is refused, at any time. */
static void connect_all_the_time(void)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, options.socket);

	while (!stops(&me->stop_others)) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		if (connect(fd, (void *)&address, (socklen_t)length)) {
			snprintf(me->error[role], sizeof(me->error[role]),
				 "connect: %s", strerror(errno));
			tpi_add_relaxed(&me->connect_failures, 1);
		}
		close(fd);
		tpi_add_relaxed(&me->connects, 1);
		nap(300000);
	}
}

static void open_all_the_time(void)
{
	struct tapio_observer_options how = {
		.size = sizeof(how),
		.broker = options,
		.start = TAPIO_START_NEWEST,
	};

	while (!stops(&me->stop_others)) {
		struct tapio_observer *o;
		int err = tapio_observer_open(&o, "a", &how);

		tpi_add_relaxed(&me->opens, 1);
		if (err) {
			snprintf(me->error[role], sizeof(me->error[role]),
				 "open: %s: %.200s", strerror(-err), error);
			tpi_add_relaxed(&me->open_failures, 1);
			continue;
		}
		nap(1000000);
		tapio_observer_close(o);
	}
}

int main(int argc, char **argv)
{
	static void (*const roles[])(void) = {
		produce, consume, connect_all_the_time, open_all_the_time};

	if (argc != 4)
		return 2;
	role = (enum replace_role)atoi(argv[1]);
	me = mmap(NULL, sizeof(*me), PROT_READ | PROT_WRITE, MAP_SHARED,
		  atoi(argv[3]), 0);
	if (me == MAP_FAILED)
		return 3;
	options = (struct tapio_options){
		.size = sizeof(options),
		.socket = argv[2],
		.connect_ns = PATIENT,
		.answer_ns = PATIENT,
		.error = error,
		.error_bytes = sizeof(error),
	};
	roles[role]();
	return 0;
}
