/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker as a library: tapio_broker_start() runs it on a thread of its own.
 *
 * FORK. A child has no broker thread, but it would have copies of the broker's
 * descriptors: the listening socket, so that connects hang after the parent has
 * died. The connections, so that clients never see it go. So around fork the
 * broker's thread is kept out of its callbacks, and the child closes them. The
 * broker's data in the child's memory is then of no use, and the child leaves
 * it alone. tapio_broker_start() returns when the thread is in the loop: in a thread's
 * first steps libraries hold locks that a child would inherit (AddressSanitizer's
 * allocator has no fork handlers before gcc 14).
 *
 * A program that closes all descriptors (closefrom) ends the broker: its thread finds
 * that within a second, at its next tick, and leaves their numbers alone.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <tapio/broker.h>

#include "broker/broker.h"
#include "broker/session/quota.h"
#include "lib/base/error.h"
#include "lib/base/own_fd.h"
#include "lib/base/thread.h"

struct tapio_broker {
	struct tpi_broker *broker;
	pthread_t thread;
	pthread_mutex_t busy; /* held by the thread but while it waits */
	sem_t begun;          /* posted by the thread when it has `busy` */
	struct tpi_watch stop;
	struct tpi_own_fd stop_fd;
	pid_t pid; /* of the process that started it */
	struct tapio_broker *next;
};

/* All of this process, for the fork handlers. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tapio_broker *list;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* ---- fork ------------------------------------------------------------------- */

static void before_fork(void)
{
	pthread_mutex_lock(&list_lock);
	for (struct tapio_broker *b = list; b; b = b->next)
		pthread_mutex_lock(&b->busy);
}

static void after_fork(void)
{
	for (struct tapio_broker *b = list; b; b = b->next)
		pthread_mutex_unlock(&b->busy);
	pthread_mutex_unlock(&list_lock);
}

static void close_copies(struct tpi_broker *broker)
{
	struct tpi_process *process;
	struct tpi_session *session;

	close(broker->server.fd);
	if (broker->server.lock_fd >= 0)
		close(broker->server.lock_fd);
	if (broker->server.spare_fd >= 0)
		close(broker->server.spare_fd);
	tpi_loop_forget(broker->loop);
	TAILQ_FOREACH (session, &broker->server.sessions, link)
		close(session->fd);
	TAILQ_FOREACH (process, &broker->processes, link)
		close(process->pidfd);
	tpi_unread_close_copies(&broker->server);
	tpi_helpers_close_copies(&broker->server.helpers);
	tpi_starts_close_copies(&broker->starts);
	tpi_registry_forget(&broker->registry);
}

static void in_child(void)
{
	for (struct tapio_broker *b = list; b; b = b->next) {
		if (tpi_loop_owned(b->broker->loop))
			close_copies(b->broker);
		tpi_own_fd_close(&b->stop_fd);
		pthread_mutex_unlock(&b->busy);
	}
	list = NULL;
	pthread_mutex_unlock(&list_lock);
}

static void register_fork(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

static void list_add(struct tapio_broker *b)
{
	pthread_once(&fork_once, register_fork);
	pthread_mutex_lock(&list_lock);
	b->next = list;
	list = b;
	pthread_mutex_unlock(&list_lock);
}

static void list_remove(struct tapio_broker *b)
{
	struct tapio_broker **at;

	pthread_mutex_lock(&list_lock);
	for (at = &list; *at && *at != b; at = &(*at)->next)
		;
	if (*at)
		*at = b->next;
	pthread_mutex_unlock(&list_lock);
}

/* ---- the thread ----------------------------------------------------------------- */

static void idle(void *arg, bool waits)
{
	struct tapio_broker *b = arg;

	if (waits)
		pthread_mutex_unlock(&b->busy);
	else
		pthread_mutex_lock(&b->busy);
}

static void *run(void *arg)
{
	struct tapio_broker *b = arg;

	pthread_setname_np(pthread_self(), "tapio-broker");
	pthread_mutex_lock(&b->busy);
	sem_post(&b->begun);
	tpi_broker_run(b->broker, idle, b);
	pthread_mutex_unlock(&b->busy);
	return NULL;
}

static void on_stop(struct tpi_watch *watch, unsigned int events)
{
	struct tapio_broker *b =
		(struct tapio_broker *)((char *)watch -
					offsetof(struct tapio_broker, stop));

	(void)events;
	tpi_watch_stop(b->broker->loop, watch);
	tpi_loop_stop(b->broker->loop);
}

/* No signal of the process is ever handled on the broker's thread. */
static int start_thread(struct tapio_broker *b)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&b->thread, NULL, run, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	while (!err && sem_wait(&b->begun))
		; /* EINTR */
	return -err;
}

/* ---- the interface ------------------------------------------------------------- */

static void take_options(struct tapio_broker_options *own,
			 const struct tapio_broker_options *options)
{
	memset(own, 0, sizeof(*own));
	if (options)
		memcpy(own, options,
		       options->size < sizeof(*own) ? options->size
						    : sizeof(*own));
	if (!own->log_level)
		own->log_level = TAPIO_LOG_NOTICE;
}

static void destroy(struct tapio_broker *b)
{
	if (b->broker)
		tpi_watch_stop(b->broker->loop, &b->stop);
	tpi_own_fd_close(&b->stop_fd);
	tpi_broker_destroy(b->broker);
	pthread_mutex_destroy(&b->busy);
	sem_destroy(&b->begun);
	free(b);
}

static int make_stop_fd(struct tapio_broker *b)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : tpi_own_fd_keep(&b->stop_fd, fd);
}

/* Without its descriptor the thread finds out at its next tick. */
static void ask_to_stop(struct tapio_broker *b)
{
	int fd = tpi_own_fd_number(&b->stop_fd);
	uint64_t one = 1;

	if (fd < 0) {
		pthread_mutex_lock(&b->busy);
		tpi_loop_stop(b->broker->loop);
		pthread_mutex_unlock(&b->busy);
		return;
	}
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static int start(struct tapio_broker *b, const struct tapio_broker_options *o)
{
	struct tpi_broker_setup setup = {
		.config_file = o->config_file,
		.config_text = o->config_text,
		.socket = o->socket,
		.log = {.level = o->log_level,
			.sink = o->log,
			.arg = o->log_arg},
		.cpus = o->simulate_cpus,
		.nodes = o->simulate_nodes,
	};
	enum tpi_stage stage;
	int err;

	err = tpi_broker_create(&b->broker, &setup, &stage, o->error,
				o->error_bytes);
	if (err)
		return err;
	err = make_stop_fd(b);
	if (err)
		return tpi_fail(err, o->error, o->error_bytes, "eventfd: %s",
				strerror(-err));
	b->stop.ready = on_stop;
	err = tpi_watch_start(b->broker->loop, &b->stop, b->stop_fd.number);
	if (!err)
		err = start_thread(b);
	if (err)
		return tpi_fail(err, o->error, o->error_bytes,
				"the broker's thread: %s", strerror(-err));
	return 0;
}

int tapio_broker_start(struct tapio_broker **out,
		       const struct tapio_broker_options *options)
{
	struct tapio_broker_options own;
	struct tapio_broker *b;
	int cancel, err;

	*out = NULL;
	take_options(&own, options);
	if (own.config_file && own.config_text)
		return tpi_fail(-EINVAL, own.error, own.error_bytes,
				"config_file and config_text exclude each "
				"other");
	b = calloc(1, sizeof(*b));
	if (!b)
		return tpi_fail(-ENOMEM, own.error, own.error_bytes,
				"out of memory");
	b->stop_fd = TPI_OWN_FD_NONE;
	b->pid = getpid();
	pthread_mutex_init(&b->busy, NULL);
	sem_init(&b->begun, 0, 0);
	cancel = tpi_cancel_off();
	err = start(b, &own);
	if (err) {
		destroy(b);
	} else {
		list_add(b);
		*out = b;
	}
	tpi_cancel_restore(cancel);
	return err;
}

const char *tapio_broker_socket(const struct tapio_broker *broker)
{
	return broker->broker->server.name;
}

/*
 * As fork does, it keeps the broker's thread out of its callbacks. A reload starts no
 * watch and no timer, so the thread's wait need not be cut short.
 */
int tapio_broker_reload(struct tapio_broker *broker, const char *config_text,
			char *said, size_t said_bytes)
{
	char line[512];
	int cancel, err;

	if (broker->pid != getpid())
		return tpi_fail(-ECHILD, said, said_bytes,
				"process %d has the broker, and this one is %d",
				(int)broker->pid, (int)getpid());
	cancel = tpi_cancel_off();
	pthread_mutex_lock(&broker->busy);
	err = tpi_broker_reload(broker->broker, config_text, line,
				sizeof(line));
	pthread_mutex_unlock(&broker->busy);
	tpi_cancel_restore(cancel);
	if (said && said_bytes)
		snprintf(said, said_bytes, "%s", line);
	return err;
}

void tapio_broker_stop(struct tapio_broker *broker)
{
	int cancel;

	/* In a forked child it is memory without an owner. */
	if (!broker || broker->pid != getpid())
		return;
	cancel = tpi_cancel_off();
	ask_to_stop(broker);
	pthread_join(broker->thread, NULL);
	list_remove(broker);
	destroy(broker);
	tpi_cancel_restore(cancel);
}
