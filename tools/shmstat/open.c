/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the memory, and doing it again every interval. Used by every command. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/shmstat/command.h"

#define INTERVAL_NS INT64_C(1000000000) /* of --count alone */

static int explain(int err, const char *error)
{
	tpi_say("%s", *error ? error : strerror(-err));
	switch (err) {
	case -EPROTONOSUPPORT:
		return STAT_EXIT_ABI;
	case -EACCES:
	case -EPERM:
		return STAT_EXIT_PERMISSION;
	case -ENOENT:
	case -ENOTUNIQ:
		return TPI_EXIT_NO_BROKER;
	case -EBADMSG:
		return TPI_EXIT_CORRUPT;
	default:
		return TPI_EXIT_FAILURE;
	}
}

/* A path that leads to no file is no memory; a file that is no snapshot cannot be followed. */
static int of_file(int err)
{
	switch (err) {
	case -ENOTDIR:
	case -ELOOP:
	case -ENAMETOOLONG:
		return -ENOENT;
	case -ENXIO: /* a socket */
	case -EINVAL:
		return -EBADMSG;
	default:
		return err;
	}
}

int stat_find(struct stat_args *args, bool scan, struct tpi_inspect **out,
	      char *error, size_t size)
{
	args->look.socket = tpi_connect_socket(&args->connect);
	if (!args->connect.socket && !getenv("TAPIO_SOCKET"))
		args->look.scan = true;
	args->look.scan &= scan;
	return tpi_inspect_open(out, &args->look, error, size);
}

int stat_open(struct stat_args *args, struct tpi_inspect **out)
{
	char error[512] = "";
	int err = stat_find(args, true, out, error, sizeof(error));

	if (err)
		return explain(args->look.file ? of_file(err) : err, error);
	if (*(*out)->note)
		tpi_say("no answer from the broker (%s): showing what process "
			"%d holds",
			(*out)->note, (int)(*out)->pid);
	return 0;
}

/* When there is room, a pipe takes a piece of this size whole. */
#define PIECE 4096

/* Signals come in ppoll() alone. */
int stat_write(const char *text, size_t left)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	sigset_t block, before;
	int result = 1;
	ssize_t count;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	sigprocmask(SIG_BLOCK, &block, &before);
	while (left && result == 1) {
		if (tpi_stop_signal()) {
			result = 0;
		} else if (ppoll(&out, 1, NULL, &before) == 1) {
			count = write(STDOUT_FILENO, text,
				      left < PIECE ? left : PIECE);
			if (count < 0 && errno != EAGAIN)
				result = errno == EPIPE ? 0 : -errno;
			text += count > 0 ? count : 0;
			left -= count > 0 ? (size_t)count : 0;
		}
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return result;
}

/* A look prints by stdio, which would go on at a pipe that is full. So it prints into memory. */
static int look_and_write(int (*look)(void *context), void *context,
			  int *status)
{
	FILE *before = stdout;
	char *text = NULL;
	size_t bytes = 0;
	int written;

	stdout = open_memstream(&text, &bytes);
	if (!stdout) {
		stdout = before;
		return -ENOMEM;
	}
	*status = look(context);
	written = ferror(stdout) ? -ENOMEM : 1;
	if (fclose(stdout))
		written = -ENOMEM;
	stdout = before;
	if (written == 1)
		written = stat_write(text, bytes);
	free(text);
	return written;
}

int stat_repeat(struct stat_args *args, int (*look)(void *context),
		void *context)
{
	int64_t interval = args->repeat_ns ? args->repeat_ns : INTERVAL_NS;
	uint64_t left = args->count ? args->count : args->repeat_ns ? 0 : 1;
	int64_t next = tpi_monotonic_ns();
	int status = TPI_EXIT_FAILURE, written;

	tpi_signals_init();
	for (;;) {
		written = look_and_write(look, context, &status);
		if (written < 0) {
			tpi_say("cannot write standard output: %s",
				strerror(-written));
			return TPI_EXIT_FAILURE;
		}
		if (!written)
			return tpi_stop_signal() ? status : TPI_EXIT_OK;
		if ((left && !--left) || status == TPI_EXIT_USAGE)
			return status;
		next += interval;
		if (!tpi_sleep_until(next))
			return status;
	}
}

struct once {
	struct stat_args *args;
	int (*run)(struct stat_args *args);
};

static int run_once(void *context)
{
	const struct once *once = context;

	return once->run(once->args);
}

int stat_once(struct stat_args *args, int (*run)(struct stat_args *args))
{
	struct once once = {args, run};
	int status = TPI_EXIT_FAILURE, written;

	tpi_signals_init();
	written = look_and_write(run_once, &once, &status);
	if (written < 0) {
		tpi_say("cannot write standard output: %s", strerror(-written));
		return TPI_EXIT_FAILURE;
	}
	return written || tpi_stop_signal() ? status : TPI_EXIT_OK;
}
