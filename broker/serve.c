/* SPDX-License-Identifier: Apache-2.0 */
/* The process that serves: signals, the service manager, and exit statuses. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <tapio/common.h>
#include <tapio/version.h>

#include "broker/broker.h"
#include "broker/loop/log_writer.h"
#include "broker/tapiod.h"
#include "lib/base/error.h"
#include "lib/wire/socket_name.h"

/* The last lines of the log may take so long. */
#define LOG_SECONDS 1

static struct {
	struct tpi_watch watch;
	struct tpi_broker *broker;
	struct tapiod_keeping *keeping;
} signals;

static void on_signal(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_broker *broker = signals.broker;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		char said[512]; /* the log has it */

		(void)tpi_broker_reload(broker, NULL, said, sizeof(said));
		return;
	}
	tpi_log(&broker->log, TAPIO_LOG_NOTICE,
		"%s: stopping; clients keep their memory",
		info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
	tapiod_keeping_note(signals.keeping, TPI_NOTE_STOPPING);
	tapiod_keeping_unwatch(signals.keeping);
	tpi_loop_stop(broker->loop);
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigprocmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* EFBIG says it, with a message */
}

static int watch_signals(struct tpi_broker *broker,
			 struct tapiod_keeping *keeping, const sigset_t *set)
{
	int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	signals.broker = broker;
	signals.keeping = keeping;
	signals.watch.ready = on_signal;
	return tpi_watch_start(broker->loop, &signals.watch, fd);
}

static int exit_status(enum tpi_stage stage)
{
	static const int statuses[] = {
		[TPI_STAGE_CONFIG] = EXIT_CONFIG,
		[TPI_STAGE_LOOP] = EXIT_LOOP,
		[TPI_STAGE_MEMORY] = EXIT_MEMORY,
		[TPI_STAGE_SOCKET] = EXIT_SOCKET,
	};

	return statuses[stage];
}

static struct {
	struct tpi_timer timer;
	struct tpi_loop *loop;
	struct tapiod_keeping *keeping;
} watchdog;

/* On the loop, so that a loop that hangs says nothing. */
static void on_watchdog(struct tpi_timer *timer)
{
	tapiod_keeping_note(watchdog.keeping, TPI_NOTE_WATCHDOG);
	tpi_timer_start(watchdog.loop, timer, tpi_notify_watchdog_ns());
}

static void start_watchdog(struct tapiod_keeping *keeping,
			   struct tpi_loop *loop)
{
	watchdog.timer.fire = on_watchdog;
	watchdog.loop = loop;
	watchdog.keeping = keeping;
	if (tpi_notify_watchdog_ns())
		tpi_timer_start(loop, &watchdog.timer,
				tpi_notify_watchdog_ns());
}

static int run(struct tpi_broker *broker, struct tapiod_keeping *keeping,
	       const sigset_t *set)
{
	int err = watch_signals(broker, keeping, set);

	if (!err)
		err = tapiod_keeping_watch(keeping, broker);
	if (!err) {
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"tapiod %s, process %d, serves %u channel%s at %s",
			tapio_version(), getpid(), broker->registry.host_count,
			TPI_PLURAL(broker->registry.host_count),
			broker->server.name);
		tapiod_keeping_note(keeping, TPI_NOTE_READY);
		start_watchdog(keeping, broker->loop);
		err = tpi_broker_run(broker, NULL, NULL);
	}
	tapiod_keeping_unwatch(keeping);
	tpi_broker_destroy(broker);
	return err ? EXIT_OTHER : EXIT_OK;
}

static int create_and_run(const struct arguments *a,
			  struct tapiod_keeping *keeping)
{
	struct tpi_socket_name name;
	struct tpi_broker_setup setup = {
		.config_file = tapiod_config_file(a),
		.config_later = TAPIOD_CONFIG_DEFAULT,
		.socket = a->socket,
		.socket_default = name.text,
		.log = {.level = a->log_level, .sink = tpi_log_stderr},
		.discard_memory = a->discard,
	};
	struct tpi_broker *broker;
	enum tpi_stage stage;
	char error[512];
	sigset_t set;

	tpi_socket_name_serve(&name);
	block_signals(&set);
	tpi_registry_prepare();
	tpi_log_stderr_start();
	setup.keep = tapiod_keeping_open(keeping, a, &setup.log);
	if (tpi_broker_create(&broker, &setup, &stage, error, sizeof(error))) {
		tpi_log_stderr(NULL, TAPIO_LOG_ERROR, error);
		return exit_status(stage);
	}
	return run(broker, keeping, &set);
}

int tapiod_serve(const struct arguments *a, struct tapiod_keeping *keeping)
{
	int status = create_and_run(a, keeping);

	tapiod_keeping_end(keeping, status);
	tpi_log_writer_drain(LOG_SECONDS);
	return status;
}
