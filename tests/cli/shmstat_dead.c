/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at memory without its broker: killed, with or without its keeper, and with clients that
 * are stopped, or of which one is left. Each way to find the memory that the man page names
 * must show the same account of the same events.
 */
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <tapio/tapio.h>

#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/cli/daemon.h"
#include "tests/cli/instance.h"
#include "tests/unit/client_fixture.h"

#define SENT  40
#define READ  15
#define STALE INT64_C(60000000000)

static const char config[] =
	"hugepages = never\n"
	"channel t { stamp = none\n"
	" class main { block = 64 blocks = 256 side_blocks = 256 }\n"
	" group g { policy = until } }\n";

static struct command run;
static pid_t keeper, broker, producer, consumer;
static char snapshot[96];

/* ---- processes -------------------------------------------------------------------- */

static const struct tapio_options connection = {
	.size = sizeof(connection),
	.socket = daemon_socket,
	.answer_ns = STALE,
};

/* It sends, says so, and holds its memory until it is killed. */
static int produce(int ready)
{
	struct tapio_producer *p;

	if (tapio_producer_open(&p, "t", &connection))
		return 1;
	for (uint32_t i = 0; i < SENT; i++)
		if (tapio_output(p, TAG, &i, sizeof(i)))
			return 2;
	if (write(ready, "", 1) != 1)
		return 3;
	for (;;)
		pause();
}

static int consume(int ready)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options), .broker = connection, .group = "g"};
	struct tapio_view views[READ];
	struct tapio_consumer *c;
	int got = 0, n;

	if (tapio_consumer_open(&c, "t", &options))
		return 1;
	while (got < READ) {
		n = tapio_poll(c, views, (unsigned int)(READ - got),
			       INT64_C(10000000));
		if (n < 0 || tapio_release(c))
			return 2;
		got += n;
	}
	if (write(ready, "", 1) != 1)
		return 3;
	for (;;)
		pause();
}

static pid_t start(int (*body)(int ready))
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		/* Gone with the test, also if the test is killed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		_exit(body(ready[1]));
	}
	close(ready[1]);
	ck_assert_msg(read(ready[0], &byte, 1) == 1, "a client has failed");
	close(ready[0]);
	return pid;
}

static void end(pid_t *pid, int signal)
{
	int status;

	if (!*pid)
		return;
	ck_assert_int_eq(kill(*pid, signal), 0);
	ck_assert_int_eq(waitpid(*pid, &status, 0), *pid);
	*pid = 0;
}

/* /proc shows it as stopped: the signal has arrived. */
static void halt(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
}

static pid_t child_of(pid_t parent)
{
	char path[64];
	FILE *file;
	int child = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent,
		 parent);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%d", &child), 1);
	fclose(file);
	return child;
}

static void set_up(void)
{
	FILE *file;

	daemon_set_up();
	file = fopen(daemon_config, "we");
	ck_assert_ptr_nonnull(file);
	fputs(config, file);
	fclose(file);
	snprintf(snapshot, sizeof(snapshot), "%s/snapshot", daemon_directory);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	keeper = instance_start();
	broker = child_of(keeper);
	producer = start(produce);
	consumer = start(consume);
}

static void tear_down(void)
{
	command_free(&run);
	end(&producer, SIGKILL);
	end(&consumer, SIGKILL);
	/* The keeper first, or it starts another broker. */
	end(&keeper, SIGKILL);
	if (broker) {
		kill(broker, SIGKILL);
		waitpid(broker, NULL, 0);
		broker = 0;
	}
	unlink(snapshot);
	daemon_tear_down();
}

/* ---- looks ------------------------------------------------------------------------ */

static json_t *seen;

static void parse(void)
{
	json_error_t why;

	json_decref(seen);
	seen = json_loads(run.out, JSON_REJECT_DUPLICATES, &why);
	ck_assert_msg(seen != NULL, "%s\n%s%s", why.text, run.out, run.err);
}

static json_int_t sum(const char *part, const char *key)
{
	json_t *rows = json_object_get(seen, part), *row;
	json_int_t total = 0;
	size_t i;

	json_array_foreach(rows, i, row) total +=
		json_integer_value(json_object_get(row, key));
	return total;
}

static const char *word(const char *part, const char *key)
{
	return json_string_value(
		json_object_get(json_object_get(seen, part), key));
}

static void expect_account(const char *process, const char *source)
{
	parse();
	ck_assert_str_eq(word("liveness", "process"), process);
	ck_assert_str_eq(word("source", "from"), source);
	ck_assert_int_eq(sum("ledger", "published"), SENT);
	ck_assert_int_eq(sum("ledger", "delivered"), READ);
	ck_assert_int_eq(sum("ledger", "in_flight"), SENT - READ);
	ck_assert_int_eq(sum("ledger", "lost"), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(seen, "clients")), 2);
}

/* A killed broker leaves findings that are suspicious at most. */
static void expect_check(void)
{
	parse();
	ck_assert_int_eq(json_integer_value(json_object_get(seen, "broken")),
			 0);
	ck_assert_int_eq(json_integer_value(json_object_get(seen, "unsettled")),
			 0);
}

/* By these two options. */
static void account(const char *option, const char *value, const char *process,
		    const char *source)
{
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--json", "--timeout", "200ms",
		    option, value, "ledger", "clients", NULL);
	expect_account(process, source);
}

static json_int_t check(const char *option, const char *value)
{
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--json", "--timeout", "200ms",
		    option, value, "check", NULL);
	expect_check();
	return json_integer_value(json_object_get(seen, "suspicious"));
}

/*
 * The account, a check, and a snapshot with the same account, of which a check finds as
 * much.
 */
static void examine(const char *option, const char *value, const char *process,
		    const char *source)
{
	json_int_t suspicious;

	account(option, value, process, source);
	suspicious = check(option, value);
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--timeout", "200ms", option, value,
		    "snapshot", "--force", snapshot, NULL);
	ck_assert_msg(!run.status, "%s%s", run.out, run.err);
	account("--file", snapshot, process, "file");
	ck_assert_int_eq(check("--file", snapshot), suspicious);
}

static void by_pid(pid_t pid, const char *process, const char *source,
		   void (*how)(const char *option, const char *value,
			       const char *process, const char *source))
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	how("--pid", text, process, source);
}
#define examine_pid(pid, process, source) by_pid(pid, process, source, examine)
#define account_of_pid(pid, process, source) \
	by_pid(pid, process, source, account)

/* The row of `instances` of our broker's memory. NULL: there is none. */
static json_t *instance_row(void)
{
	json_t *row;
	size_t i;

	command_free(&run);
	command_run(&run, "tapio-shmstat", "--json", "instances", NULL);
	parse();
	json_array_foreach(json_object_get(seen, "instances"), i, row)
	{
		/* Numbers come back, but not while we are its parent. */
		if (json_integer_value(json_object_get(row, "broker_pid")) ==
			    broker &&
		    json_integer_value(json_object_get(row, "attached")) == 2)
			return row;
	}
	return NULL;
}

static void expect_instance(const char *state, const char *source,
			    char instance[33])
{
	json_t *row = instance_row();

	ck_assert_msg(row != NULL, "%s%s", run.out, run.err);
	ck_assert_str_eq(json_string_value(json_object_get(row, "state")),
			 state);
	ck_assert_str_eq(json_string_value(json_object_get(row, "from")),
			 source);
	snprintf(instance, 33, "%s",
		 json_string_value(json_object_get(row, "instance")));
}

/* ---- deaths ----------------------------------------------------------------------- */

/* It still has a backlog to connect to. */
START_TEST(a_broker_that_is_wedged)
{
	char instance[33];

	halt(keeper);
	ck_assert_int_eq(kill(broker, SIGSTOP), 0);
	account("--socket", daemon_socket, "stopped", "fd");
	examine_pid(broker, "stopped", "fd");
	expect_instance("served", "fd", instance);
	account("--instance", instance, "stopped", "fd");
}
END_TEST

static void kill_broker_alone(void)
{
	int status;

	/* Or the next one is there at once. */
	halt(keeper);
	ck_assert_int_eq(kill(broker, SIGKILL), 0);
	/* It is a zombie of its keeper. */
	for (int ms = 0; ms < 30000; ms++) {
		char path[32], text[256] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)broker);
		file = fopen(path, "re");
		if (!file || !fgets(text, sizeof(text), file) ||
		    strstr(text, ") Z")) {
			if (file)
				fclose(file);
			return;
		}
		fclose(file);
		waitpid(broker, &status, WNOHANG);
		nap_ms(1);
	}
	ck_abort_msg("the broker does not die");
}

START_TEST(a_broker_that_was_killed_with_its_keeper_stopped)
{
	char instance[33];

	kill_broker_alone();
	examine_pid(keeper, "gone", "fd");
	expect_instance("kept", "fd", instance);
	account("--instance", instance, "gone", "fd");
}
END_TEST

static void lose(void)
{
	instance_lose(keeper);
	keeper = 0;
}

START_TEST(broker_and_keeper_killed)
{
	char instance[33];

	lose();
	examine_pid(producer, "gone", "map_files");
	account_of_pid(consumer, "gone", "map_files");
	expect_instance("left", "map_files", instance);
	account("--instance", instance, "gone", "map_files");
	instance[8] = 0;
	account("--instance", instance, "gone", "map_files");
}
END_TEST

START_TEST(broker_and_keeper_killed_and_clients_stopped)
{
	char instance[33];

	halt(producer);
	halt(consumer);
	lose();
	account_of_pid(producer, "gone", "map_files");
	examine_pid(consumer, "gone", "map_files");
	expect_instance("left", "map_files", instance);
}
END_TEST

START_TEST(only_a_consumer_is_left)
{
	char instance[33];

	lose();
	end(&producer, SIGKILL);
	examine_pid(consumer, "gone", "map_files");
	expect_instance("left", "map_files", instance);
	account("--instance", instance, "gone", "map_files");
}
END_TEST

START_TEST(only_a_producer_is_left)
{
	char instance[33];

	lose();
	end(&consumer, SIGKILL);
	examine_pid(producer, "gone", "map_files");
	expect_instance("left", "map_files", instance);
	account("--instance", instance, "gone", "map_files");
}
END_TEST

START_TEST(after_the_last_one_there_is_none)
{
	char instance[33];

	lose();
	expect_instance("left", "map_files", instance);
	end(&consumer, SIGKILL);
	end(&producer, SIGKILL);
	ck_assert_ptr_null(instance_row());
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--instance", instance, "lanes",
		    NULL);
	ck_assert_int_eq(run.status, 3);
}
END_TEST

/* A lost instance and the next one: the message and the list name both. */
START_TEST(several_instances_are_listed)
{
	char instance[33], begins[9];

	lose();
	expect_instance("left", "map_files", instance);
	keeper = instance_start();
	broker = child_of(keeper);
	command_free(&run);
	command_run(&run, "tapio-shmstat", "instances", NULL);
	ck_assert_int_eq(run.status, 0);
	snprintf(begins, sizeof(begins), "%.8s", instance);
	ck_assert_msg(strstr(run.out, begins), "%s", run.out);
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--instance", "", "lanes", NULL);
	ck_assert_int_eq(run.status, 2);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("dead");

	/* It needs map_files of /proc. */
	if (geteuid()) {
		puts("only root may open /proc/PID/map_files");
		return 77;
	}
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_broker_that_is_wedged);
	tcase_add_test(t, a_broker_that_was_killed_with_its_keeper_stopped);
	tcase_add_test(t, broker_and_keeper_killed);
	tcase_add_test(t, broker_and_keeper_killed_and_clients_stopped);
	tcase_add_test(t, only_a_consumer_is_left);
	tcase_add_test(t, only_a_producer_is_left);
	tcase_add_test(t, after_the_last_one_there_is_none);
	tcase_add_test(t, several_instances_are_listed);
	return check_run_case("shmstat_dead", t);
}
