/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls are to fail, for tests (sys.h). Empty without testpoints.
 *
 * A table that only grows, without a lock: a wrapper is called from signal handlers
 * and from children of fork too, and a mutex that the interrupted code holds would
 * never become free. A rule keeps its call and argument for ever, and all that
 * changes of it is one word, so a rule with a count fails exactly that many calls.
 * One thread at a time makes rules.
 */
#include "lib/base/sys.h"
#include "lib/base/atomic.h"

#ifdef TAPIO_TESTPOINTS

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static struct rule {
	long number;
	long argument;  /* or TPI_SYS_ANY */
	uint64_t order; /* error << 32 | left, 0: no call fails */
	uint32_t failed;
} rules[64];
static uint32_t rule_count;

#define FOR_EVER UINT32_MAX /* as the calls that are left */

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
	{"set_robust_list", SYS_set_robust_list, TPI_SYS_ANY},
};

static const struct {
	const char *name;
	int error;
} errors[] = {
	{"EPERM", EPERM},   {"ENOSYS", ENOSYS}, {"ENOMEM", ENOMEM},
	{"EINVAL", EINVAL}, {"EACCES", EACCES}, {"EAGAIN", EAGAIN},
};

/* NULL: there is no rule for this call and argument yet. */
static struct rule *find_rule(long number, long argument)
{
	/*
	 * ORDER sys_fail.rules (acquire): a rule that is counted has its call and
	 * its argument. Pairs with the release in add_rule().
	 */
	uint32_t i, count = tpi_load_acquire(&rule_count);

	for (i = 0; i < count; i++)
		if (rules[i].number == number && rules[i].argument == argument)
			return &rules[i];
	return NULL;
}

static struct rule *add_rule(long number, long argument)
{
	/* Relaxed: one thread at a time is here. */
	uint32_t count = tpi_load_relaxed(&rule_count);
	struct rule *rule = &rules[count];

	if (count == sizeof(rules) / sizeof(rules[0]))
		abort(); /* only a test can do that */
	rule->number = number;
	rule->argument = argument;
	/*
	 * ORDER sys_fail.rules (release): the call and the argument are stored
	 * before the rule counts. Pairs with the acquire in find_rule() and in
	 * tpi_sys_injected().
	 */
	tpi_store_release(&rule_count, count + 1);
	return rule;
}

void tpi_sys_fail_argument(long number, long argument, int error, int count)
{
	struct rule *rule = find_rule(number, argument);
	uint64_t left = count < 0 ? FOR_EVER : (uint32_t)count;

	if (!rule)
		rule = add_rule(number, argument);
	/* Relaxed: a call that runs meanwhile may be before or after both. */
	tpi_store_relaxed(&rule->failed, 0);
	tpi_store_relaxed(&rule->order, (uint64_t)error << 32 | left);
}

void tpi_sys_fail(long number, int error, int count)
{
	tpi_sys_fail_argument(number, TPI_SYS_ANY, error, count);
}

void tpi_sys_fail_none(void)
{
	uint32_t i, count = tpi_load_relaxed(&rule_count);

	for (i = 0; i < count; i++) {
		tpi_store_relaxed(&rules[i].order, 0);
		tpi_store_relaxed(&rules[i].failed, 0);
	}
}

/* Takes one of the calls that are left. The errno, 0: none was left. */
static int take(struct rule *rule)
{
	/* Relaxed: the word is all that there is to know. */
	uint64_t order = tpi_load_relaxed(&rule->order), next;

	do {
		if (!(uint32_t)order)
			return 0;
		next = (uint32_t)order == FOR_EVER ? order : order - 1;
	} while (!tpi_cas_relaxed(&rule->order, &order, next));
	tpi_add_relaxed(&rule->failed, 1);
	return (int)(order >> 32);
}

int tpi_sys_injected(long number, long argument)
{
	/* ORDER sys_fail.rules (acquire): as in find_rule(). */
	uint32_t i, count = tpi_load_acquire(&rule_count);
	int error = 0;

	for (i = 0; i < count && !error; i++) {
		struct rule *rule = &rules[i];

		if (rule->number != number)
			continue;
		if (rule->argument != TPI_SYS_ANY && rule->argument != argument)
			continue;
		error = take(rule);
	}
	return error;
}

unsigned int tpi_sys_failed(long number, long argument)
{
	struct rule *rule = find_rule(number, argument);

	/* Relaxed: a count of calls that are over. */
	return rule ? tpi_load_relaxed(&rule->failed) : 0;
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
