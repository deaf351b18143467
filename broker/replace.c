/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapiod --replace`: takes over from a broker that runs, of this build or another one. Steps
 * H1 to H5, and the effects of a death at each of them, are in session/hand_over.c. This is N,
 * which becomes a keeper (keep/keeper.c), and W, its first broker, until that serves.
 *
 * N looks first whether it can take the memory over (H2), in a child: the configuration, the
 * layout, each segment. The child writes to no shared memory. If anything is wrong, N says it
 * and ends, and the broker that runs goes on.
 *
 * The table is as the broker that runs had it. From H1 on that one puts and drops nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/keep/keeper.h"
#include "broker/loop/child.h"
#include "broker/registry/adopt.h"
#include "broker/tapiod.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"
#include "lib/wire/fdpass.h"
#include "lib/wire/socket_name.h"
#include "lib/wire/wire.h"

#ifndef ANSWER_S /* less in a test */
#define ANSWER_S 10
#endif
#define ENDING_MS 1000
#define LOOK_MS   200 /* for the end, before a broker is asked */

static struct {
	const char *name; /* of the socket */
	struct tpi_keeper_former fds;
	pid_t keeper_pid, broker_pid;
	uint32_t count;
	struct tpi_keep_table table;
	struct tpi_config config; /* of the program that comes */
} former;

static int fail(int status, const char *text)
{
	char line[640];

	snprintf(line, sizeof(line), "--replace: %s: %s", former.name, text);
	tpi_log_stderr(NULL, TAPIO_LOG_ERROR, line);
	return status;
}

/* ---- H1 ------------------------------------------------------------------------------ */

static int no_answer(ssize_t n)
{
	char text[160];

	if (n == -EMFILE)
		return fail(EXIT_MEMORY,
			    "it keeps more descriptors than this process may "
			    "have (RLIMIT_NOFILE)");
	if (n == -EAGAIN)
		snprintf(text, sizeof(text),
			 "no answer within %d s: the broker is stopped or "
			 "busy. Nothing has changed",
			 ANSWER_S);
	else
		snprintf(text, sizeof(text),
			 "the broker has closed the connection%s%s",
			 n ? ": " : "", n ? strerror((int)-n) : "");
	return fail(EXIT_SOCKET, text);
}

static int refused(const union tpi_wire_message *m)
{
	char text[400];

	if (m->header.minor >= TPI_WIRE_MINOR_REPLACE)
		return fail(EXIT_SOCKET, m->refused.text);
	snprintf(text, sizeof(text),
		 "the broker is an older one (protocol %u.%u) and cannot hand "
		 "its memory over, which came with %d.%d: stop it, and start "
		 "this one",
		 m->header.major, m->header.minor, TPI_WIRE_MAJOR,
		 TPI_WIRE_MINOR_REPLACE);
	return fail(EXIT_SOCKET, text);
}

/* The next message, which is to be of that type. An exit status, or EXIT_OK. */
static int receive(enum tpi_wire_type want, union tpi_wire_message *m, int *fds,
		   unsigned int *count)
{
	char why[256];
	ssize_t n = tpi_recv_fds(former.fds.sock, m, sizeof(*m), fds, count);

	if (n <= 0)
		return no_answer(n);
	tpi_wire_complete(m, n);
	if (tpi_wire_check(m, (size_t)n, *count, why, sizeof(why)))
		return fail(EXIT_SOCKET, why);
	if (m->header.type == TPI_WIRE_REFUSED)
		return refused(m);
	if (m->header.type == want)
		return EXIT_OK;
	snprintf(why, sizeof(why), "message type %u came, not %u",
		 m->header.type, (unsigned int)want);
	return fail(EXIT_SOCKET, why);
}

static int ask(void)
{
	union tpi_wire_message m;
	unsigned int count = 3;
	int fds[3], status;
	ssize_t n;

	tpi_wire_init(&m, TPI_WIRE_REPLACE);
	m.replace.pid = (uint32_t)getpid();
	n = tpi_send_fds(former.fds.sock, &m, m.header.length, NULL, 0);
	if (n < 0)
		return no_answer(n);
	status = receive(TPI_WIRE_HANDING, &m, fds, &count);
	if (status)
		return status;
	former.fds.life = fds[0];
	former.fds.keeper = fds[1];
	former.fds.broker = fds[2];
	former.count = m.handing.count;
	former.broker_pid = (pid_t)m.handing.broker;
	former.keeper_pid = (pid_t)m.handing.keeper;
	return EXIT_OK;
}

static int take_batch(const union tpi_wire_message *m, const int *fds)
{
	int old = -1, err = 0;

	for (uint32_t i = 0; i < m->handed.count && !err; i++) {
		const struct tpi_keep_key key = {
			.kind = m->handed.keys[i] >> 24,
			.number = m->handed.keys[i] & 0xffffff};

		err = tpi_keep_key_valid(key) ? 0 : -EBADMSG;
		if (!err)
			err = tpi_keep_table_put(&former.table, key, fds[i],
						 &old);
	}
	return err;
}

static int take_table(void)
{
	union tpi_wire_message m;
	unsigned int count;
	int fds[TPI_WIRE_HANDED_MAX], err, status = EXIT_OK;

	if (tpi_keep_table_create(&former.table, tpi_keeper_room()))
		return fail(EXIT_OTHER, "no memory for a table of descriptors");
	while (!status && former.table.used < former.count) {
		count = TPI_WIRE_HANDED_MAX;
		status = receive(TPI_WIRE_HANDED, &m, fds, &count);
		if (status)
			break;
		err = take_batch(&m, fds);
		if (err)
			status =
				fail(EXIT_MEMORY,
				     err == -ENOSPC
					     ? "it keeps more descriptors than "
					       "this process may have "
					       "(RLIMIT_NOFILE)"
					     : "it sent a key that is not "
					       "known here");
		TPI_TESTPOINT("replace.batch");
	}
	return status;
}

/* ---- H2 ------------------------------------------------------------------------------ */

/* In the child. */
static int check(const struct arguments *a)
{
	struct tpi_log log = {.level = a->log_level, .sink = tpi_log_stderr};
	struct tpi_keep keep = {0};
	char why[512] = "";
	int err = tpi_keep_inherit(&keep, &former.table);

	if (err)
		tpi_fail(err, why, sizeof(why), "out of memory");
	else
		err = tpi_adopt_check(&keep, &former.config, &log, why,
				      sizeof(why));
	if (!err)
		return EXIT_OK;
	fail(0, why);
	return err == -EEXIST ? EXIT_CONFIG : EXIT_MEMORY;
}

static int can_adopt(const struct arguments *a)
{
	int wait_status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(check(a));
	if (pid < 0 || waitpid(pid, &wait_status, 0) != pid)
		return fail(EXIT_OTHER, "no process can be made");
	if (WIFEXITED(wait_status) && !WEXITSTATUS(wait_status))
		return EXIT_OK;
	fail(0, "this program cannot take the memory over, and the broker that "
		"runs goes on");
	return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : EXIT_OTHER;
}

/* ---- H3 to H5, in W -------------------------------------------------------------------- */

enum answer {
	ANSWER_TAKEN,
	ANSWER_NONE,
	ANSWER_END
};

/* It stays in the queue, for a broker in the place of this one. */
static enum answer peek(void)
{
	union tpi_wire_message m;
	ssize_t n;

	do {
		n = recv(former.fds.sock, &m, sizeof(m), MSG_PEEK);
	} while (n < 0 && errno == EINTR);
	if (n >= (ssize_t)sizeof(m.header) && m.header.type == TPI_WIRE_TAKEN)
		return ANSWER_TAKEN;
	return n < 0 && errno == EAGAIN ? ANSWER_NONE : ANSWER_END;
}

/*
 * A broker that is stopped may have told its keeper, or may do it when it goes on. So silence is
 * no reason to end: if both then ended, all would be lost.
 */
static enum answer take(void)
{
	union tpi_wire_message m;
	enum answer answer;
	char text[160];

	tpi_wire_init(&m, TPI_WIRE_TAKE);
	/* A broker that is gone is found by the answer. */
	(void)!tpi_send_fds(former.fds.sock, &m, m.header.length, NULL, 0);
	TPI_TESTPOINT("replace.take");
	while ((answer = peek()) == ANSWER_NONE) {
		snprintf(text, sizeof(text),
			 "no answer within %d s: the broker, process %d, is "
			 "stopped or busy. This program waits until it goes on",
			 ANSWER_S, former.broker_pid);
		fail(0, text);
	}
	return answer;
}

/* They do nothing any more but end, unless they are stopped. */
static void hasten(void)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "the broker, process %d, or its keeper, process %d, has not "
		 "ended within %d ms: both are killed",
		 former.broker_pid, former.keeper_pid, ENDING_MS);
	fail(0, text);
	tpi_child_kill(former.fds.broker);
	tpi_child_kill(former.fds.keeper);
}

static int await_end(void)
{
	if (!tpi_life_ended(former.fds.life, ENDING_MS))
		hasten();
	(void)tpi_life_ended(former.fds.life, -1);
	return EXIT_OK;
}

/* A broker is there. One that was killed may have another one in its place. */
static bool answers(void)
{
	union tpi_wire_message m;
	unsigned int count = 3;
	int sock, fds[3];
	char said[256];
	ssize_t n;

	sock = tapiod_dial(former.name, 1, said, sizeof(said));
	if (sock < 0)
		return false;
	tpi_wire_init(&m, TPI_WIRE_REPLACE);
	(void)!tpi_send_fds(sock, &m, m.header.length, NULL, 0);
	n = tpi_recv_fds(sock, &m, sizeof(m), fds, &count);
	while (n > 0 && count)
		close(fds[--count]);
	close(sock);
	return n > 0;
}

/*
 * It was killed, or has closed the connection. If its keeper was told, that one ends, but it
 * may be stopped. So nothing but a broker that answers says that it was not.
 */
static int await_either(void)
{
	while (!tpi_life_ended(former.fds.life, LOOK_MS))
		if (answers())
			return fail(EXIT_SOCKET,
				    "the broker that runs goes on, or its "
				    "keeper has started another one: try "
				    "again");
	return EXIT_OK;
}

static int succeed(void)
{
	int status;

	TPI_TESTPOINT("replace.begin");
	if (tpi_life_ended(former.fds.life, 0))
		status = EXIT_OK;
	else
		status = take() == ANSWER_TAKEN ? await_end() : await_either();
	TPI_TESTPOINT("replace.ended");
	return status;
}

/* ---- all of it --------------------------------------------------------------------------- */

/* All that takes time, before the other broker waits. An exit status. */
static int prepare(const struct arguments *a)
{
	static struct tpi_socket_name usual;
	char error[512];

	if (tpi_config_load(&former.config, tapiod_config_file(a), NULL, error,
			    sizeof(error))) {
		tpi_log_stderr(NULL, TAPIO_LOG_ERROR, error);
		return EXIT_CONFIG;
	}
	tpi_notify_open();
	if (tpi_notify_store() && a->keeper == KEEPER_AUTO) {
		tpi_log_stderr(NULL, TAPIO_LOG_ERROR,
			       "--replace: systemd keeps the memory of this "
			       "service (FDSTORE): systemctl restart begins "
			       "the new program with it");
		return EXIT_USAGE;
	}
	former.config.side_lanes_only = !tpi_host_has_cpu_lanes();
	tpi_socket_name_serve(&usual);
	/* As tpi_broker_create() chooses it. */
	former.name = usual.text;
	if (former.config.socket)
		former.name = former.config.socket;
	if (a->socket)
		former.name = a->socket;
	return EXIT_OK;
}

/*
 * Memory of another user is not believed: it has private records, and a broker follows them.
 * A socket of root may be a service manager's.
 */
static int check_peer(void)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t length = sizeof(peer);
	char text[200];

	if (!getsockopt(former.fds.sock, SOL_SOCKET, SO_PEERCRED, &peer,
			&length) &&
	    (!peer.uid || peer.uid == geteuid()))
		return EXIT_OK;
	snprintf(text, sizeof(text),
		 "a process of uid %u listens there, and this one has uid %u: "
		 "the new program MUST run as the user of the old one",
		 peer.uid, geteuid());
	return fail(EXIT_SOCKET, text);
}

static int fetch(const struct arguments *a)
{
	char said[256];
	int status;

	former.fds.sock =
		tapiod_dial(former.name, ANSWER_S, said, sizeof(said));
	if (former.fds.sock < 0)
		return fail(EXIT_SOCKET, said);
	(void)tpi_keeper_room(); /* raises the limit */
	status = check_peer();
	if (!status)
		status = ask();
	if (!status)
		status = take_table();
	TPI_TESTPOINT("replace.table");
	if (!status)
		status = can_adopt(a);
	TPI_TESTPOINT("replace.checked");
	return status;
}

int tapiod_replace(const struct arguments *a, struct tapiod_keeping **keeping)
{
	int status;

	if (tpi_keeper_is_called())
		return tapiod_keeping_begin(a, keeping);
	tapiod_close_from(STDERR_FILENO + 1);
	status = prepare(a);
	if (!status)
		status = fetch(a);
	if (status)
		return status;
	status = tapiod_keeping_succeed(&former.table, &former.fds, keeping);
	/* One that comes later than the first one that served. */
	if (status >= 0 || !tpi_keeper_has_former())
		return status;
	status = succeed();
	if (status)
		return status;
	close(former.fds.sock);
	close(former.fds.life);
	close(former.fds.keeper);
	close(former.fds.broker);
	return -1;
}
