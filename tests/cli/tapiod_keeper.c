/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod with its keeper: the socket outlives the broker, signals and exit statuses are as
 * without one. And tapiod with the store of a service manager, which the test plays.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"
#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/cli/daemon.h"

#define LIMIT_S 30
#define CONFIG  "budget = 64M channel a { class c { blocks = 64 } }"

static char log_file[96], lock_file[104];
static struct command command;

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

#define WAIT(x)                                                             \
	do {                                                                \
		time_t limit_ = time(NULL) + LIMIT_S;                       \
		while (!(x)) {                                              \
			ck_assert_msg(time(NULL) < limit_, "in vain: " #x); \
			nap();                                              \
		}                                                           \
	} while (0)

static void set_up(void)
{
	FILE *file;

	daemon_set_up();
	snprintf(log_file, sizeof(log_file), "%s/log", daemon_directory);
	snprintf(lock_file, sizeof(lock_file), "%s.lock", daemon_socket);
	file = fopen(daemon_config, "we");
	fputs(CONFIG, file);
	fclose(file);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void tear_down(void)
{
	unlink(log_file);
	daemon_tear_down();
}

static void become_tapiod(const char *option)
{
	int log =
		open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	dup2(log, STDERR_FILENO);
	execl(TAPIO_BIN "/tapiod", "tapiod", "--socket", daemon_socket,
	      "--config", daemon_config, option, (char *)NULL);
	_exit(127);
}

static pid_t start(const char *option)
{
	pid_t pid = fork();

	if (!pid)
		become_tapiod(option);
	WAIT(daemon_answers());
	return pid;
}

static const char *log_text(void)
{
	static char text[65536];
	FILE *file = fopen(log_file, "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[n] = '\0';
	return text;
}

static bool log_has(const char *part)
{
	return strstr(log_text(), part) != NULL;
}

/* The process of the last line that says so, or 0. */
static pid_t serving(void)
{
	const char *at = log_text();
	int pid = 0, last = 0;

	while ((at = strstr(at, ": tapiod ")) != NULL) {
		at++;
		if (sscanf(at, " tapiod %*[^,], process %d, serves", &pid) == 1)
			last = pid;
	}
	return last;
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_ino;
}

/* The broker that serves after this one was killed. */
static pid_t kill_broker(pid_t pid)
{
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	WAIT(serving() != pid);
	return serving();
}

/* Its record in the catalog, as JSON, has these words. */
static bool broker_says(const char *words)
{
	bool yes;

	command_run(&command, "tapio-shmstat", "--json", "--socket",
		    daemon_socket, "broker", NULL);
	yes = strstr(command.out, words) != NULL;
	command_free(&command);
	return yes;
}

static bool command_succeeds(void)
{
	bool yes;

	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "broker", NULL);
	yes = !command.status;
	command_free(&command);
	return yes;
}

/* The command itself waits half a second only. */
static void serves_commands(void)
{
	WAIT(command_succeeds());
}

/* ---- the keeper process ---------------------------------------------------------------- */

START_TEST(the_socket_and_its_lock_outlive_brokers)
{
	pid_t keeper = start("--keeper=process"), broker;
	ino_t socket_inode = inode_of(daemon_socket);
	ino_t lock_inode = inode_of(lock_file);

	WAIT(serving());
	broker = serving();
	ck_assert_int_ne(keeper, broker);
	for (int i = 0; i < 5; i++) {
		broker = kill_broker(broker);
		ck_assert_uint_eq(inode_of(daemon_socket), socket_inode);
		ck_assert_uint_eq(inode_of(lock_file), lock_inode);
		serves_commands();
	}
	ck_assert(log_has("was ended by SIGKILL"));
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
	ck_assert_uint_eq(inode_of(daemon_socket), 0);
	ck_assert_uint_eq(inode_of(lock_file), 0);
}
END_TEST

static int connect_there(void)
{
	struct timeval patience = {.tv_sec = LIMIT_S};
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, daemon_socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (void *)&address, (socklen_t)length), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/*
 * The keeper is stopped, so that there is time without a broker. The message is none, and so
 * the answer is a refusal.
 */
START_TEST(who_connects_meanwhile_is_served_later)
{
	pid_t keeper = start("--keeper=process");
	char answer[1024];
	int fd;

	WAIT(serving());
	kill(keeper, SIGSTOP);
	kill(serving(), SIGKILL);
	fd = connect_there();
	ck_assert_int_eq(send(fd, "none", 4, MSG_NOSIGNAL), 4);
	kill(keeper, SIGCONT);
	ck_assert_int_gt(recv(fd, answer, sizeof(answer), 0), 0);
	WAIT(log_has("restart 1"));
	close(fd);
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
}
END_TEST

/*
 * It was killed before the broker has heard it. On a5a959c the log warns that its namespaces
 * cannot be read, and names a capability that is not what is missing.
 */
START_TEST(a_client_that_has_ended_is_no_warning)
{
	pid_t keeper = start("--keeper=process"), child, broker;
	int status;

	WAIT(serving());
	broker = serving();
	serves_commands();
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(kill(broker, SIGSTOP), 0);
		child = fork();
		if (!child)
			_exit(connect_there() < 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, 0);
		ck_assert_int_eq(kill(broker, SIGCONT), 0);
		serves_commands();
	}
	ck_assert_msg(!log_has("not trusted"), "%s", log_text());
	ck_assert_int_eq(serving(), broker);
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
}
END_TEST

/* Of the socket, then of the lock. */
START_TEST(files_that_were_removed_are_made_anew)
{
	pid_t keeper = start("--keeper=process"), broker;

	WAIT(serving());
	broker = serving();
	ck_assert_int_eq(unlink(_i ? lock_file : daemon_socket), 0);
	broker = kill_broker(broker);
	ck_assert_uint_ne(inode_of(daemon_socket), 0);
	ck_assert_uint_ne(inode_of(lock_file), 0);
	ck_assert(log_has(_i ? "the lock is taken anew"
			     : "the socket is made anew"));
	serves_commands();
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
}
END_TEST

START_TEST(a_second_one_is_told_of_both_processes)
{
	pid_t keeper = start("--keeper=process");
	char both[96];

	WAIT(serving());
	snprintf(both, sizeof(both), "process %d, with its keeper, process %d",
		 serving(), keeper);
	command_run(&command, "tapiod", "--socket", daemon_socket, NULL);
	ck_assert_int_eq(command.status, 4);
	ck_assert_msg(strstr(command.err, both) != NULL, "%s", command.err);
	command_free(&command);
	/* Nor may it while there is no broker. */
	kill(keeper, SIGSTOP);
	kill(serving(), SIGKILL);
	command_run(&command, "tapiod", "--socket", daemon_socket, NULL);
	ck_assert_int_eq(command.status, 4);
	command_free(&command);
	kill(keeper, SIGCONT);
	WAIT(log_has("restart 1"));
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
}
END_TEST

static void configure(const char *text)
{
	FILE *file = fopen(daemon_config, "we");

	fputs(text, file);
	fclose(file);
}

/* The memory outlives a configuration that the next broker cannot use. */
START_TEST(a_start_that_is_refused_is_tried_again)
{
	pid_t keeper = start("--keeper=process"), broker;

	WAIT(serving());
	broker = serving();
	configure(_i ? "channel {" : "channel a { class c { blocks = 128 } }");
	kill(broker, SIGKILL);
	WAIT(log_has("before it served. Its memory is kept"));
	configure(CONFIG);
	WAIT(serving() != broker);
	ck_assert(log_has("took over the memory"));
	ck_assert(broker_says("\"restarts\": 1,"));
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
}
END_TEST

static bool clients_say(const char *words)
{
	bool yes;

	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "clients", NULL);
	yes = strstr(command.out, words) != NULL;
	command_free(&command);
	return yes;
}

/* The tool has nothing to do: it neither ends nor opens another handle. */
START_TEST(a_tool_outlives_its_brokers)
{
	pid_t keeper = start("--keeper=process"), tail;

	WAIT(serving());
	tail = fork();
	if (!tail) {
		execl(TAPIO_BIN "/tapio-tail", "tapio-tail", "--socket",
		      daemon_socket, "--group=g", "a", (char *)NULL);
		_exit(127);
	}
	WAIT(clients_say("tapio-tail"));
	for (int i = 0; i < 20; i++) {
		kill_broker(serving());
		ck_assert(clients_say("tapio-tail"));
	}
	ck_assert_int_eq(waitpid(tail, NULL, WNOHANG), 0);
	ck_assert_int_eq(daemon_stop(tail, SIGTERM), 0);
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
}
END_TEST

START_TEST(signals_are_passed_on)
{
	pid_t keeper = start("--keeper=process");

	WAIT(serving());
	kill(keeper, SIGHUP);
	WAIT(log_has("reload"));
	ck_assert_int_eq(daemon_stop(keeper, _i ? SIGINT : SIGTERM), 0);
	ck_assert(log_has(_i ? "SIGINT: stopping" : "SIGTERM: stopping"));
}
END_TEST

static pid_t new_keeper(void)
{
	const char *at = strstr(log_text(), "or was stopped: process ");
	int pid = 0;

	if (at)
		sscanf(at, "or was stopped: process %d", &pid);
	return pid;
}

/* The loop finds it without a put. The new one is signed in the lock, and starts brokers. */
START_TEST(a_keeper_that_dies_is_replaced)
{
	pid_t keeper = start("--keeper=process"), next;
	char text[32];

	WAIT(serving());
	snprintf(text, sizeof(text), "\"keeper_pid\": %d,", keeper);
	ck_assert(broker_says(text));
	ck_assert_int_eq(daemon_stop(keeper, SIGKILL), 128 + SIGKILL);
	WAIT(new_keeper());
	next = new_keeper();
	snprintf(text, sizeof(text), "\"keeper_pid\": %d,", next);
	WAIT(broker_says(text)); /* at its next tick */
	kill_broker(serving());
	serves_commands();
	snprintf(text, sizeof(text), "process %d (they", next);
	command_run(&command, "tapiod", "--socket", daemon_socket, NULL);
	ck_assert_msg(strstr(command.err, text) != NULL, "%s", command.err);
	command_free(&command);
	ck_assert_int_eq(daemon_stop(next, SIGTERM), 0);
}
END_TEST

/* ---- a service manager -------------------------------------------------------------------- */

#define STORE_MAX 256

static struct {
	int sock;
	int fds[STORE_MAX];
	char names[STORE_MAX][32];
	int count;
	bool ready, stopping, watchdog;
} manager;

static void manager_open(void)
{
	struct timeval patience = {.tv_sec = LIMIT_S};
	struct sockaddr_un address;
	char name[64];
	int length;

	snprintf(name, sizeof(name), "@tapio-manager-%d", getpid());
	length = tpi_socket_address(&address, name);
	manager.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(
		bind(manager.sock, (void *)&address, (socklen_t)length), 0);
	setsockopt(manager.sock, SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("FDSTORE", "256", 1);
}

static void store(const char *name, int fd)
{
	ck_assert_int_lt(manager.count, STORE_MAX);
	snprintf(manager.names[manager.count], sizeof(manager.names[0]), "%s",
		 name);
	manager.fds[manager.count++] = fd;
}

static void store_remove(const char *name)
{
	for (int i = manager.count - 1; i >= 0; i--) {
		if (strcmp(manager.names[i], name))
			continue;
		close(manager.fds[i]);
		manager.count--;
		manager.fds[i] = manager.fds[manager.count];
		memmove(manager.names[i], manager.names[manager.count],
			sizeof(manager.names[0]));
	}
}

static bool stored(const char *name)
{
	for (int i = 0; i < manager.count; i++)
		if (!strcmp(manager.names[i], name))
			return true;
	return false;
}

/* One message. */
static void manager_receive(void)
{
	char text[256] = "", name[32] = "";
	unsigned int count = 1;
	int fd = -1;
	const char *at;
	ssize_t n =
		tpi_recv_fds(manager.sock, text, sizeof(text) - 1, &fd, &count);

	ck_assert_msg(n > 0, "no message: %s", strerror((int)-n));
	at = strstr(text, "FDNAME=");
	if (at)
		sscanf(at, "FDNAME=%31[^\n]", name);
	manager.ready |= !strcmp(text, "READY=1");
	manager.stopping |= !strcmp(text, "STOPPING=1");
	manager.watchdog |= !strcmp(text, "WATCHDOG=1");
	if (!strncmp(text, "FDSTORE=1\n", 10)) {
		ck_assert_uint_eq(count, 1);
		ck_assert_ptr_nonnull(strstr(text, "\nFDPOLL=0"));
		store(name, fd);
	} else if (!strncmp(text, "FDSTOREREMOVE=1\n", 16)) {
		store_remove(name);
	}
}

static bool manager_has_one(int wait_ms)
{
	struct pollfd p = {.fd = manager.sock, .events = POLLIN};

	return poll(&p, 1, wait_ms) == 1;
}

/* The manager goes on reading until the end. */
static int manager_stop(pid_t pid, int signal)
{
	int status;

	kill(pid, signal);
	while (!waitpid(pid, &status, WNOHANG))
		if (manager_has_one(2))
			manager_receive();
	while (manager_has_one(0))
		manager_receive();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Passes the descriptors from 3 on, with the names. */
static void pass_fds(const int *fds, int count, const char *names)
{
	char text[16];
	int high[STORE_MAX];

	for (int i = 0; i < count; i++)
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + STORE_MAX);
	for (int i = 0; i < count; i++)
		dup2(high[i], 3 + i);
	snprintf(text, sizeof(text), "%d", count);
	setenv("LISTEN_FDS", text, 1);
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

/* tapiod as the main process of a unit, with all that is in the store. */
static pid_t manager_start(const char *option)
{
	char names[STORE_MAX * 33] = "";
	pid_t pid;

	for (int i = 0; i < manager.count; i++)
		sprintf(names + strlen(names), "%s%s", i ? ":" : "",
			manager.names[i]);
	manager.ready = false;
	pid = fork();
	if (!pid) {
		pass_fds(manager.fds, manager.count, names);
		become_tapiod(option);
	}
	while (!manager.ready)
		manager_receive();
	return pid;
}

START_TEST(the_store_of_a_service_manager_keeps_the_socket)
{
	ino_t socket_inode, lock_inode;
	char restarts[32];
	pid_t pid;

	manager_open();
	pid = manager_start("--keeper=auto");
	ck_assert(stored("tapio-lock-0") && stored("tapio-listen-0"));
	WAIT(serving() == pid); /* one process */
	socket_inode = inode_of(daemon_socket);
	lock_inode = inode_of(lock_file);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(manager_stop(pid, SIGKILL), 128 + SIGKILL);
		ck_assert(daemon_answers()); /* into the backlog */
		pid = manager_start("--keeper=systemd");
		WAIT(serving() == pid);
		snprintf(restarts, sizeof(restarts), "\"restarts\": %d,",
			 i + 1);
		ck_assert(broker_says(restarts));
		ck_assert(broker_says("\"keeper\": \"service\","));
		ck_assert_uint_eq(inode_of(daemon_socket), socket_inode);
		ck_assert_uint_eq(inode_of(lock_file), lock_inode);
		serves_commands();
	}
	/* At a clean end nothing of it is left. */
	ck_assert_int_eq(manager_stop(pid, SIGTERM), 0);
	ck_assert(manager.stopping);
	ck_assert_int_eq(manager.count, 0);
	ck_assert_uint_eq(inode_of(daemon_socket), 0);
}
END_TEST

START_TEST(without_a_store_systemd_is_no_choice)
{
	command_run(&command, "tapiod", "--keeper=systemd", "--socket",
		    daemon_socket, NULL);
	ck_assert_int_eq(command.status, 6);
	ck_assert_ptr_nonnull(strstr(command.err, "FDSTORE"));
	command_free(&command);
}
END_TEST

/* From the process itself, and through a keeper. */
START_TEST(the_watchdog_is_told_that_the_loop_runs)
{
	const char *const options[] = {"--no-keeper", "--keeper=process"};
	pid_t pid;

	manager_open();
	setenv("WATCHDOG_USEC", "100000", 1);
	pid = manager_start(options[_i]);
	while (!manager.watchdog)
		manager_receive();
	ck_assert_int_eq(manager_stop(pid, SIGTERM), 0);
	ck_assert(manager.stopping);
	ck_assert_int_eq(manager.count, 0);
}
END_TEST

static int listen_there(void)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, daemon_socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (void *)&address, (socklen_t)length), 0);
	ck_assert_int_eq(listen(fd, 10), 0);
	return fd;
}

/* By each kind of keeper. The manager's socket stays when tapiod ends. */
START_TEST(a_socket_that_is_passed_is_served)
{
	const char *const options[] = {"--no-keeper", "--keeper=process",
				       "--keeper=systemd"};
	int fd = listen_there();
	ino_t inode = inode_of(daemon_socket);
	pid_t pid;

	manager_open();
	store("tapio.socket", fd);
	for (int i = 0; i < 2; i++) {
		pid = manager_start(options[_i]);
		serves_commands();
		if (_i == 1) {
			WAIT(serving());
			kill_broker(serving());
			serves_commands();
		}
		ck_assert_int_eq(manager_stop(pid, SIGTERM), 0);
		ck_assert_uint_eq(inode_of(daemon_socket), inode);
		ck_assert(daemon_answers());
		ck_assert_int_eq(manager.count, 1);
		unlink(log_file);
	}
	close(fd);
}
END_TEST

START_TEST(descriptors_that_are_passed_in_error_are_named)
{
	pid_t pid;

	manager_open();
	store("rubbish", open("/dev/null", O_RDONLY | O_CLOEXEC));
	store("tapio-lock-x", open("/dev/null", O_RDONLY | O_CLOEXEC));
	pid = manager_start("--keeper=auto");
	ck_assert(log_has("2 of the descriptors in LISTEN_FDS are neither"));
	serves_commands();
	ck_assert_int_eq(manager_stop(pid, SIGTERM), 0);
}
END_TEST

/* Such as a lock and a socket that are none. */
START_TEST(wrong_files_under_right_names_do_no_harm)
{
	pid_t pid;

	manager_open();
	store("tapio-lock-0", open("/dev/null", O_RDONLY | O_CLOEXEC));
	store("tapio-listen-0", open("/dev/null", O_RDONLY | O_CLOEXEC));
	pid = manager_start("--keeper=auto");
	serves_commands();
	ck_assert_int_eq(manager_stop(pid, SIGTERM), 0);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("keeper");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, the_socket_and_its_lock_outlive_brokers);
	tcase_add_test(c, who_connects_meanwhile_is_served_later);
	tcase_add_test(c, a_client_that_has_ended_is_no_warning);
	tcase_add_loop_test(c, files_that_were_removed_are_made_anew, 0, 2);
	tcase_add_test(c, a_second_one_is_told_of_both_processes);
	tcase_add_loop_test(c, a_start_that_is_refused_is_tried_again, 0, 2);
	tcase_add_test(c, a_tool_outlives_its_brokers);
	tcase_add_loop_test(c, signals_are_passed_on, 0, 2);
	tcase_add_test(c, a_keeper_that_dies_is_replaced);
	tcase_add_test(c, the_store_of_a_service_manager_keeps_the_socket);
	tcase_add_test(c, without_a_store_systemd_is_no_choice);
	tcase_add_loop_test(c, the_watchdog_is_told_that_the_loop_runs, 0, 2);
	tcase_add_loop_test(c, a_socket_that_is_passed_is_served, 0, 3);
	tcase_add_test(c, descriptors_that_are_passed_in_error_are_named);
	tcase_add_test(c, wrong_files_under_right_names_do_no_harm);
	return check_run_case("tapiod_keeper", c);
}
