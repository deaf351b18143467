/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of the interface of Check as the unit tests of the library need, for a libc
 * that Check is not built for. Each test is a process of its own, as there. An assertion
 * that fails says so and ends the process.
 */
#ifndef TAPIO_TESTS_MUSL_CHECK_H
#define TAPIO_TESTS_MUSL_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void TFun(int);
typedef void (*SFun)(void);

struct musl_test {
	const char *name;
	TFun *function;
	int from;
	int to;
};

typedef struct TCase {
	struct musl_test tests[64];
	int count;
	SFun setup[8];
	SFun teardown[8];
	int fixtures;
} TCase;

typedef struct Suite {
	const char *name;
	TCase *cases[16];
	int count;
} Suite;

typedef struct TestResult {
	char message[64];
} TestResult;

#define MUSL_FAILURES 64

typedef struct SRunner {
	Suite *suite;
	int checks;
	int failed;
	TestResult failures[MUSL_FAILURES];
} SRunner;

enum print_output {
	CK_ENV
};

/* tests/check_main.h puts a function of its own in the place of this one. */
static inline void _mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}

#define START_TEST(name)                       \
	static void name##_test(int);          \
	static TFun *const name = name##_test; \
	static void name##_test(int _i __attribute__((unused)))
#define END_TEST

#define ck_fail(...)                                            \
	do {                                                    \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__);                   \
		fputc('\n', stderr);                            \
		_exit(1);                                       \
	} while (0)
#define ck_abort_msg(...) ck_fail(__VA_ARGS__)
#define ck_assert_msg(condition, ...)            \
	do {                                     \
		_mark_point(__FILE__, __LINE__); \
		if (!(condition))                \
			ck_fail(__VA_ARGS__);    \
	} while (0)
#define ck_assert(condition) ck_assert_msg(condition, "%s", #condition)

#define ck_compare(type, format, a, op, b)                                     \
	do {                                                                   \
		type ck_a = (type)(a);                                         \
		type ck_b = (type)(b);                                         \
		ck_assert_msg(ck_a op ck_b,                                    \
			      "%s " #op " %s: " format " and " format, #a, #b, \
			      ck_a, ck_b);                                     \
	} while (0)
#define ck_int(a, op, b)         ck_compare(intmax_t, "%jd", a, op, b)
#define ck_uint(a, op, b)        ck_compare(uintmax_t, "%ju", a, op, b)
#define ck_ptr(a, op, b)         ck_compare(const void *, "%p", a, op, b)
#define ck_assert_int_eq(a, b)   ck_int(a, ==, b)
#define ck_assert_int_ne(a, b)   ck_int(a, !=, b)
#define ck_assert_int_lt(a, b)   ck_int(a, <, b)
#define ck_assert_int_le(a, b)   ck_int(a, <=, b)
#define ck_assert_int_gt(a, b)   ck_int(a, >, b)
#define ck_assert_int_ge(a, b)   ck_int(a, >=, b)
#define ck_assert_uint_eq(a, b)  ck_uint(a, ==, b)
#define ck_assert_uint_ne(a, b)  ck_uint(a, !=, b)
#define ck_assert_uint_lt(a, b)  ck_uint(a, <, b)
#define ck_assert_uint_le(a, b)  ck_uint(a, <=, b)
#define ck_assert_uint_gt(a, b)  ck_uint(a, >, b)
#define ck_assert_uint_ge(a, b)  ck_uint(a, >=, b)
#define ck_assert_ptr_eq(a, b)   ck_ptr(a, ==, b)
#define ck_assert_ptr_ne(a, b)   ck_ptr(a, !=, b)
#define ck_assert_ptr_null(a)    ck_ptr(a, ==, NULL)
#define ck_assert_ptr_nonnull(a) ck_ptr(a, !=, NULL)

#define ck_string(a, op, b)                                                \
	do {                                                               \
		const char *ck_a = (a), *ck_b = (b);                       \
		ck_assert_msg(ck_a &&ck_b &&strcmp(ck_a, ck_b) op 0,       \
			      "%s " #op " %s: \"%s\" and \"%s\"", #a, #b,  \
			      ck_a ? ck_a : "NULL", ck_b ? ck_b : "NULL"); \
	} while (0)
#define ck_assert_str_eq(a, b) ck_string(a, ==, b)
#define ck_assert_str_ne(a, b) ck_string(a, !=, b)
#define ck_assert_mem_eq(a, b, bytes) \
	ck_assert_msg(!memcmp(a, b, bytes), "%s and %s differ", #a, #b)

static inline TCase *tcase_create(const char *name)
{
	(void)name;
	return calloc(1, sizeof(TCase));
}

static inline void musl_add(TCase *c, const char *name, TFun *function,
			    int from, int to)
{
	if (c->count == (int)(sizeof(c->tests) / sizeof(c->tests[0])))
		abort();
	c->tests[c->count++] = (struct musl_test){name, function, from, to};
}
#define tcase_add_test(c, name) musl_add(c, #name, name, 0, 1)
#define tcase_add_loop_test(c, name, from, to) \
	musl_add(c, #name, name, from, to)

static inline void tcase_add_checked_fixture(TCase *c, SFun setup,
					     SFun teardown)
{
	if (c->fixtures == (int)(sizeof(c->setup) / sizeof(c->setup[0])))
		abort();
	c->setup[c->fixtures] = setup;
	c->teardown[c->fixtures++] = teardown;
}

/* ctest has a limit for the whole. */
static inline void tcase_set_timeout(TCase *c, double seconds)
{
	(void)c;
	(void)seconds;
}

static inline Suite *suite_create(const char *name)
{
	Suite *suite = calloc(1, sizeof(*suite));

	suite->name = name;
	return suite;
}

static inline void suite_add_tcase(Suite *suite, TCase *c)
{
	if (suite->count ==
	    (int)(sizeof(suite->cases) / sizeof(suite->cases[0])))
		abort();
	suite->cases[suite->count++] = c;
}

static inline SRunner *srunner_create(Suite *suite)
{
	SRunner *runner = calloc(1, sizeof(*runner));

	runner->suite = suite;
	return runner;
}

static inline void musl_child(const TCase *c, const struct musl_test *test,
			      int i)
{
	for (int k = 0; k < c->fixtures; k++)
		if (c->setup[k])
			c->setup[k]();
	test->function(i);
	for (int k = c->fixtures; k-- > 0;)
		if (c->teardown[k])
			c->teardown[k]();
	exit(0);
}

/* The words are those of Check, which tests/check_main.h compares. */
static inline void musl_fail(SRunner *runner, int status)
{
	TestResult *result;

	if (runner->failed == MUSL_FAILURES)
		abort();
	result = &runner->failures[runner->failed++];
	if (status != -1 && WIFEXITED(status))
		snprintf(result->message, sizeof(result->message),
			 "Early exit with return value %d",
			 WEXITSTATUS(status));
}

static inline void musl_run(SRunner *runner, const TCase *c,
			    const struct musl_test *test, int i)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		musl_child(c, test, i);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && !status)
		return;
	fprintf(stderr, "%s: %s (%d): status 0x%x\n", runner->suite->name,
		test->name, i, (unsigned int)status);
	musl_fail(runner, status);
}

static inline void srunner_run_all(SRunner *runner, enum print_output mode)
{
	(void)mode;
	for (int k = 0; k < runner->suite->count; k++) {
		const TCase *c = runner->suite->cases[k];

		for (int t = 0; t < c->count; t++)
			for (int i = c->tests[t].from; i < c->tests[t].to;
			     i++) {
				musl_run(runner, c, &c->tests[t], i);
				runner->checks++;
			}
	}
	printf("%s: %d checks, %d failed\n", runner->suite->name,
	       runner->checks, runner->failed);
	if (!runner->checks)
		musl_fail(runner, -1);
}

static inline int srunner_ntests_run(const SRunner *runner)
{
	return runner->checks;
}

/* To be freed by the caller, as with Check. What it points at is the runner's. */
static inline TestResult **srunner_failures(SRunner *runner)
{
	TestResult **failures =
		calloc((size_t)runner->failed + 1, sizeof(TestResult *));

	for (int i = 0; failures && i < runner->failed; i++)
		failures[i] = &runner->failures[i];
	return failures;
}

static inline const char *tr_msg(const TestResult *result)
{
	return result->message;
}

static inline int srunner_ntests_failed(const SRunner *runner)
{
	return runner->failed;
}

static inline void srunner_free(SRunner *runner)
{
	for (int k = 0; k < runner->suite->count; k++)
		free(runner->suite->cases[k]);
	free(runner->suite);
	free(runner);
}

#endif
