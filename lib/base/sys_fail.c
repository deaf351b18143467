/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls are to fail, for tests (sys.h). Empty without testpoints.
 *
 * A short table under a mutex: tests run threads, and a rule with a count must
 * fail exactly that many calls.
 */
#include "lib/base/sys.h"

#ifdef TAPIO_TESTPOINTS

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static struct rule {
	long number;
	long argument; /* or TPI_SYS_ANY */
	int error;
	int left; /* < 0: for ever */
	unsigned int failed;
} rules[32];
static size_t rule_count;
static pthread_mutex_t rules_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The names and numbers that TAPIO_SYS_FAIL may use. */
static const struct {
	const char *name;
	long number;
	long argument;
} calls[] = {
	{"memfd_create", SYS_memfd_create, TPI_SYS_ANY},
	{"memfd_hugetlb", SYS_memfd_create, MFD_HUGETLB},
	{"mbind", SYS_mbind, TPI_SYS_ANY},
	{"move_pages", SYS_move_pages, TPI_SYS_ANY},
	{"madvise", SYS_madvise, TPI_SYS_ANY},
	{"populate", SYS_madvise, MADV_POPULATE_WRITE},
	{"hugepage", SYS_madvise, MADV_HUGEPAGE},
	{"membarrier", SYS_membarrier, TPI_SYS_ANY},
	{"setaffinity", SYS_sched_setaffinity, TPI_SYS_ANY},
	{"getaffinity", SYS_sched_getaffinity, TPI_SYS_ANY},
	{"clone", SYS_clone, TPI_SYS_ANY},
	{"pidfd_open", SYS_pidfd_open, TPI_SYS_ANY},
	{"fcntl", SYS_fcntl, TPI_SYS_ANY},
	{"futex", SYS_futex, TPI_SYS_ANY},
	{"rseq", SYS_rseq, TPI_SYS_ANY},
	{"io_uring_setup", SYS_io_uring_setup, TPI_SYS_ANY},
};

static const struct {
	const char *name;
	int error;
} errors[] = {
	{"EPERM", EPERM},   {"ENOSYS", ENOSYS}, {"ENOMEM", ENOMEM},
	{"EINVAL", EINVAL}, {"EACCES", EACCES}, {"EAGAIN", EAGAIN},
};

void tpi_sys_fail_argument(long number, long argument, int error, int count)
{
	size_t i;

	pthread_mutex_lock(&rules_mutex);
	for (i = 0; i < rule_count; i++)
		if (rules[i].number == number && rules[i].argument == argument)
			break;
	if (i == sizeof(rules) / sizeof(rules[0]))
		abort(); /* only a test can do that */
	if (i == rule_count)
		rule_count++;
	rules[i] = (struct rule){number, argument, error, count, 0};
	pthread_mutex_unlock(&rules_mutex);
}

void tpi_sys_fail(long number, int error, int count)
{
	tpi_sys_fail_argument(number, TPI_SYS_ANY, error, count);
}

void tpi_sys_fail_none(void)
{
	pthread_mutex_lock(&rules_mutex);
	rule_count = 0;
	pthread_mutex_unlock(&rules_mutex);
}

int tpi_sys_injected(long number, long argument)
{
	int error = 0;

	pthread_mutex_lock(&rules_mutex);
	for (size_t i = 0; i < rule_count && !error; i++) {
		struct rule *rule = &rules[i];

		if (rule->number != number || !rule->left)
			continue;
		if (rule->argument != TPI_SYS_ANY && rule->argument != argument)
			continue;
		error = rule->error;
		rule->failed++;
		if (rule->left > 0)
			rule->left--;
	}
	pthread_mutex_unlock(&rules_mutex);
	return error;
}

unsigned int tpi_sys_failed(long number, long argument)
{
	unsigned int failed = 0;

	pthread_mutex_lock(&rules_mutex);
	for (size_t i = 0; i < rule_count; i++)
		if (rules[i].number == number && rules[i].argument == argument)
			failed = rules[i].failed;
	pthread_mutex_unlock(&rules_mutex);
	return failed;
}

static void add_by_name(const char *call, const char *error)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, call))
			continue;
		for (size_t j = 0; j < sizeof(errors) / sizeof(errors[0]); j++)
			if (!strcmp(errors[j].name, error)) {
				tpi_sys_fail_argument(calls[i].number,
						      calls[i].argument,
						      errors[j].error, -1);
				return;
			}
	}
	abort(); /* a misspelt rule would make a test pass for nothing */
}

__attribute__((constructor)) static void read_environment(void)
{
	const char *text = getenv("TAPIO_SYS_FAIL");
	char *copy, *at, *item, *equals;

	copy = text ? strdup(text) : NULL;
	if (!copy)
		return;
	for (at = copy; (item = strsep(&at, ","));) {
		equals = strchr(item, '=');
		if (!equals)
			abort();
		*equals = '\0';
		add_by_name(item, equals + 1);
	}
	free(copy);
}

#else
/* ISO C wants a declaration in a translation unit. */
typedef int tpi_sys_fail_is_empty;
#endif
