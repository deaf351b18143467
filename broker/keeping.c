/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keeper tapiod has: a process of its own (keep/keeper.c), the fd store of systemd
 * (keep/manager.c), or none. A broker that has none still takes a listening socket that it
 * was passed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/keep/keeper.h"
#include "broker/keep/listen_fds.h"
#include "broker/keep/manager.h"
#include "broker/keep/process.h"
#include "broker/tapiod.h"
#include "lib/base/error.h"

struct tapiod_keeping {
	enum keeper_choice choice;
	struct tpi_keep_table passed; /* at the start, by a service manager */
	uint32_t closed;              /* of what was passed */
	int refused; /* -errno of the keeper that could not be had */
	struct tpi_keeper_side side;
	struct tpi_keep_process *process; /* or NULL */
	struct tpi_keep *manager;         /* or NULL */
	struct tpi_broker *broker;
};

static struct tapiod_keeping keeping_of_tapiod;

/* ---- choosing ---------------------------------------------------------------- */

static void fail(const char *text, int err)
{
	char line[200];

	snprintf(line, sizeof(line), text, strerror(-err));
	tpi_log_stderr(NULL, TAPIO_LOG_ERROR, line);
}

static int begin_process(struct tapiod_keeping *k, bool needed)
{
	int err = tpi_keeper_create(&k->passed);

	if (!err)
		return tpi_keeper_run(&k->side, EXIT_OTHER);
	k->choice = KEEPER_NONE;
	k->refused = err;
	if (!needed)
		return -1;
	fail("--keeper=process: there can be no keeper here: %s", err);
	return EXIT_OTHER;
}

/* A process that a broker has started. */
static int resume(struct tapiod_keeping *k, int err)
{
	k->choice = KEEPER_PROCESS;
	if (!err)
		return tpi_keeper_run(&k->side, EXIT_OTHER);
	fail("the new keeper cannot use what it was given: %s", err);
	return EXIT_OTHER;
}

static enum keeper_choice choose(enum keeper_choice wish)
{
	if (wish != KEEPER_AUTO)
		return wish;
	return tpi_notify_store() ? KEEPER_SYSTEMD : KEEPER_PROCESS;
}

static uint32_t descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) ||
	    limit.rlim_max > TPI_KEEP_TABLE_MAX)
		return TPI_KEEP_TABLE_MAX;
	return (uint32_t)limit.rlim_max;
}

/* A file that a shell has left open is for no broker, and a keeper would hold it for ever. */
void tapiod_close_from(int first)
{
	(void)syscall(SYS_close_range, (unsigned int)first, ~0U, 0U);
}

int tapiod_keeping_begin(const struct arguments *a, struct tapiod_keeping **out)
{
	struct tapiod_keeping *k = &keeping_of_tapiod;
	int err, behind;

	*out = k;
	if (tpi_keeper_resume(&err))
		return resume(k, err);
	if (tpi_keep_table_create(&k->passed, descriptor_limit())) {
		fail("no memory for a table of descriptors: %s", -ENOMEM);
		return EXIT_OTHER;
	}
	behind = tpi_listen_fds_take(&k->passed, &k->closed);
	if (a->keeper == KEEPER_AUTO || a->keeper == KEEPER_PROCESS)
		tapiod_close_from(behind);
	tpi_notify_open();
	k->choice = choose(a->keeper);
	if (k->choice == KEEPER_PROCESS)
		return begin_process(k, a->keeper == KEEPER_PROCESS);
	if (k->choice == KEEPER_SYSTEMD && !tpi_notify_store()) {
		tpi_log_stderr(
			NULL, TAPIO_LOG_ERROR,
			"--keeper=systemd: NOTIFY_SOCKET and FDSTORE are not "
			"both set (the unit needs Type=notify and "
			"FileDescriptorStoreMax=, and systemd 254)");
		return EXIT_OTHER;
	}
	return -1;
}

int tapiod_keeping_succeed(const struct tpi_keep_table *table,
			   const struct tpi_keeper_former *former,
			   struct tapiod_keeping **out)
{
	struct tapiod_keeping *k = &keeping_of_tapiod;

	*out = k;
	k->passed = *table;
	k->choice = KEEPER_PROCESS;
	tpi_keeper_succeeds(former);
	return begin_process(k, true);
}

/* ---- for the broker ------------------------------------------------------------- */

static void say_past(const struct tpi_keeper_past *past, struct tpi_log *log)
{
	char how[32] = "a signal or a fault";

	if (!past->pid)
		return;
	if (past->signal)
		snprintf(how, sizeof(how), "SIG%s", sigabbrev_np(past->signal));
	tpi_log(log, TAPIO_LOG_WARNING,
		"the broker before, process %d, was ended by %s: process %d "
		"starts in its place, restart %u, after %u ms",
		past->pid, how, getpid(), past->restarts, past->delay_ms);
}

static struct tpi_keep *open_process(struct tapiod_keeping *k,
				     const struct arguments *a,
				     struct tpi_log *log)
{
	say_past(&k->side.past, log);
	k->process = tpi_keep_process_create(&k->side, a->argv, log);
	return k->process ? tpi_keep_process_keep(k->process) : NULL;
}

struct tpi_keep *tapiod_keeping_open(struct tapiod_keeping *k,
				     const struct arguments *a,
				     struct tpi_log *log)
{
	uint32_t room;

	if (k->closed)
		tpi_log(log, TAPIO_LOG_WARNING,
			"%u of the descriptors in LISTEN_FDS %s neither a "
			"broker's nor a listening AF_UNIX socket of type "
			"SOCK_SEQPACKET: closed",
			k->closed, k->closed == 1 ? "is" : "are");
	if (k->refused)
		tpi_log(log, TAPIO_LOG_WARNING,
			"there can be no keeper here: %s. The memory ends with "
			"this process (--no-keeper)",
			strerror(-k->refused));
	if (k->choice == KEEPER_PROCESS)
		return open_process(k, a, log);
	room = k->choice == KEEPER_SYSTEMD ? tpi_notify_store() : 0;
	if (room || k->passed.used)
		k->manager = tpi_keep_manager_create(&k->passed, room);
	return k->manager;
}

static void on_new_keeper(void *arg)
{
	tpi_server_sign(arg);
}

int tapiod_keeping_watch(struct tapiod_keeping *k, struct tpi_broker *broker)
{
	if (!k->process)
		return 0;
	/* A keeper may have died since the lock was signed. */
	tpi_server_sign(broker);
	return tpi_keep_process_watch(k->process, broker->loop, on_new_keeper,
				      broker);
}

void tapiod_keeping_unwatch(struct tapiod_keeping *k)
{
	if (k->process)
		tpi_keep_process_unwatch(k->process);
}

void tapiod_keeping_note(struct tapiod_keeping *k, enum tpi_note note)
{
	if (k->process)
		tpi_keep_process_note(k->process, note);
	else
		tpi_notify(note);
}

void tapiod_keeping_end(struct tapiod_keeping *k, int status)
{
	if (k->process)
		tpi_keep_process_quit(k->process, status);
}
