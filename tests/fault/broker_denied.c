/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels and seccomp profiles that refuse what the broker would like: each has a
 * message that names the switch, or a way without it.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tests/fault/deny.h"
#include "tests/fault/peer.h"
#include "tests/check_main.h"

#define CONFIG "channel events { class main { block = 64 blocks = 64 } }"

/* Tests run in processes of their own. A denied call stays denied in them. */
static bool denied(long number, int error)
{
	if (deny_syscall(number, error))
		return true;
	fprintf(stderr, "skipped: this kernel has no seccomp filters\n");
	return false;
}

static int start_with(const char *config, char *error, size_t bytes)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.error = error,
		.error_bytes = bytes,
	};
	struct tapio_broker *broker;

	return tapio_broker_start(&broker, &options);
}

/* io_uring_enter alone: the ring can be made, and does nothing. */
static const struct {
	long number;
	int error;
	const char *says;
} no_ring[] = {
	{SYS_io_uring_setup, EPERM, "kernel.io_uring_disabled"},
	{SYS_io_uring_setup, ENOSYS, "ENOSYS"},
	{SYS_io_uring_enter, EPERM, "kernel.io_uring_disabled"},
	{SYS_io_uring_enter, ENOSYS, "ENOSYS"},
	/* As on a kernel before 5.12 with a small RLIMIT_MEMLOCK. */
	{SYS_io_uring_setup, ENOMEM, "RLIMIT_MEMLOCK"},
};
#define NO_RING ((int)(sizeof(no_ring) / sizeof(no_ring[0])))

/* Fails on commit fddcec1: it did not start. */
START_TEST(without_io_uring_it_serves_on_epoll_and_says_why)
{
	struct tapio_broker *broker;
	struct peer p, c;

	if (!denied(no_ring[_i].number, no_ring[_i].error))
		return;
	broker = broker_start(CONFIG);
	ck_assert(broker_said("the event loop runs on epoll: io_uring"));
	ck_assert(broker_said(no_ring[_i].says));
	peer_open(&p, broker, TAPIO_ROLE_PRODUCE, NULL);
	peer_open(&c, broker, TAPIO_ROLE_CONSUME, "g");
	ck_assert_uint_eq(p.catalog.broker->features & TAPIO_FEATURE_IO_URING,
			  0);
	ck_assert_int_eq(peer_detach(&c), 0);
	ck_assert_int_eq(peer_detach(&p), 0);
	peer_close(&p);
	peer_close(&c);
	tapio_broker_stop(broker);
}
END_TEST

START_TEST(without_epoll_too_the_message_has_both_reasons)
{
	static const int errors[] = {EPERM, ENOSYS};
	char why[512] = "";

	if (!denied(SYS_io_uring_setup, errors[_i]) ||
	    !denied(SYS_epoll_create1, errors[_i]))
		return;
	ck_assert_int_eq(start_with(CONFIG, why, sizeof(why)), -errors[_i]);
	ck_assert_ptr_nonnull(strstr(why, "io_uring"));
	ck_assert_ptr_nonnull(strstr(why, "seccomp"));
	ck_assert_ptr_nonnull(strstr(why, "epoll_create1"));
}
END_TEST

START_TEST(without_membarrier_it_serves_and_says_so)
{
	static const int errors[] = {EPERM, ENOSYS};
	struct tapio_broker *broker;
	struct peer p, c;

	if (!denied(SYS_membarrier, errors[_i]))
		return;
	broker = broker_start(CONFIG);
	peer_open(&p, broker, TAPIO_ROLE_PRODUCE, NULL);
	peer_open(&c, broker, TAPIO_ROLE_CONSUME, "g");
	ck_assert_uint_eq(p.catalog.broker->features & TAPIO_FEATURE_MEMBARRIER,
			  0);
	ck_assert(broker_said("membarrier"));
	ck_assert_int_eq(peer_detach(&c), 0);
	ck_assert_int_eq(peer_detach(&p), 0);
	peer_close(&p);
	peer_close(&c);
	tapio_broker_stop(broker);
}
END_TEST

START_TEST(with_everything_the_catalog_says_so)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	struct peer p;

	peer_open(&p, broker, TAPIO_ROLE_INSPECT, NULL);
	ck_assert_uint_ne(p.catalog.broker->features & TAPIO_FEATURE_MEMBARRIER,
			  0);
	ck_assert_uint_ne(p.catalog.broker->features & TAPIO_FEATURE_IO_URING,
			  0);
	peer_close(&p);
	tapio_broker_stop(broker);
}
END_TEST

/* A sweep that may not move to another CPU leaves blocks to the next producer. */
START_TEST(without_the_right_to_move_a_death_still_frees_the_name)
{
	struct tapio_broker *broker;
	struct peer watcher, p;
	struct tpi_lane *lane;
	uint32_t name;

	if (!denied(SYS_sched_setaffinity, EPERM))
		return;
	broker = broker_start(CONFIG);
	peer_open(&watcher, broker, TAPIO_ROLE_INSPECT, NULL);
	peer_open(&p, broker, TAPIO_ROLE_PRODUCE, NULL);
	name = p.attached.attachment;
	/* As if a reserve had been committed on the lane of CPU 0. */
	lane = &p.channel.lanes[0];
	lane->tickets[lane->desc[0] & 63] =
		TAPIO_TICKET(name, tpi_place_taken(lane, 64, 0));
	p.channel.lanes[0].shm->state = TAPIO_STATE(64, 1);
	ck_assert_int_eq(peer_detach(&p), 1);
	ck_assert_uint_eq(
		TAPIO_TICKET_OWNER(watcher.channel.lanes[0].tickets[0]),
		TAPIO_ABANDONED);
	ck_assert_uint_ne(watcher.channel.lanes[0].shm->hint, 0);
	peer_close(&p);
	peer_close(&watcher);
	tapio_broker_stop(broker);
}
END_TEST

START_TEST(too_few_descriptors_are_refused_with_the_numbers)
{
	struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
	char why[512] = "";

	if (setgid(65534) || setuid(65534)) {
		fprintf(stderr, "skipped: needs root, to be nobody\n");
		return;
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(start_with(CONFIG, why, sizeof(why)), -EMFILE);
	ck_assert_ptr_nonnull(strstr(why, "100"));
	ck_assert_ptr_nonnull(strstr(why, "132"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("denied");

	tcase_set_timeout(c, 30);
	tcase_add_loop_test(c, without_io_uring_it_serves_on_epoll_and_says_why,
			    0, NO_RING);
	tcase_add_loop_test(c, without_epoll_too_the_message_has_both_reasons,
			    0, 2);
	tcase_add_loop_test(c, without_membarrier_it_serves_and_says_so, 0, 2);
	tcase_add_test(c, with_everything_the_catalog_says_so);
	tcase_add_test(c,
		       without_the_right_to_move_a_death_still_frees_the_name);
	tcase_add_test(c, too_few_descriptors_are_refused_with_the_numbers);
	return check_run_case("broker_denied", c);
}
