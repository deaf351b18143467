/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-shmstat while a keeper holds the memory of a dead broker, when both are lost,
 * and of a client that stays in memory that no process reads any more.
 */
#include "why_rig.h"

#include <fcntl.h>
#include <sys/prctl.h>

#include "daemon.h"
#include "instance.h"

static const char config[] =
	"channel events { class main { block = 64 blocks = 64 } }\n";

static pid_t keeper;

static void set_up(void)
{
	FILE *file;

	daemon_set_up();
	file = fopen(daemon_config, "we");
	ck_assert_ptr_nonnull(file);
	fputs(config, file);
	fclose(file);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setenv("TAPIO_SOCKET", daemon_socket, 1);
	memset(source, 0, sizeof(source));
	source[0] = "--timeout=30s";
	keeper = instance_start();
}

static void tear_down(void)
{
	json_decref(look);
	look = NULL;
	command_free(&run);
	tapio_producer_close(producer);
	producer = NULL;
	daemon_stop(keeper, SIGTERM);
	daemon_tear_down();
}

static pid_t broker_pid(void)
{
	ck_assert_int_eq(shmstat("--json", "broker", NULL, NULL), 0);
	return (pid_t)count_in(json_object_get(look, "broker"), "pid");
}

static void stop(pid_t pid)
{
	char path[64], text[512], *state;
	FILE *file;

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	do {
		file = fopen(path, "re");
		ck_assert_ptr_nonnull(file);
		ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
		fclose(file);
		state = strrchr(text, ')');
	} while (state[2] != 'T');
}

/* It is stopped, so that no other broker comes. */
START_TEST(a_dead_broker_whose_keeper_lives_is_away)
{
	pid_t pid = broker_pid();
	const json_t *numbers;

	stop(keeper);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	look_into(keeper);
	/* Until the kernel has made a zombie of it. */
	while (shmstat("--json", "broker", NULL, NULL) != 1)
		;
	numbers = expect_fault("broker-away", "keeps its memory");
	ck_assert_int_eq(count_in(numbers, "held_by"), keeper);
	ck_assert_int_eq(count_in(numbers, "pid"), pid);
	kill(keeper, SIGCONT);
	ck_assert(daemon_comes());
}
END_TEST

START_TEST(memory_of_a_lost_broker_and_keeper_is_orphaned)
{
	if (geteuid()) {
		puts("skipped: opening /proc/PID/map_files needs root");
		return;
	}
	produce("events");
	wait_for_starts();
	instance_lose(keeper);
	look_into(getpid());
	expect_fault("orphaned-instance", "1 client maps it");
	keeper = instance_start();
}
END_TEST

/* In a process of its own, which is stopped before the next broker comes. */
static pid_t stopped_producer(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		produce("events");
		raise(SIGSTOP);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, WUNTRACED), pid);
	return pid;
}

START_TEST(a_client_in_memory_of_before_is_elsewhere)
{
	pid_t client = stopped_producer();
	char option[32];

	instance_lose(keeper);
	keeper = instance_start();
	snprintf(option, sizeof(option), "--client=%d", (int)client);
	/* The socket of before may take a connection for a moment longer. */
	while (shmstat("--json", "--interval=1ms", option, "why") == 3)
		;
	expect_said("client-elsewhere", "warning",
		    "maps memory of another instance");
	kill(client, SIGKILL);
	ck_assert_int_eq(waitpid(client, NULL, 0), client);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("shmstat_why_keeper");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_dead_broker_whose_keeper_lives_is_away);
	tcase_add_test(tc, memory_of_a_lost_broker_and_keeper_is_orphaned);
	tcase_add_test(tc, a_client_in_memory_of_before_is_elsewhere);
	return check_run_case("shmstat_why_keeper", tc);
}
