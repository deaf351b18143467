/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod as a program: its options, its exit statuses (tapiod(8)), its signals,
 * and the socket that it leaves or takes away.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"
#include "tests/cli/command.h"
#include "tests/cli/daemon.h"
#include "tests/fault/deny.h"
#include "tests/check_main.h"

static struct command command;

static const char *config(const char *text)
{
	FILE *out = fopen(daemon_config, "w");

	fputs(text, out);
	fclose(out);
	return daemon_config;
}

/* ---- without serving ------------------------------------------------------------- */

START_TEST(help_and_version_name_the_program)
{
	command_run(&command, "tapiod", "--help", NULL);
	ck_assert_int_eq(command.status, 0);
	ck_assert_ptr_nonnull(strstr(command.out, "--print-config"));
	ck_assert_ptr_nonnull(strstr(command.out, "Exit status"));
	command_free(&command);
	command_run(&command, "tapiod", "--version", NULL);
	ck_assert_int_eq(command.status, 0);
	ck_assert_ptr_nonnull(strstr(command.out, "tapiod "));
	command_free(&command);
}
END_TEST

static const struct {
	const char *arguments[3];
	const char *message;
} wrong_usages[] = {
	{{"--nonsense"}, "unrecognized option '--nonsense'"},
	{{"argument"}, "unexpected argument \"argument\""},
	{{"--log-level=loud"}, "--log-level=loud: not one of error, warning"},
	{{"--simulate=many"}, "--simulate=many: must be CPUS or CPUSxNODES"},
	{{"--simulate=8"}, "--simulate needs --check"},
};
#define WRONG_USAGES (int)(sizeof(wrong_usages) / sizeof(wrong_usages[0]))

START_TEST(wrong_usage_is_named_and_ends_with_2)
{
	command_refuses("tapiod", wrong_usages[_i].arguments,
			wrong_usages[_i].message);
}
END_TEST

START_TEST(check_says_what_a_configuration_costs)
{
	command_run(
		&command, "tapiod", "--check",
		config("channel a {} channel b { class c { blocks = 64 } }"),
		NULL);
	ck_assert_int_eq(command.status, 0);
	ck_assert_ptr_nonnull(strstr(command.out, "channel \"a\""));
	ck_assert_ptr_nonnull(strstr(command.out, "ok"));
	command_free(&command);
	command_run(&command, "tapiod", "--check", daemon_config,
		    "--simulate=512x8", NULL);
	ck_assert_int_eq(command.status, 0);
	ck_assert_ptr_nonnull(strstr(command.out, "512 CPUs and 8 nodes"));
	command_free(&command);
}
END_TEST

START_TEST(check_of_a_bad_configuration_has_status_1_and_names_the_line)
{
	char line[100];

	command_run(&command, "tapiod", "--check",
		    config("\nchannel a {\n class c { blocks = 7 }\n}\n"),
		    NULL);
	ck_assert_int_eq(command.status, 1);
	snprintf(line, sizeof(line), "%s:3: blocks = 7", daemon_config);
	ck_assert_msg(strstr(command.err, line), "%s", command.err);
	command_free(&command);
	unlink(daemon_config);
	command_run(&command, "tapiod", "--check", daemon_config, NULL);
	ck_assert_int_eq(command.status, 1);
	ck_assert_ptr_nonnull(strstr(command.err, daemon_config));
	command_free(&command);
}
END_TEST

START_TEST(check_of_what_does_not_fit_has_status_3_and_the_numbers)
{
	command_run(
		&command, "tapiod", "--check",
		config("budget = \"1M\" channel a { class c { blocks = 65536 "
		       "} }"),
		NULL);
	ck_assert_int_eq(command.status, 3);
	ck_assert_ptr_nonnull(strstr(command.err, "1048576"));
	command_free(&command);
}
END_TEST

/* Sixteen channels of 64 GB for each CPU. On commit fddcec1 the check was passed. */
START_TEST(check_of_more_than_the_machine_has_has_status_3_and_both_numbers)
{
	char text[4096] = "budget = 100000G hugepages = never ";

	for (int i = 0; i < 16; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "channel c%d { class m { block = 1048512 blocks = "
			 "65536 } } ",
			 i);
	command_run(&command, "tapiod", "--check", config(text), NULL);
	ck_assert_int_eq(command.status, 3);
	ck_assert_ptr_nonnull(strstr(command.out, "channel \"c15\""));
	ck_assert_ptr_nonnull(strstr(command.out, "  class \"m\""));
	ck_assert_ptr_nonnull(strstr(command.out, "DOES NOT FIT"));
	ck_assert_ptr_nonnull(
		strstr(command.err, " available on this machine (channel"));
	command_free(&command);
	/* Nor does tapiod begin with it. */
	command_run(&command, "tapiod", "--socket", daemon_socket, "--config",
		    daemon_config, NULL);
	ck_assert_int_eq(command.status, 3);
	ck_assert_ptr_nonnull(
		strstr(command.err, " available on this machine (channel"));
	command_free(&command);
	/* Another machine may have it. */
	command_run(&command, "tapiod", "--check", daemon_config,
		    "--simulate=2", NULL);
	ck_assert_int_eq(command.status, 0);
	command_free(&command);
}
END_TEST

START_TEST(what_print_config_prints_passes_the_check)
{
	command_run(&command, "tapiod", "--config",
		    config("clients_max = 77 channel x { full = wait }"),
		    "--print-config", NULL);
	ck_assert_int_eq(command.status, 0);
	ck_assert_ptr_nonnull(strstr(command.out, "clients_max = 77"));
	config(command.out);
	command_free(&command);
	command_run(&command, "tapiod", "--check", daemon_config, NULL);
	ck_assert_int_eq(command.status, 0);
	command_free(&command);
}
END_TEST

START_TEST(the_example_configuration_is_right)
{
	command_run(&command, "tapiod", "--check", EXAMPLE, NULL);
	ck_assert_msg(command.status == 0, "%s", command.err);
	command_free(&command);
}
END_TEST

/* ---- serving ----------------------------------------------------------------------- */

/* A test about the death of one process has no keeper. */
static const char *keeper = "--keeper=auto";

static pid_t start(long denied)
{
	pid_t pid = fork();

	if (!pid) {
		if (denied && !deny_syscall(denied, EPERM))
			_exit(77);
		execl(TAPIO_BIN "/tapiod", "tapiod", "--socket", daemon_socket,
		      "--log-level=error", keeper, (char *)NULL);
		_exit(127);
	}
	if (!denied)
		(void)daemon_comes();
	return pid;
}

/* tapiod as a user with a session. The program may lie where only root can go. */
static void become_user_and_serve(void)
{
	int program = open(TAPIO_BIN "/tapiod", O_RDONLY | O_CLOEXEC);
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char *argv[] = {"tapiod", "--config", daemon_config, NULL};

	setenv("XDG_RUNTIME_DIR", daemon_directory, 1);
	if (!geteuid() && (chown(daemon_directory, 65534, 65534) ||
			   setgid(65534) || setuid(65534)))
		_exit(126);
	dup2(quiet, STDERR_FILENO);
	fexecve(program, argv, environ);
	_exit(127);
}

START_TEST(a_plain_user_needs_no_options_to_serve)
{
	char own[80];
	pid_t pid;

	/* Fails on commit fddcec1: it asked for /run/tapio. */
	config("budget = 64M channel a { class c { blocks = 64 } }");
	snprintf(own, sizeof(own), "%s/tapio", daemon_directory);
	snprintf(daemon_socket, sizeof(daemon_socket), "%s/tapio/tapiod.sock",
		 daemon_directory);
	pid = fork();
	if (!pid)
		become_user_and_serve();
	ck_assert(daemon_comes());
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
	ck_assert_int_eq(access(daemon_socket, F_OK), -1);
	ck_assert_int_eq(rmdir(own), 0);
}
END_TEST

START_TEST(sigterm_is_a_clean_end_and_sighup_none)
{
	pid_t pid = start(0);

	ck_assert(daemon_answers());
	kill(pid, SIGHUP);
	ck_assert(daemon_answers());
	ck_assert_int_eq(daemon_stop(pid, _i ? SIGTERM : SIGINT), 0);
	ck_assert_int_eq(access(daemon_socket, F_OK), -1);
}
END_TEST

START_TEST(a_second_one_has_status_4_and_does_not_harm_the_first)
{
	pid_t pid = start(0);

	command_run(&command, "tapiod", "--socket", daemon_socket, NULL);
	ck_assert_int_eq(command.status, 4);
	ck_assert_ptr_nonnull(strstr(command.err, "another broker serves"));
	command_free(&command);
	ck_assert(daemon_answers());
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(after_sigkill_the_next_one_takes_the_socket)
{
	pid_t pid;

	keeper = "--no-keeper";
	pid = start(0);
	ck_assert_int_eq(daemon_stop(pid, SIGKILL), 128 + SIGKILL);
	ck_assert_int_eq(access(daemon_socket, F_OK), 0);
	/* The kernel lets go of it a little later. */
	for (int i = 0; i < 6000 && daemon_answers(); i++)
		usleep(10000);
	ck_assert(!daemon_answers());
	pid = start(0);
	ck_assert(daemon_answers());
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
}
END_TEST

/* Fails on commit fddcec1: the status was 5. */
START_TEST(without_io_uring_it_serves_and_shmstat_shows_it)
{
	pid_t pid = start(SYS_io_uring_setup);

	if (!daemon_comes()) {
		ck_assert_int_eq(daemon_stop(pid, 0), 77);
		fprintf(stderr, "skipped: no seccomp filters here\n");
		return;
	}
	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "--json", "broker", NULL);
	ck_assert_int_eq(command.status, 0);
	ck_assert_ptr_nonnull(strstr(command.out, "features"));
	ck_assert_ptr_null(strstr(command.out, "io_uring"));
	command_free(&command);
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(without_io_uring_and_epoll_the_status_is_5)
{
	int status;

	/* Tests run in processes of their own. */
	if (!deny_syscall(SYS_epoll_create1, EPERM)) {
		fprintf(stderr, "skipped: no seccomp filters here\n");
		return;
	}
	status = daemon_stop(start(SYS_io_uring_setup), 0);
	ck_assert_int_eq(status, 5);
}
END_TEST

START_TEST(without_rseq_it_serves_and_the_catalog_says_why)
{
	pid_t pid = start(SYS_rseq);
	int status = 0;

	for (int i = 0; i < 6000 && !daemon_answers(); i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		usleep(10000);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		fprintf(stderr, "skipped: no seccomp filters here\n");
		return;
	}
	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "broker", NULL);
	ck_assert_int_eq(command.status, 0);
	ck_assert_ptr_nonnull(strstr(command.out, "absent"));
	ck_assert_ptr_nonnull(
		strstr(command.out,
		       "not registered by libc or refused by the kernel"));
	command_free(&command);
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(a_service_manager_is_told_when_it_serves)
{
	struct sockaddr_un address;
	char name[90], text[32] = "";
	int length, fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct timeval patience = {.tv_sec = 5};
	pid_t pid;

	snprintf(name, sizeof(name), "@tapio-notify-%d", getpid());
	length = tpi_socket_address(&address, name);
	ck_assert_int_eq(bind(fd, (void *)&address, (socklen_t)length), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setenv("NOTIFY_SOCKET", name, 1);
	pid = start(0);
	ck_assert_int_eq(recv(fd, text, sizeof(text) - 1, 0), 7);
	ck_assert_str_eq(text, "READY=1");
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
	close(fd);
}
END_TEST

/* The first line that tapiod logs to a file, as JOURNAL_STREAM says or not. */
static void log_line(bool journal, char *line, int bytes)
{
	char stream[64], log[80];
	struct stat st;
	pid_t pid;
	FILE *in;
	int fd;

	snprintf(log, sizeof(log), "%s/log", daemon_directory);
	fd = open(log, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(fstat(fd, &st), 0);
	/* Another file's inode: stderr was redirected under the journal. */
	snprintf(stream, sizeof(stream), "%llu:%llu",
		 (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !journal);
	pid = fork();
	if (!pid) {
		dup2(fd, 2);
		setenv("JOURNAL_STREAM", stream, 1);
		execl(TAPIO_BIN "/tapiod", "tapiod", "--socket", daemon_socket,
		      (char *)NULL);
		_exit(127);
	}
	ck_assert(daemon_comes());
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
	in = fopen(log, "r");
	ck_assert_ptr_nonnull(fgets(line, bytes, in));
	fclose(in);
	close(fd);
	unlink(log);
}

START_TEST(in_the_journal_lines_have_their_level)
{
	char line[256];

	log_line(true, line, sizeof(line));
	ck_assert_msg(!strncmp(line, "<5>", 3), "%s", line);
}
END_TEST

START_TEST(elsewhere_lines_have_their_time)
{
	char line[256];
	struct tm tm = {0};
	int ms, n = 0;

	/* Fails on commit fddcec1: lines had no time. */
	log_line(false, line, sizeof(line));
	ck_assert_msg(sscanf(line, "%d-%d-%dT%d:%d:%d.%3dZ tapiod: notice: %n",
			     &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
			     &tm.tm_min, &tm.tm_sec, &ms, &n) == 7 &&
			      n == 41,
		      "%s", line);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	ck_assert_int_le(llabs((long long)timegm(&tm) - time(NULL)), 60);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("tapiod");

	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, daemon_set_up, daemon_tear_down);
	tcase_add_test(c, help_and_version_name_the_program);
	tcase_add_loop_test(c, wrong_usage_is_named_and_ends_with_2, 0,
			    WRONG_USAGES);
	tcase_add_test(c, check_says_what_a_configuration_costs);
	tcase_add_test(
		c,
		check_of_a_bad_configuration_has_status_1_and_names_the_line);
	tcase_add_test(c,
		       check_of_what_does_not_fit_has_status_3_and_the_numbers);
	tcase_add_test(
		c,
		check_of_more_than_the_machine_has_has_status_3_and_both_numbers);
	tcase_add_test(c, what_print_config_prints_passes_the_check);
	tcase_add_test(c, the_example_configuration_is_right);
	tcase_add_test(c, a_plain_user_needs_no_options_to_serve);
	tcase_add_loop_test(c, sigterm_is_a_clean_end_and_sighup_none, 0, 2);
	tcase_add_test(c,
		       a_second_one_has_status_4_and_does_not_harm_the_first);
	tcase_add_test(c, after_sigkill_the_next_one_takes_the_socket);
	tcase_add_test(c, without_io_uring_it_serves_and_shmstat_shows_it);
	tcase_add_test(c, without_io_uring_and_epoll_the_status_is_5);
	tcase_add_test(c, without_rseq_it_serves_and_the_catalog_says_why);
	tcase_add_test(c, a_service_manager_is_told_when_it_serves);
	tcase_add_test(c, in_the_journal_lines_have_their_level);
	tcase_add_test(c, elsewhere_lines_have_their_time);
	return check_run_case("tapiod", c);
}
