/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The lock is as in broker/embed.c: the loop has it while it works. */
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/broker.h"
#include "fuzz.h"
#include "fuzz_broker.h"

#define NO_TICKS (UINT64_C(1) << 62)

static struct tpi_broker *broker;
static pthread_t thread;
static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;
static struct tpi_watch stop;
static int stop_fd;

static void idle(void *arg, bool waits)
{
	(void)arg;
	if (waits)
		pthread_mutex_unlock(&busy);
	else
		pthread_mutex_lock(&busy);
}

static void *serve(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&busy);
	tpi_broker_run(broker, idle, NULL);
	pthread_mutex_unlock(&busy);
	return NULL;
}

static void on_stop(struct tpi_watch *watch, unsigned int events)
{
	(void)events;
	tpi_watch_stop(broker->loop, watch);
	tpi_loop_stop(broker->loop);
}

static void hear(void *arg, int level, const char *message)
{
	(void)arg;
	(void)level;
	(void)message;
}

void fuzz_broker_start(const char *text)
{
	struct tpi_broker_setup setup = {
		.config_text = text,
		.log = {.level = TAPIO_LOG_DEBUG, .sink = hear},
	};
	enum tpi_stage stage;
	char error[512] = "";
	int err;

	tpi_tick_ns = NO_TICKS;
	err = tpi_broker_create(&broker, &setup, &stage, error, sizeof(error));
	if (err)
		fprintf(stderr, "broker: %s\n", error);
	FUZZ_CHECK(!err);
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stop = (struct tpi_watch){.ready = on_stop};
	FUZZ_CHECK(!tpi_watch_start(broker->loop, &stop, stop_fd));
	FUZZ_CHECK(!pthread_create(&thread, NULL, serve, NULL));
}

void fuzz_broker_stop(void)
{
	uint64_t one = 1;

	FUZZ_CHECK(write(stop_fd, &one, sizeof(one)) == sizeof(one));
	pthread_join(thread, NULL);
	tpi_broker_destroy(broker);
	close(stop_fd);
}

const char *fuzz_broker_socket(void)
{
	return broker->server.name;
}

void fuzz_broker_look(void)
{
	pthread_mutex_lock(&busy);
	tpi_reaper_tick(broker);
	tpi_evict_tick(broker);
	tpi_sessions_tick(broker);
	pthread_mutex_unlock(&busy);
}
