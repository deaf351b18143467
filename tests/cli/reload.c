/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapiod --reload` and SIGHUP with the program itself: exit statuses, lines of the log,
 * files that are gone or no files, and signals that come early or by the hundred. Changes
 * that a configuration may make are tested in tests/fault/reload.c.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "tests/cli/command.h"
#include "tests/cli/daemon.h"
#include "tests/check_main.h"

#define CHANNEL \
	"channel a { class m { blocks = 64 block = 64 side_lanes = 2 } }\n"
/* Half a lane is more than 960. */
#define MORE                                                             \
	"channel b { class m { block = 64 blocks = 2048 side_lanes = 2 " \
	"side_blocks = 2048 } group d { policy = lossless } }\n"
#define RULE "allow all { any = true role = {produce} }\n"

#define LIMIT_MS 60000

static struct command command;
static pid_t broker;
static int log_fd = -1;
static char log_text[65536];
static size_t log_used;

static void write_config(const char *text)
{
	char fresh[sizeof(daemon_config) + 8];
	FILE *out;

	snprintf(fresh, sizeof(fresh), "%s.new", daemon_config);
	out = fopen(fresh, "w");
	ck_assert_ptr_nonnull(out);
	ck_assert_int_ge(fputs(text, out), 0);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(rename(fresh, daemon_config), 0);
}

/* With `early`, SIGHUP is pending before the program begins, and blocked. */
static void become_broker(int log, bool early)
{
	sigset_t hup;

	sigemptyset(&hup);
	sigaddset(&hup, SIGHUP);
	if (early) {
		sigprocmask(SIG_BLOCK, &hup, NULL);
		raise(SIGHUP);
	}
	dup2(log, STDERR_FILENO);
	execl(TAPIO_BIN "/tapiod", "tapiod", "-c", daemon_config, "-s",
	      daemon_socket, NULL);
	_exit(126);
}

/* Reads the log on until it has these words so many times. */
static void wait_said(const char *words, int times)
{
	struct pollfd p = {.fd = log_fd, .events = POLLIN};
	const char *at;
	ssize_t n;
	int count;

	for (;;) {
		count = 0;
		for (at = log_text; (at = strstr(at, words)); at++)
			count++;
		if (count >= times)
			return;
		ck_assert_msg(poll(&p, 1, LIMIT_MS) == 1,
			      "the log never had \"%s\": %s", words, log_text);
		n = read(log_fd, log_text + log_used,
			 sizeof(log_text) - 1 - log_used);
		ck_assert_msg(n > 0, "the broker ended: %s", log_text);
		log_used += (size_t)n;
		log_text[log_used] = 0;
	}
}

static void start(bool early)
{
	int ends[2];

	log_used = 0;
	log_text[0] = 0;
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	broker = fork();
	if (!broker)
		become_broker(ends[1], early);
	ck_assert_int_gt(broker, 0);
	close(ends[1]);
	log_fd = ends[0];
	wait_said(" serves 1 channel ", 1);
}

static void stop(void)
{
	ck_assert_int_eq(daemon_stop(broker, SIGTERM), 0);
	close(log_fd);
}

static void set_up(void)
{
	daemon_set_up();
	write_config(CHANNEL);
	start(false);
}

static void tear_down(void)
{
	stop();
	daemon_tear_down();
}

/* What a part of tapio-shmstat says. Until the next call. */
static const char *shmstat(const char *part)
{
	static char said[65536];

	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "--json", part, NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	snprintf(said, sizeof(said), "%s", command.out);
	command_free(&command);
	return said;
}

static void run_reload(int status)
{
	command_run(&command, "tapiod", "--reload", "-s", daemon_socket, NULL);
	ck_assert_msg(command.status == status, "%d: %s%s", command.status,
		      command.out, command.err);
}

/* ---- SIGHUP ------------------------------------------------------------------------ */

START_TEST(sighup_takes_a_changed_file)
{
	write_config(CHANNEL RULE);
	ck_assert_int_eq(kill(broker, SIGHUP), 0);
	wait_said("in force: 1 allow rule,", 1);
	write_config(CHANNEL);
	ck_assert_int_eq(kill(broker, SIGHUP), 0);
	wait_said("in force: 0 allow rules,", 1);
	ck_assert(daemon_answers());
}
END_TEST

START_TEST(sighup_with_a_wrong_file_is_an_error_line_and_no_end)
{
	write_config(CHANNEL "socket_mode = 9\n");
	ck_assert_int_eq(kill(broker, SIGHUP), 0);
	wait_said("tapiod: error: reload: refused, nothing has changed", 1);
	wait_said("conf:2: socket_mode = \"9\"", 1);
	ck_assert(daemon_answers());
	write_config(CHANNEL);
	ck_assert_int_eq(kill(broker, SIGHUP), 0);
	wait_said("in force:", 1);
}
END_TEST

static void vanish(void)
{
	ck_assert_int_eq(unlink(daemon_config), 0);
}

static void become_directory(void)
{
	ck_assert_int_eq(unlink(daemon_config), 0);
	ck_assert_int_eq(mkdir(daemon_config, 0700), 0);
}

/* A read of it would wait for a writer, and the broker with it. */
static void become_fifo(void)
{
	ck_assert_int_eq(unlink(daemon_config), 0);
	ck_assert_int_eq(mkfifo(daemon_config, 0600), 0);
}

static void become_loop(void)
{
	ck_assert_int_eq(unlink(daemon_config), 0);
	ck_assert_int_eq(symlink(daemon_config, daemon_config), 0);
}

static const struct {
	void (*make)(void);
	const char *why;
} no_files[] = {
	{vanish, "No such file or directory"},
	{become_directory, "it is no regular file"},
	{become_fifo, "it is no regular file"},
	{become_loop, "Too many levels of symbolic links"},
};

START_TEST(what_is_no_file_is_refused_and_the_old_one_stays_in_force)
{
	no_files[_i].make();
	ck_assert_int_eq(kill(broker, SIGHUP), 0);
	wait_said(no_files[_i].why, 1);
	wait_said("reload: refused, nothing has changed", 1);
	run_reload(1);
	ck_assert_ptr_nonnull(strstr(command.err, no_files[_i].why));
	command_free(&command);
	if (remove(daemon_config))
		ck_assert_int_eq(errno, ENOENT);
	write_config(CHANNEL);
	run_reload(0);
	command_free(&command);
}
END_TEST

/* It was sent before the program had begun, and waits until the broker serves. */
START_TEST(sighup_during_the_start_is_heeded_after_it)
{
	stop();
	start(true);
	wait_said("reload: ", 1);
	ck_assert_ptr_nonnull(strstr(log_text, "in force: 0 allow rules"));
	ck_assert_ptr_nonnull(strstr(log_text, " serves 1 channel "));
	ck_assert(strstr(log_text, "serves 1 channel") <
		  strstr(log_text, "in force:"));
}
END_TEST

/* Signals that come together are one. The last one is heeded after it came. */
START_TEST(a_storm_of_signals_ends_with_the_last_file)
{
	for (int i = 0; i < 2000; i++)
		ck_assert_int_eq(kill(broker, SIGHUP), 0);
	write_config(CHANNEL RULE);
	ck_assert_int_eq(kill(broker, SIGHUP), 0);
	wait_said("in force: 1 allow rule,", 1);
	run_reload(0);
	command_free(&command);
}
END_TEST

/* ---- --reload ---------------------------------------------------------------------- */

START_TEST(reload_prints_what_is_in_force)
{
	write_config(CHANNEL RULE "clients_max = 77\n");
	run_reload(0);
	ck_assert_ptr_nonnull(strstr(command.out, daemon_socket));
	ck_assert_ptr_nonnull(strstr(
		command.out, "in force: 1 allow rule, clients_max 77; groups"));
	ck_assert_str_eq(command.err, "");
	command_free(&command);
	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "--json", "broker", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_ptr_nonnull(strstr(command.out, "\"reloads\": 1"));
	ck_assert_ptr_nonnull(strstr(command.out, "\"reload_refusals\": 0"));
	command_free(&command);
}
END_TEST

START_TEST(a_refused_reload_has_status_1_and_the_reason)
{
	write_config(CHANNEL "channels_max = 99\n");
	run_reload(1);
	ck_assert_ptr_nonnull(strstr(command.err,
				     "refused, nothing has changed: 1 "
				     "difference to what is served"));
	ck_assert_ptr_nonnull(strstr(command.err, "channels_max: 17 -> 99"));
	command_free(&command);
	wait_said("error: reload: channels_max: 17 -> 99: ", 1);
}
END_TEST

/* With -c the file is checked before the broker is asked. */
START_TEST(a_file_that_is_named_is_checked_first)
{
	write_config("channel {");
	command_run(&command, "tapiod", "--reload", "-c", daemon_config, "-s",
		    daemon_socket, NULL);
	ck_assert_int_eq(command.status, 1);
	ck_assert_ptr_nonnull(strstr(command.err, daemon_config));
	ck_assert_ptr_null(strstr(command.err, "refused"));
	command_free(&command);
	/* The socket that it names is asked. */
	char text[256];
	snprintf(text, sizeof(text), "socket = \"%s.other\"\n" CHANNEL,
		 daemon_socket);
	write_config(text);
	command_run(&command, "tapiod", "--reload", "-c", daemon_config, NULL);
	ck_assert_int_eq(command.status, 4);
	ck_assert_ptr_nonnull(strstr(command.err, "sock.other: no broker"));
	command_free(&command);
}
END_TEST

/* Without -s, and where no file names another one: on commit 1ab11d0 it asked at the
 * usual place. */
START_TEST(the_socket_of_the_environment_is_asked)
{
	write_config(CHANNEL RULE);
	ck_assert_int_eq(setenv("TAPIO_SOCKET", daemon_socket, 1), 0);
	command_run(&command, "tapiod", "--reload", "-c", daemon_config, NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_ptr_nonnull(strstr(command.out, daemon_socket));
	command_free(&command);
	/* As for clients, what is empty is none. */
	ck_assert_int_eq(setenv("TAPIO_SOCKET", "", 1), 0);
	command_run(&command, "tapiod", "--reload", "-s", daemon_socket, NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	command_free(&command);
}
END_TEST

START_TEST(no_broker_has_status_4)
{
	command_run(&command, "tapiod", "--reload", "-s", "/nonexistent/s",
		    NULL);
	ck_assert_int_eq(command.status, 4);
	ck_assert_ptr_nonnull(strstr(command.err, "no broker answers"));
	command_free(&command);
	char name[200];
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	command_run(&command, "tapiod", "--reload", "-s", name, NULL);
	ck_assert_int_eq(command.status, 4);
	ck_assert_ptr_nonnull(strstr(command.err, "a socket's name has 1 to"));
	command_free(&command);
	command_run(&command, "tapiod", "--reload", "--print-config", NULL);
	ck_assert_int_eq(command.status, 2);
	command_free(&command);
}
END_TEST

static mode_t socket_mode(void)
{
	struct stat st;

	ck_assert_int_eq(stat(daemon_socket, &st), 0);
	return st.st_mode & 0777;
}

START_TEST(the_sockets_mode_and_group_change)
{
	struct stat st;

	ck_assert_uint_eq(socket_mode(), 0660);
	write_config("socket_mode = 0666\n" CHANNEL);
	run_reload(0);
	command_free(&command);
	ck_assert_uint_eq(socket_mode(), 0666);
	if (!geteuid()) {
		write_config(
			"socket_mode = 0620 socket_group = 4321\n" CHANNEL);
		run_reload(0);
		command_free(&command);
		ck_assert_uint_eq(socket_mode(), 0620);
		ck_assert_int_eq(stat(daemon_socket, &st), 0);
		ck_assert_uint_eq(st.st_gid, 4321);
	}
	/* Refused: the mode stays. */
	write_config("socket_mode = 0600 channels_max = 99\n" CHANNEL);
	run_reload(1);
	command_free(&command);
	ck_assert_uint_ne(socket_mode(), 0600);
}
END_TEST

START_TEST(a_socket_that_is_gone_takes_no_mode_and_no_group_is_made)
{
	char away[sizeof(daemon_socket) + 8];

	snprintf(away, sizeof(away), "%s.away", daemon_socket);
	ck_assert_int_eq(rename(daemon_socket, away), 0);
	write_config("socket_mode = 0666 channel a { group g {} class m { "
		     "blocks = 64 block = 64 side_lanes = 2 } }\n" MORE);
	/* The last step that can fail: the new channel was made by then. */
	ck_assert_int_eq(kill(broker, SIGHUP), 0);
	wait_said("so its mode and group cannot change", 1);
	ck_assert_int_eq(rename(away, daemon_socket), 0);
	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "--json", "groups", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_ptr_null(strstr(command.out, "\"g\""));
	command_free(&command);
	ck_assert_ptr_null(strstr(shmstat("channels"), "\"b\""));
	run_reload(0);
	ck_assert_ptr_nonnull(strstr(command.out, "groups: 2 made"));
	ck_assert_ptr_nonnull(strstr(command.out, "channels: 1 made"));
	command_free(&command);
	ck_assert_ptr_nonnull(strstr(shmstat("channels"), "\"b\""));
}
END_TEST

/* ---- channels ------------------------------------------------------------------------- */

/* As the log has it. */
static pid_t serving(void)
{
	const char *at = log_text, *last = NULL;
	int pid = 0;

	while ((at = strstr(at, ", process ")))
		last = at++;
	ck_assert_ptr_nonnull(last);
	ck_assert_int_eq(sscanf(last, ", process %d, serves", &pid), 1);
	return pid;
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

/* The keeper takes descriptors some time after the broker serves. */
static int steady_fds(pid_t pid)
{
	int fds = count_fds(pid), now;

	for (int i = 0; i < 100; i++) {
		usleep(10000);
		now = count_fds(pid);
		if (now != fds)
			i = 0;
		fds = now;
	}
	return fds;
}

/* The keeper closes a descriptor some time after it was told. */
static void settle_at(pid_t pid, int fds)
{
	for (int i = 0; i < LIMIT_MS && count_fds(pid) != fds; i++)
		usleep(1000);
	ck_assert_int_eq(count_fds(pid), fds);
}

static void emit(const char *channel, uint32_t count)
{
	struct tapio_options options = {.size = sizeof(options),
					.socket = daemon_socket};
	struct tapio_producer *p;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_int_eq(tapio_producer_open(&p, channel, &options), 0);
	for (uint32_t n = 0; n < count; n++)
		ck_assert_int_eq(
			tapio_output(p, TAPIO_TAG(100, 5), &n, sizeof(n)), 0);
	tapio_producer_close(p);
}

static uint32_t read_all(const char *channel, const char *group)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = {.size = sizeof(options.broker),
			   .socket = daemon_socket},
		.group = group,
	};
	struct tapio_view views[64];
	struct tapio_consumer *c;
	uint32_t count = 0;
	int n;

	ck_assert_int_eq(tapio_consumer_open(&c, channel, &options), 0);
	while ((n = tapio_poll(c, views, 64, 0)) > 0) {
		count += (uint32_t)n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_int_eq(n, 0);
	tapio_consumer_close(c);
	return count;
}

/* Which the keeper has, too, and tapio-shmstat shows. */
START_TEST(a_removed_channel_drains_and_is_forgotten_by_all)
{
	pid_t worker = serving();
	int keeper_fds = steady_fds(broker), worker_fds = steady_fds(worker);

	write_config(CHANNEL MORE);
	run_reload(0);
	command_free(&command);
	emit("b", 960);
	ck_assert_int_gt(count_fds(worker), worker_fds + 64);
	write_config(CHANNEL);
	run_reload(0);
	ck_assert_ptr_nonnull(strstr(command.out, "1 removed"));
	command_free(&command);
	wait_said("0 attached, 960 unread events of 1 durable group", 1);
	ck_assert_ptr_nonnull(
		strstr(shmstat("channels"),
		       "removed, draining: 960 unread, 0 attached"));
	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "check", NULL);
	ck_assert_msg(!command.status, "%s%s", command.out, command.err);
	command_free(&command);
	ck_assert_int_gt(count_fds(broker), keeper_fds + 64);
	ck_assert_uint_eq(read_all("b", "d"), 960);
	wait_said("channel \"b\" is drained", 1);
	ck_assert_ptr_null(strstr(shmstat("channels"), "\"b\""));
	settle_at(worker, worker_fds);
	settle_at(broker, keeper_fds);
}
END_TEST

/* The broker is killed, and its file is another one by then. */
START_TEST(a_successor_makes_the_channels_of_its_file)
{
	pid_t killed = serving();

	emit("a", 10);
	write_config(CHANNEL MORE);
	ck_assert_int_eq(kill(killed, SIGKILL), 0);
	wait_said(" serves 2 channels ", 1);
	wait_said("took over the memory", 1);
	emit("b", 10);
	ck_assert_uint_eq(read_all("b", "d"), 10);
	write_config(MORE);
	killed = serving();
	ck_assert_int_eq(kill(killed, SIGKILL), 0);
	wait_said("channel \"a\" was removed from the configuration", 1);
	wait_said("channel \"a\" is drained", 1);
	emit("b", 10);
}
END_TEST

/* One that may not start leaves all as it is, for one with the right file. */
START_TEST(a_successor_with_another_size_is_refused)
{
	write_config(CHANNEL MORE);
	run_reload(0);
	command_free(&command);
	emit("b", 960);
	write_config(CHANNEL
		     "channel b { class m { block = 64 blocks = 64 } }\n");
	ck_assert_int_eq(kill(serving(), SIGKILL), 0);
	wait_said("channel \"b\", class \"m\": blocks: 2048 -> 64: its memory "
		  "cannot change",
		  1);
	write_config(CHANNEL MORE);
	wait_said(" serves 2 channels ", 1);
	ck_assert_uint_eq(read_all("b", "d"), 960);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("reload");
	Suite *suite = suite_create("reload");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, sighup_takes_a_changed_file);
	tcase_add_test(c, sighup_with_a_wrong_file_is_an_error_line_and_no_end);
	tcase_add_loop_test(
		c, what_is_no_file_is_refused_and_the_old_one_stays_in_force, 0,
		(int)(sizeof(no_files) / sizeof(no_files[0])));
	tcase_add_test(c, sighup_during_the_start_is_heeded_after_it);
	tcase_add_test(c, a_storm_of_signals_ends_with_the_last_file);
	tcase_add_test(c, reload_prints_what_is_in_force);
	tcase_add_test(c, a_refused_reload_has_status_1_and_the_reason);
	tcase_add_test(c, a_file_that_is_named_is_checked_first);
	tcase_add_test(c, the_socket_of_the_environment_is_asked);
	tcase_add_test(c, no_broker_has_status_4);
	tcase_add_test(c, the_sockets_mode_and_group_change);
	tcase_add_test(
		c, a_socket_that_is_gone_takes_no_mode_and_no_group_is_made);
	tcase_add_test(c, a_removed_channel_drains_and_is_forgotten_by_all);
	tcase_add_test(c, a_successor_makes_the_channels_of_its_file);
	tcase_add_test(c, a_successor_with_another_size_is_refused);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
