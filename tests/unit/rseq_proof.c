/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self-test of rseq reaches its verdict by every way that it has, whatever the
 * machine is busy with, and where it has no way, it says so and tries again.
 *
 * The test's calls of the kernel are replaced at link time (--wrap), so that
 * each call can be refused, or answer "done" and do nothing, as an emulator
 * would.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/rseq_proof.h"
#include "lib/base/sys.h"
#include "lib/base/thread.h"
#include "tests/check_main.h"
#include "tests/cpu_lanes.h"

/* The work of a wrapped call: the real thing, a refusal, or a lie. */
enum answer {
	ANSWER_TRUE,
	ANSWER_REFUSED,
	ANSWER_LIE
};
static enum answer affinity, membarriers, threads;
static int displaced, barriers, started;

int __real_tpi_sys_set_affinity(pid_t tid, const struct tpi_cpu_set *set);
int __wrap_tpi_sys_set_affinity(pid_t tid, const struct tpi_cpu_set *set);
int __real_tpi_sys_membarrier(int command);
int __wrap_tpi_sys_membarrier(int command);
int __real_tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);
int __wrap_tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

int __wrap_tpi_sys_set_affinity(pid_t tid, const struct tpi_cpu_set *set)
{
	displaced++;
	if (affinity == ANSWER_REFUSED)
		return -EPERM;
	if (affinity == ANSWER_LIE)
		return 0;
	return __real_tpi_sys_set_affinity(tid, set);
}

int __wrap_tpi_sys_membarrier(int command)
{
	barriers++;
	if (membarriers == ANSWER_REFUSED)
		return -EPERM;
	if (membarriers == ANSWER_LIE)
		return 0;
	return __real_tpi_sys_membarrier(command);
}

int __wrap_tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	if (threads == ANSWER_REFUSED)
		return -EAGAIN;
	started++;
	return __real_tpi_thread_start(thread, run, arg);
}

static int cpus_allowed(void)
{
	cpu_set_t set;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	return CPU_COUNT(&set);
}

static void pin_to_one(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Two threads per CPU that never sleep. */
static uint32_t spinning = 1;

static void *spin(void *arg)
{
	while (tpi_load_relaxed(&spinning))
		;
	return arg;
}

static pthread_t spinners[64];
static int spinner_count;

static void load_begin(void)
{
	int i, count = 2 * (int)sysconf(_SC_NPROCESSORS_ONLN);

	for (i = 0; i < count && i < 64; i++, spinner_count++)
		ck_assert_int_eq(pthread_create(&spinners[i], NULL, spin, NULL),
				 0);
}

static void load_end(void)
{
	tpi_store_relaxed(&spinning, 0);
	while (spinner_count)
		pthread_join(spinners[--spinner_count], NULL);
}

#define ROUNDS 50

static void prove_each_time(void)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		ck_assert_uint_eq(tpi_rseq_prove(), TPI_PROOF_ABORTED);
}

/* A new thread makes the barrier, and leaves nothing of what it was started with. */
START_TEST(a_program_without_threads_is_the_victim)
{
	struct tpi_sched before, after;

	if (cpus_allowed() < 2)
		return;
	ck_assert_int_eq(tpi_sys_get_sched(&before), 0);
	ck_assert_uint_eq(tpi_rseq_prove(), TPI_PROOF_ABORTED);
	ck_assert_int_eq(tpi_sys_get_sched(&after), 0);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_int_eq(started, 1);
	ck_assert_int_eq(displaced, 0);
	/* To register, and the barrier, unless the abort was somebody else's doing. */
	ck_assert_int_ge(barriers, 1);
	ck_assert_int_le(barriers, 2);
}
END_TEST

static void *wait_for_end(void *arg)
{
	while (tpi_load_relaxed(&spinning))
		usleep(1000);
	return arg;
}

/* To register would take it milliseconds. */
START_TEST(a_program_with_threads_makes_no_barrier)
{
	pthread_t thread;

	if (cpus_allowed() < 2)
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_end, NULL), 0);
	ck_assert_uint_eq(tpi_rseq_prove(), TPI_PROOF_ABORTED);
	ck_assert_int_eq(barriers, 0);
	tpi_store_relaxed(&spinning, 0);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(by_displacing_the_victim)
{
	if (cpus_allowed() < 2)
		return;
	membarriers = ANSWER_REFUSED;
	prove_each_time();
	ck_assert_int_ge(displaced, 1);
}
END_TEST

START_TEST(by_a_barrier_where_affinity_is_refused)
{
	if (cpus_allowed() < 2)
		return;
	affinity = ANSWER_REFUSED;
	prove_each_time();
	ck_assert_int_ge(barriers, 1);
}
END_TEST

START_TEST(by_a_visit_where_there_is_one_cpu)
{
	pin_to_one();
	affinity = membarriers = ANSWER_REFUSED;
	prove_each_time();
	ck_assert_int_eq(displaced, 0);
}
END_TEST

/* On fddcec1 30 to 60 % of these end without a verdict. */
START_TEST(beside_two_spinning_threads_per_cpu)
{
	if (_i)
		pin_to_one();
	load_begin();
	prove_each_time();
	load_end();
}
END_TEST

START_TEST(from_a_real_time_thread)
{
	static const struct sched_param first = {.sched_priority = 1};

	if (_i)
		pin_to_one();
	if (sched_setscheduler(0, SCHED_FIFO, &first)) {
		fprintf(stderr, "skipped: may not be SCHED_FIFO\n");
		return;
	}
	prove_each_time();
	ck_assert_int_eq(sched_getscheduler(0), SCHED_FIFO);
}
END_TEST

/*
 * A call that says "done" and does nothing is what a section that goes on looks like.
 * An abort by somebody else's doing is a proof all the same, so not every try shows it,
 * and on a busy machine few do.
 */
#define TRIES_MAX 30000

static bool outran_in_some_try(void)
{
	int i;

	for (i = 0; i < TRIES_MAX; i++)
		if (tpi_rseq_prove() == TPI_PROOF_OUTRAN)
			return true;
	return false;
}

START_TEST(a_section_that_outruns_a_barrier_is_condemned)
{
	if (cpus_allowed() < 2)
		return;
	affinity = ANSWER_REFUSED;
	membarriers = ANSWER_LIE;
	ck_assert(outran_in_some_try());
}
END_TEST

START_TEST(a_section_that_outruns_three_displacements_is_condemned)
{
	if (cpus_allowed() < 2)
		return;
	affinity = ANSWER_LIE;
	membarriers = ANSWER_REFUSED;
	ck_assert(outran_in_some_try());
}
END_TEST

/*
 * The case of P3: another thread has changed the affinity back. On a busy machine the
 * scheduler often aborts the section before the barrier has to.
 */
START_TEST(one_displacement_that_did_nothing_is_settled_by_the_barrier)
{
	int i;

	if (cpus_allowed() < 2)
		return;
	affinity = ANSWER_LIE;
	for (i = 0; i < TRIES_MAX && !barriers; i++)
		ck_assert_uint_eq(tpi_rseq_prove(), TPI_PROOF_ABORTED);
	ck_assert_int_ge(barriers, 1);
}
END_TEST

START_TEST(a_broken_kernel_stays_broken)
{
	uint32_t verdict = TAPIO_RSEQ_PROVEN;
	const char *reason;

	if (cpus_allowed() < 2)
		return;
	affinity = ANSWER_REFUSED;
	membarriers = ANSWER_LIE;
	/* PROVEN is kept in the parent's memory: each try has its own. */
	for (int i = 0; i < 10000 && verdict != TAPIO_RSEQ_BROKEN; i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			verdict = tpi_rseq_selftest(&reason);
			membarriers = ANSWER_TRUE;
			_exit(verdict == tpi_rseq_selftest(&reason)
				      ? (int)verdict
				      : 99);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFEXITED(status));
		verdict = (uint32_t)WEXITSTATUS(status);
		ck_assert_uint_ne(verdict, 99);
	}
	ck_assert_uint_eq(verdict, TAPIO_RSEQ_BROKEN);
}
END_TEST

/* fddcec1 keeps such a verdict for the life of the process. */
START_TEST(a_test_that_could_not_be_made_is_made_by_the_next_call)
{
	const char *reason;

	threads = ANSWER_REFUSED;
	ck_assert_uint_eq(tpi_rseq_selftest(&reason), TAPIO_RSEQ_INCONCLUSIVE);
	ck_assert_ptr_nonnull(strstr(reason, "thread"));
	ck_assert_uint_eq(tpi_rseq_known(), TAPIO_RSEQ_UNKNOWN);
	threads = ANSWER_TRUE;
	ck_assert_uint_eq(tpi_rseq_selftest(&reason), TAPIO_RSEQ_PROVEN);
	ck_assert_uint_eq(tpi_rseq_known(), TAPIO_RSEQ_PROVEN);
	threads = ANSWER_REFUSED;
	ck_assert_uint_eq(tpi_rseq_selftest(&reason), TAPIO_RSEQ_PROVEN);
}
END_TEST

START_TEST(without_any_means_it_is_inconclusive_or_lucky)
{
	int i, inconclusive = 0;

	if (cpus_allowed() < 2)
		return;
	affinity = membarriers = ANSWER_REFUSED;
	for (i = 0; i < TRIES_MAX && !inconclusive; i++) {
		uint32_t proof = tpi_rseq_prove();

		ck_assert(proof == TPI_PROOF_NO_MEANS ||
			  proof == TPI_PROOF_ABORTED);
		inconclusive += proof == TPI_PROOF_NO_MEANS;
	}
	ck_assert_int_ge(inconclusive, 1);
}
END_TEST

START_TEST(a_brokers_verdict_counts_where_there_is_none_of_ones_own)
{
	ck_assert(!tpi_rseq_holds(TAPIO_RSEQ_INCONCLUSIVE));
	ck_assert(!tpi_rseq_holds(TAPIO_RSEQ_UNKNOWN));
	tpi_rseq_hear(TAPIO_RSEQ_INCONCLUSIVE);
	tpi_rseq_hear(TAPIO_RSEQ_BROKEN);
	ck_assert(!tpi_rseq_holds(TAPIO_RSEQ_INCONCLUSIVE));
	tpi_rseq_hear(TAPIO_RSEQ_PROVEN);
	ck_assert(tpi_rseq_holds(TAPIO_RSEQ_INCONCLUSIVE));
	ck_assert(tpi_rseq_holds(TAPIO_RSEQ_UNKNOWN));
	ck_assert(!tpi_rseq_holds(TAPIO_RSEQ_BROKEN));
	ck_assert(!tpi_rseq_holds(TAPIO_RSEQ_ABSENT));
}
END_TEST

static void *test_and_count(void *arg)
{
	const char *reason;

	if (tpi_rseq_selftest(&reason) == TAPIO_RSEQ_PROVEN)
		tpi_add_relaxed((uint32_t *)arg, 1);
	return NULL;
}

START_TEST(threads_that_test_at_once_agree)
{
	pthread_t thread[8];
	uint32_t proven = 0;
	int i;

	for (i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL,
						test_and_count, &proven),
				 0);
	for (i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(proven, 8);
}
END_TEST

/* fddcec1 leaves its threads behind, which run into unmapped code after dlclose. */
START_TEST(no_thread_of_the_test_is_left)
{
	char line[256];
	int count = 0;
	FILE *f;

	prove_each_time();
	f = fopen("/proc/self/status", "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "Threads: %d", &count);
	fclose(f);
	ck_assert_int_eq(count, 1);
	ck_assert_int_ge(started, ROUNDS);
}
END_TEST

static void *test_while_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	test_and_count(arg);
	return NULL;
}

START_TEST(a_cancelled_thread_finishes_the_test)
{
	uint32_t proven = 0;
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, test_while_cancelled, &proven),
		0);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(proven, 1);
}
END_TEST

START_TEST(without_registration_it_is_absent_and_starts_no_thread)
{
	const char *reason;

	ck_assert_uint_eq(tpi_rseq_selftest(&reason), TAPIO_RSEQ_ABSENT);
	ck_assert_int_eq(started, 0);
}
END_TEST

static void add_cpu_tests(TCase *t)
{
	tcase_add_test(t, a_program_without_threads_is_the_victim);
	tcase_add_test(t, a_program_with_threads_makes_no_barrier);
	tcase_add_test(t, by_displacing_the_victim);
	tcase_add_test(t, by_a_barrier_where_affinity_is_refused);
	tcase_add_test(t, by_a_visit_where_there_is_one_cpu);
	tcase_add_loop_test(t, beside_two_spinning_threads_per_cpu, 0, 2);
	tcase_add_loop_test(t, from_a_real_time_thread, 0, 2);
	tcase_add_test(t, a_section_that_outruns_a_barrier_is_condemned);
	tcase_add_test(t,
		       a_section_that_outruns_three_displacements_is_condemned);
	tcase_add_test(
		t, one_displacement_that_did_nothing_is_settled_by_the_barrier);
	tcase_add_test(t, a_broken_kernel_stays_broken);
	tcase_add_test(t,
		       a_test_that_could_not_be_made_is_made_by_the_next_call);
	tcase_add_test(t, without_any_means_it_is_inconclusive_or_lucky);
	tcase_add_test(t, threads_that_test_at_once_agree);
	tcase_add_test(t, no_thread_of_the_test_is_left);
	tcase_add_test(t, a_cancelled_thread_finishes_the_test);
}

int main(void)
{
	Suite *suite = suite_create("rseq_proof");
	TCase *t = tcase_create("rseq_proof");

	/* The kernel's answer is not asked for here: each test has its own. */
	if (side_flavour())
		tcase_add_test(
			t,
			without_registration_it_is_absent_and_starts_no_thread);
	else
		add_cpu_tests(t);
	tcase_add_test(
		t, a_brokers_verdict_counts_where_there_is_none_of_ones_own);
	suite_add_tcase(suite, t);
	return check_run(suite);
}
