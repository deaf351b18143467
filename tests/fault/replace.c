/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapiod --replace` under load: each event comes once, no connection is refused, handles go
 * on, nothing grows. And its refusals, before the broker that runs has ended.
 * replace_dies.c has the deaths.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/wire/fdpass.h"
#include "lib/wire/wire.h"
#include "tests/check_main.h"
#include "tests/fault/replace_world.h"

#define REPLACES 20

static pid_t first;

static void begin(void)
{
	first = replace_start("tapiod", "--keeper=process", NULL);
	replace_until(false);
	replace_client("test_replace_client", REPLACE_CONSUMER);
	REPLACE_WAIT(tpi_load_acquire(&shared->consumes));
	replace_client("test_replace_client", REPLACE_PRODUCER);
	replace_flows();
}

static int count_fds(pid_t pid)
{
	char path[64];
	int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_ino;
}

/* The next one has taken over, and the last one has ended with 0. */
static pid_t replace(pid_t before)
{
	pid_t next = replace_start("tapiod", "--replace", NULL);

	REPLACE_WAIT(replace_broker() && replace_keeper() == next);
	ck_assert_int_eq(replace_wait(before), 0);
	return next;
}

/* Long after the start of the first one, so that it keeps all that a keeper keeps. */
START_TEST(twenty_replaces_lose_nothing)
{
	pid_t now;
	ino_t socket;
	int fds;

	begin();
	replace_client("test_replace_client", REPLACE_CONNECTER);
	replace_client("test_replace_client", REPLACE_OPENER);
	socket = inode_of(world_socket);
	now = replace(first);
	REPLACE_WAIT(tpi_load_relaxed(&shared->opens) > 2);
	for (int i = 1; i < REPLACES; i++) {
		now = replace(now);
		replace_flows();
	}
	ck_assert_uint_eq(inode_of(world_socket), socket);
	/* Of the connections, too: some are under way. */
	tpi_store_relaxed(&shared->stop_others, 1);
	fds = count_fds(now);
	ck_assert_int_lt(fds, count_fds(replace_broker()));
	replace_flows();
	ck_assert_uint_gt(shared->connects, REPLACES);
	ck_assert_uint_gt(shared->opens, REPLACES);
	replace_finish();
}
END_TEST

/* The keeper of the twentieth has as many descriptors as that of the first. */
START_TEST(nothing_grows)
{
	pid_t now;
	int fds;

	begin();
	REPLACE_WAIT(count_fds(first) > 64);
	replace_flows();
	fds = count_fds(first);
	now = first;
	for (int i = 0; i < 5; i++) {
		now = replace(now);
		REPLACE_WAIT(count_fds(now) == fds);
	}
	/* And it is a keeper like any other. */
	kill(replace_broker(), SIGKILL);
	REPLACE_WAIT(replace_log_has("restart 1, after"));
	replace_until(true);
	ck_assert_int_eq(replace_keeper(), now);
	REPLACE_WAIT(count_fds(now) == fds);
	replace_finish();
}
END_TEST

/* A keeper that a broker makes executes the program, with the option, and is a keeper. */
START_TEST(a_keeper_that_dies_later_is_replaced)
{
	pid_t now;

	begin();
	now = replace(first);
	kill(now, SIGKILL);
	REPLACE_WAIT(replace_log_has("is the new one, and has"));
	REPLACE_WAIT(replace_keeper() != now);
	kill(replace_broker(), SIGKILL);
	REPLACE_WAIT(replace_log_has("restart 1, after"));
	replace_flows();
	replace(replace_keeper());
	replace_flows();
	replace_finish();
}
END_TEST

START_TEST(a_keeper_that_is_stopped_is_no_hindrance)
{
	pid_t now;

	begin();
	kill(first, SIGSTOP);
	now = replace_start("tapiod", "--replace", NULL);
	REPLACE_WAIT(replace_broker() && replace_keeper() == now);
	ck_assert_int_eq(replace_wait(first), 128 + SIGKILL);
	ck_assert(replace_log_has("both are killed"));
	replace_flows();
	replace_finish();
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------ */

static void refused(const char *option, int status, const char *words)
{
	pid_t broker = replace_broker();
	pid_t other = replace_start("tapiod", "--replace", option, NULL);

	ck_assert_int_eq(replace_wait(other), status);
	ck_assert_msg(replace_log_has(words), "no \"%s\": %s", words,
		      replace_log_end());
	ck_assert_int_eq(replace_broker(), broker);
	ck_assert_int_eq(replace_keeper(), first);
	replace_flows();
}

START_TEST(another_configuration_is_refused_and_the_old_one_goes_on)
{
	begin();
	replace_configure("budget = 64M channel a { stamp = \"none\" "
			  "class c { block = 128 blocks = 1024 } }");
	refused(NULL, 1, "block");
	ck_assert(replace_log_has("cannot take the memory over, and the "
				  "broker that runs goes on"));
	replace_configure("channel {");
	refused(NULL, 1, "conf");
	replace_configure(replace_config);
	replace(first);
	replace_finish();
}
END_TEST

START_TEST(rules_that_have_changed_are_no_other_memory)
{
	begin();
	replace_configure("budget = 64M clients_max = 77 "
			  "channel a { stamp = \"none\" class c { block = 64 "
			  "blocks = 1024 side_blocks = 1024 } group g { policy "
			  "= lossless } group h { } }");
	replace(first);
	replace_flows();
	replace_finish();
}
END_TEST

START_TEST(options_that_do_not_go_together_are_usage)
{
	begin();
	refused("--keeper=none", 2, "needs a keeper");
	refused("--keeper=systemd", 2, "systemctl restart");
	refused("--discard-memory", 2, "--replace excludes");
	refused("--reload", 2, "--replace excludes");
	replace_finish();
}
END_TEST

START_TEST(without_a_broker_there_is_nothing_to_take)
{
	pid_t other = replace_start("tapiod", "--replace", NULL);

	ck_assert_int_eq(replace_wait(other), 4);
	ck_assert(replace_log_has("no broker answers"));
}
END_TEST

START_TEST(a_broker_without_a_keeper_cannot_hand_over)
{
	pid_t alone = replace_start("tapiod", "--no-keeper", NULL), other;

	REPLACE_WAIT(replace_broker());
	other = replace_start("tapiod", "--replace", NULL);
	ck_assert_int_eq(replace_wait(other), 4);
	ck_assert(replace_log_has("runs without a keeper"));
	ck_assert_int_eq(replace_broker(), alone);
	kill(alone, SIGTERM);
	ck_assert_int_eq(replace_wait(alone), 0);
}
END_TEST

/* It answers as one from before there was such a message. */
static void be_an_older_one(void)
{
	union tpi_wire_message m;
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, world_socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), client;

	if (bind(fd, (void *)&address, (socklen_t)length) || listen(fd, 1))
		_exit(1);
	client = accept(fd, NULL, NULL);
	if (recv(client, &m, sizeof(m), 0) <= 0)
		_exit(2);
	tpi_wire_init(&m, TPI_WIRE_REFUSED);
	m.header.minor = TPI_WIRE_MINOR_REPLACE - 1;
	m.refused.error = -EBADMSG;
	strcpy(m.refused.text, "message type 16 is not one of 1 to 15");
	send(client, &m, m.header.length, MSG_NOSIGNAL);
	_exit(0);
}

START_TEST(an_older_broker_is_named)
{
	pid_t older = fork(), other;

	if (!older)
		be_an_older_one();
	REPLACE_WAIT(!access(world_socket, F_OK));
	other = replace_start("tapiod", "--replace", NULL);
	ck_assert_int_eq(replace_wait(other), 4);
	ck_assert(replace_log_has("is an older one (protocol 1.4)"));
	ck_assert_int_eq(replace_wait(older), 0);
}
END_TEST

static uid_t nobody(void)
{
	const struct passwd *user = getpwnam("nobody");

	return geteuid() || !user ? 0 : user->pw_uid;
}

/* The socket is open to it. */
START_TEST(another_user_is_refused)
{
	pid_t other;

	if (!nobody())
		return;
	begin();
	ck_assert_int_eq(chmod(world_socket, 0666), 0);
	ck_assert_int_eq(chmod(world_config, 0644), 0);
	replace_open_directory(0);
	replace_uid = nobody();
	other = replace_start("tapiod", "--replace", NULL);
	replace_uid = 0;
	ck_assert_int_eq(replace_wait(other), 4);
	ck_assert(replace_log_has("is for root and the broker's own user"));
	ck_assert_int_eq(replace_keeper(), first);
	replace_flows();
	replace_finish();
}
END_TEST

/* Not even by root: the memory is that user's. */
START_TEST(memory_of_another_user_is_not_believed)
{
	pid_t other;

	if (!nobody())
		return;
	ck_assert_int_eq(chmod(world_config, 0644), 0);
	replace_open_directory(nobody());
	replace_uid = nobody();
	first = replace_start("tapiod", "--keeper=process", NULL);
	replace_uid = 0;
	replace_until(false);
	other = replace_start("tapiod", "--replace", NULL);
	ck_assert_int_eq(replace_wait(other), 4);
	ck_assert(replace_log_has("MUST run as the user of the old one"));
	ck_assert_int_eq(replace_keeper(), first);
	/* That user may. */
	replace_uid = nobody();
	replace(first);
	replace_uid = 0;
	replace_end();
}
END_TEST

START_TEST(a_service_manager_restarts_by_itself)
{
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), length;
	struct sockaddr_un address;
	char name[64];

	begin();
	snprintf(name, sizeof(name), "@tapio-replace-%d", getpid());
	length = tpi_socket_address(&address, name);
	ck_assert_int_eq(bind(sock, (void *)&address, (socklen_t)length), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("FDSTORE", "100", 1);
	refused(NULL, 2, "systemctl restart");
	unsetenv("FDSTORE");
	/* One without a store is told as by any other start. */
	replace(first);
	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_gt(recv(sock, name, sizeof(name) - 1, 0), 0);
	ck_assert(!strncmp(name, "READY=1", 7));
	close(sock);
	replace_finish();
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("replace");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, replace_set_up, replace_tear_down);
	tcase_add_test(c, twenty_replaces_lose_nothing);
	tcase_add_test(c, nothing_grows);
	tcase_add_test(c, a_keeper_that_dies_later_is_replaced);
	tcase_add_test(c, a_keeper_that_is_stopped_is_no_hindrance);
	tcase_add_test(
		c, another_configuration_is_refused_and_the_old_one_goes_on);
	tcase_add_test(c, rules_that_have_changed_are_no_other_memory);
	tcase_add_test(c, options_that_do_not_go_together_are_usage);
	tcase_add_test(c, without_a_broker_there_is_nothing_to_take);
	tcase_add_test(c, a_broker_without_a_keeper_cannot_hand_over);
	tcase_add_test(c, an_older_broker_is_named);
	tcase_add_test(c, another_user_is_refused);
	tcase_add_test(c, memory_of_another_user_is_not_believed);
	tcase_add_test(c, a_service_manager_restarts_by_itself);
	return check_run_case("replace", c);
}
