/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that loads a plugin with libtapio.a in it, lets it work, and unloads it, again
 * and again, by several threads, while more threads than CPUs are running. Nothing of the
 * library may outlive dlclose: no thread, no descriptor of a section in a thread's rseq
 * area (the kernel would read it at the next preemption), no atfork handler, no open
 * file. On fddcec1 this ends with SIGSEGV: the threads of the self-test run on.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>

#include "tests/fault/plugin/plugin.h"
#include "tests/unit/broker_child.h"

#define ROUNDS  30
#define THREADS 3
#define EVENTS  2000

static uint32_t spinning = 1;

static void *spin(void *arg)
{
	while (tpi_load_relaxed(&spinning))
		;
	return arg;
}

/* How often `words` is in a line of a file of /proc/self. */
static int count_lines(const char *file, const char *words)
{
	FILE *f = fopen(file, "re");
	char line[600];
	int count = 0;

	while (f && fgets(line, sizeof(line), f))
		count += strstr(line, words) != NULL;
	if (f)
		fclose(f);
	return count;
}

static int open_fds(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* One round: 0, or the error. */
static int load_and_run(int count, uint32_t *side)
{
	void *handle = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
	plugin_run_fn *run;
	int err;

	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	run = (plugin_run_fn *)(uintptr_t)dlsym(handle, "plugin_run");
	err = run(rig.options.socket, count, side);
	if (dlclose(handle))
		return -2;
	return err;
}

/* All threads at once: the one that comes last unloads it under the others' feet. */
static void *rounds(void *arg)
{
	uint32_t *bad = arg, side;
	int i, k;

	for (i = 0; i < ROUNDS; i++) {
		if (load_and_run(EVENTS, &side) || side != side_flavour())
			tpi_add_relaxed(bad, 1);
		/* Be preempted while nothing of it is mapped. */
		for (k = 0; k < 20; k++)
			sched_yield();
	}
	return NULL;
}

static int rounds_factor(void)
{
	return getenv("TAPIO_LONG") ? 10 : 1;
}

START_TEST(a_plugin_is_unloaded_and_nothing_of_it_runs_on)
{
	pthread_t threads[THREADS], spinners[8];
	int i, k, before;
	uint32_t bad = 0;

	broker_child_start(RIG_CONFIG, NULL);
	before = open_fds();
	for (i = 0; i < 2 * cpu_count() && i < 8; i++)
		pthread_create(&spinners[i], NULL, spin, NULL);
	for (k = 0; k < rounds_factor(); k++) {
		for (i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, rounds, &bad);
		for (i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	tpi_store_relaxed(&spinning, 0);
	for (i = 0; i < 2 * cpu_count() && i < 8; i++)
		pthread_join(spinners[i], NULL);
	ck_assert_uint_eq(bad, 0);
	ck_assert_int_eq(count_lines("/proc/self/maps", "test_plugin"), 0);
	ck_assert_int_eq(open_fds(), before);
	ck_assert_int_eq(count_lines("/proc/self/status", "Threads:\t1\n"), 1);
	broker_child_kill();
}
END_TEST

/* Its atfork handlers are gone with it. */
START_TEST(a_program_forks_after_it_has_unloaded_a_plugin)
{
	uint32_t side;
	pid_t pid;
	int i;

	broker_child_start(RIG_CONFIG, NULL);
	for (i = 0; i < 5; i++) {
		ck_assert_int_eq(load_and_run(10, &side), 0);
		ck_assert_int_eq(count_lines("/proc/self/maps", "test_plugin"),
				 0);
		pid = fork();
		if (!pid)
			_exit(0);
		ck_assert(child_ok(pid));
	}
	broker_child_kill();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plugin");
	TCase *t = tcase_create("plugin");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_plugin_is_unloaded_and_nothing_of_it_runs_on);
	tcase_add_test(t, a_program_forks_after_it_has_unloaded_a_plugin);
	suite_add_tcase(suite, t);
	return check_run(suite);
}
