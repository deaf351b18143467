/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "tests/fault/cut_broker.h"

#include <errno.h>
#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/atomic.h"

static struct tpi_broker *broker;
static char name[108];
static pthread_t thread;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static struct tpi_watch calls;
static int call_fd;
static sem_t done;
static void (*work)(struct tpi_broker *broker, void *arg);
static void *work_arg;

static void idle(void *arg, bool waits)
{
	(void)arg;
	(void)waits;
}

static void *serve(void *arg)
{
	(void)arg;
	tpi_broker_run(broker, idle, NULL);
	return NULL;
}

static void on_call(struct tpi_watch *watch, unsigned int events)
{
	uint64_t count;

	(void)watch;
	(void)events;
	if (read(call_fd, &count, sizeof(count)) != sizeof(count))
		return;
	work(broker, work_arg);
	sem_post(&done);
}

void cut_broker_do(void (*what)(struct tpi_broker *broker, void *arg),
		   void *arg)
{
	uint64_t one = 1;

	pthread_mutex_lock(&one_at_a_time);
	work = what;
	work_arg = arg;
	ck_assert_int_eq(write(call_fd, &one, sizeof(one)), sizeof(one));
	while (sem_wait(&done))
		;
	pthread_mutex_unlock(&one_at_a_time);
}

static void hear(void *arg, int level, const char *message)
{
	(void)arg;
	(void)level;
	(void)message;
}

void cut_broker_start(const char *config, const char *at)
{
	struct tpi_broker_setup setup = {
		.config_text = config,
		.socket = strcpy(name, at),
		.log = {.level = TAPIO_LOG_DEBUG, .sink = hear},
	};
	enum tpi_stage stage;
	char error[512] = "";

	ck_assert_msg(!tpi_broker_create(&broker, &setup, &stage, error,
					 sizeof(error)),
		      "broker: %s", error);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	calls = (struct tpi_watch){.ready = on_call};
	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	ck_assert_int_eq(tpi_watch_start(broker->loop, &calls, call_fd), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void stop(struct tpi_broker *b, void *arg)
{
	(void)arg;
	tpi_watch_stop(b->loop, &calls);
	tpi_loop_stop(b->loop);
}

void cut_broker_stop(void)
{
	cut_broker_do(stop, NULL);
	pthread_join(thread, NULL);
	tpi_broker_destroy(broker);
	broker = NULL;
	close(call_fd);
	sem_destroy(&done);
}

static void cut_all(struct tpi_broker *b, void *begun)
{
	struct tapio_shm_broker *shm = b->registry.catalog.broker;
	struct tpi_session *session, *next;

	for (session = TAILQ_FIRST(&b->server.sessions); session;
	     session = next) {
		next = TAILQ_NEXT(session, link);
		if (session->attachment)
			tpi_session_close(session);
	}
	if (*(bool *)begun)
		tpi_store_relaxed(&shm->serving,
				  shm->serving + TAPIO_SERVING(1, 0));
}

void cut(bool begun)
{
	cut_broker_do(cut_all, &begun);
}

static void hide(struct tpi_broker *b, void *arg)
{
	(void)arg;
	tpi_server_unlisten(b);
}

void cut_broker_hide(void)
{
	cut_broker_do(hide, NULL);
}

static void show(struct tpi_broker *b, void *arg)
{
	char error[512] = "";
	int err = -EADDRINUSE;

	(void)arg;
	/* A child of the broker that has begun before has the socket, too, until it ends. */
	for (int i = 0; i < 3000 && err == -EADDRINUSE; i++) {
		err = tpi_server_listen(b, name, error, sizeof(error));
		if (err == -EADDRINUSE)
			usleep(10000);
	}
	ck_assert_msg(!err, "%s", error);
}

void cut_broker_show(void)
{
	cut_broker_do(show, NULL);
}

static void count_attached(struct tpi_broker *b, void *count)
{
	*(unsigned int *)count = b->registry.attached;
}

unsigned int cut_attached(void)
{
	unsigned int count;

	cut_broker_do(count_attached, &count);
	return count;
}

static void count_lingering(struct tpi_broker *b, void *count)
{
	*(unsigned int *)count = b->lingering;
}

unsigned int cut_lingering(void)
{
	unsigned int count;

	cut_broker_do(count_lingering, &count);
	return count;
}
