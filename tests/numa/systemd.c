/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod under a real systemd, process 1 of the virtual machine (the script `systemd`), with
 * the units as they are installed. From 254 on systemd keeps the descriptors of a broker that
 * is killed. Before, as in Debian 12, tapiod has a keeper process of its own, which is the
 * main process of the unit then.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tapio/producer.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/fault/load_board.h"

#define LIMIT_S 60
#define KILLS   8 /* more than a unit may have in 10 s by default */
#define CONFIG  "/usr/local/etc/tapio/tapiod.conf"

#define WAIT(x)                                                             \
	do {                                                                \
		time_t limit_ = time(NULL) + LIMIT_S;                       \
		while (!(x)) {                                              \
			ck_assert_msg(time(NULL) < limit_, "in vain: " #x); \
			usleep(20000);                                      \
		}                                                           \
	} while (0)

static struct load_board *board;
static struct load_client produce, consume = {.group = "first"};
static struct role producer, consumer;
static bool has_store; /* systemd 254 and newer */

/* ---- what systemd says ------------------------------------------------------------------ */

/* The output of a command, until the next call. */
static const char *output_of(const char *command)
{
	static char text[65536];
	FILE *pipe = popen(command, "re");
	size_t n;

	ck_assert_ptr_nonnull(pipe);
	n = fread(text, 1, sizeof(text) - 1, pipe);
	text[n] = '\0';
	pclose(pipe);
	return text;
}

/* Of the machine, for the console. */
static void say(const char *words)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	fprintf(stderr, "%lld s: %s\n", (long long)now.tv_sec, words);
}

static void run(const char *command)
{
	int status;

	say(command);
	status = system(command);

	if (status)
		(void)!system("systemctl status -n 50 --no-pager tapiod "
			      "tapiod.socket >&2");
	ck_assert_msg(!status, "%s: wait status 0x%x", command, status);
}

/* A property of the service. */
static const char *property(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command),
		 "systemctl show --value -p %s tapiod.service", name);
	return output_of(command);
}

static bool is(const char *name, const char *value)
{
	const char *text = property(name);

	return !strncmp(text, value, strlen(value)) &&
	       text[strlen(value)] == '\n';
}

/* Of the process that serves: the main one, or the child of the keeper. */
static pid_t broker_pid(void)
{
	char path[64];
	FILE *file;
	int pid = atoi(property("MainPID"));

	if (!pid || has_store)
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid;
}

/* Returns when there is another one. */
static void kill_broker(void)
{
	pid_t before = broker_pid();

	ck_assert_int_gt(before, 0);
	say("a broker is killed");
	ck_assert_int_eq(kill(before, SIGKILL), 0);
	WAIT(broker_pid() && broker_pid() != before);
}

/* What tapio-shmstat says of the broker, in JSON. */
static bool broker_says(const char *words)
{
	return strstr(output_of("tapio-shmstat --json --timeout=20s broker"),
		      words) != NULL;
}

static void keep_instance(char *words, size_t bytes)
{
	const char *at =
		strstr(output_of("tapio-shmstat --json --timeout=20s broker"),
		       "\"instance\": ");

	ck_assert_ptr_nonnull(at);
	ck_assert_ptr_nonnull(strchr(at, '\n'));
	snprintf(words, bytes, "%.*s", (int)(strchr(at, '\n') - at), at);
}

/* ---- clients ------------------------------------------------------------------------------ */

/* 0, or -errno: at once, or from a broker that starts for it. */
static int open_one(int64_t answer_ns)
{
	const struct tapio_options options = {.size = sizeof(options),
					      .answer_ns = answer_ns};
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, "events", &options);

	tapio_producer_close(p);
	return err;
}

static void start_clients(void)
{
	say("clients start");
	produce.board = consume.board = board;
	role_start_uid(&consumer, 0, load_consume, &consume);
	ck_assert_int_eq((int)role_hear(&consumer), 0);
	role_start_uid(&producer, 0, load_produce, &produce);
	ck_assert_int_eq((int)role_hear(&producer), 0);
	load_wait_for(board, 20);
}

static void account(void)
{
	load_pause(board, 1);
	load_drained(board, 0);
	run("tapio-shmstat --timeout=20s ledger >/dev/null");
	load_judge(board, 0, 0);
	load_continue(board);
}

static void end_clients(void)
{
	tpi_store_release(&board->stop, 1);
	role_end(&producer);
	role_end(&consumer);
}

/* They connect to the next broker, which took the memory over. */
static void are_connected(void)
{
	say("the clients connect again");
	WAIT(load_ask(&producer, LOAD_CONNECTED) == 1);
	WAIT(load_ask(&consumer, LOAD_CONNECTED) == 1);
	load_wait_for(board, 20);
}

static void set_up(void)
{
	board = load_board();
	has_store = atoi(output_of("systemctl --version") +
			 strlen("systemd ")) >= 254;
}

/* After a stop nothing is left: no process, no file of the socket, no kept descriptor. */
static void nothing_is_left(void)
{
	run("systemctl stop tapiod.socket tapiod.service");
	ck_assert(is("ActiveState", "inactive"));
	ck_assert(is("MainPID", "0"));
	ck_assert(is("NFileDescriptorStore", "0"));
	ck_assert_int_ne(system("busybox pidof tapiod tapiod-keeper"), 0);
	ck_assert_int_ne(access("/run/tapio/tapiod.sock", F_OK), 0);
	ck_assert_int_ne(access("/run/tapio/tapiod.sock.lock", F_OK), 0);
	ck_assert_int_eq(open_one(0), -ECONNREFUSED);
}

/* ---- tests -------------------------------------------------------------------------------- */

START_TEST(a_start_is_over_when_the_broker_serves)
{
	run("systemctl start tapiod");
	ck_assert_int_eq(open_one(INT64_C(20000000000)), 0);
	ck_assert(is("ActiveState", "active"));
	ck_assert(is("NRestarts", "0"));
	ck_assert_int_eq(is("NFileDescriptorStore", "0"), !has_store);
	nothing_is_left();
}
END_TEST

START_TEST(a_killed_broker_is_followed_by_one_with_its_memory)
{
	char instance[128];

	run("systemctl start tapiod");
	keep_instance(instance, sizeof(instance));
	ck_assert(is("StartLimitIntervalUSec", "0"));
	start_clients();
	for (int i = 0; i < KILLS; i++) {
		kill_broker();
		are_connected();
	}
	ck_assert_int_eq(atoi(property("NRestarts")), has_store ? KILLS : 0);
	ck_assert(broker_says(instance));
	account();
	end_clients();
	nothing_is_left();
}
END_TEST

/* Clients of the former instance keep what was accepted. */
START_TEST(a_restart_begins_with_new_memory)
{
	char instance[128];

	run("systemctl start tapiod");
	keep_instance(instance, sizeof(instance));
	start_clients();
	run("systemctl restart tapiod");
	ck_assert(!broker_says(instance));
	ck_assert(broker_says("\"restarts\": 0,"));
	load_pause(board, 1);
	load_drained(board, 0);
	load_judge(board, 0, 0);
	ck_assert_int_eq(open_one(INT64_C(20000000000)), 0);
	end_clients();
	nothing_is_left();
}
END_TEST

START_TEST(a_client_starts_the_broker_by_its_socket)
{
	run("systemctl start tapiod.socket");
	ck_assert(is("ActiveState", "inactive"));
	ck_assert_int_eq(open_one(INT64_C(30000000000)), 0);
	ck_assert(is("ActiveState", "active"));
	start_clients();
	kill_broker();
	are_connected();
	ck_assert(broker_says("\"restarts\": 1,"));
	account();
	end_clients();
	/* The socket stays, and starts it again. */
	run("systemctl stop tapiod.service 2>/dev/null");
	ck_assert_int_eq(open_one(INT64_C(30000000000)), 0);
	nothing_is_left();
}
END_TEST

/* A handle whose open started the broker connects to the next one, too. */
START_TEST(the_first_client_of_a_socket_connects_again)
{
	run("systemctl start tapiod.socket");
	start_clients();
	kill_broker();
	are_connected();
	ck_assert(broker_says("\"restarts\": 1,"));
	account();
	end_clients();
	nothing_is_left();
}
END_TEST

START_TEST(a_broker_that_hangs_is_replaced)
{
	run("mkdir -p /run/systemd/system/tapiod.service.d && "
	    "printf '[Service]\\nWatchdogSec=5\\n' "
	    ">/run/systemd/system/tapiod.service.d/watchdog.conf && "
	    "systemctl daemon-reload && systemctl start tapiod");
	start_clients();
	ck_assert_int_eq(kill(broker_pid(), SIGSTOP), 0);
	WAIT(is("NRestarts", "1"));
	WAIT(is("ActiveState", "active"));
	if (has_store) {
		are_connected();
		ck_assert(broker_says("\"restarts\": 1,"));
		account();
	}
	end_clients();
	nothing_is_left();
	run("rm -r /run/systemd/system/tapiod.service.d && "
	    "systemctl daemon-reload");
}
END_TEST

START_TEST(a_reload_takes_the_changed_file_or_nothing)
{
	run("cp " CONFIG " /tmp/conf && systemctl start tapiod");
	run("echo 'clients_max = 99' >>" CONFIG);
	run("systemctl reload tapiod");
	ck_assert(broker_says("\"clients_max\": 99"));
	run("echo 'nonsense = 1' >>" CONFIG);
	ck_assert_int_ne(system("systemctl reload tapiod 2>/dev/null"), 0);
	ck_assert(is("ActiveState", "active"));
	ck_assert_int_eq(open_one(INT64_C(20000000000)), 0);
	run("cp /tmp/conf " CONFIG);
	nothing_is_left();
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("systemd");

	tcase_add_checked_fixture(c, set_up, NULL);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_start_is_over_when_the_broker_serves);
	tcase_add_test(c, a_killed_broker_is_followed_by_one_with_its_memory);
	tcase_add_test(c, a_restart_begins_with_new_memory);
	tcase_add_test(c, a_client_starts_the_broker_by_its_socket);
	tcase_add_test(c, the_first_client_of_a_socket_connects_again);
	tcase_add_test(c, a_broker_that_hangs_is_replaced);
	tcase_add_test(c, a_reload_takes_the_changed_file_or_nothing);
	return check_run_case("systemd", c);
}
