/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker and honest clients: what they get, what it does when they go, and what
 * the catalog says meanwhile.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/atomic.h"
#include "lib/lane.h"
#include "tests/fault/peer.h"

#define CONFIG "channel events { class main { block = 256 blocks = 64 } }"

START_TEST(a_client_gets_what_its_role_may_write_and_no_more)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	struct peer p, c, o;

	peer_open(&p, broker, TAPIO_ROLE_PRODUCE, NULL);
	peer_open(&c, broker, TAPIO_ROLE_CONSUME, "readers");
	peer_open(&o, broker, TAPIO_ROLE_INSPECT, NULL);
	ck_assert_uint_eq(p.attached.cursors_count, TAPIO_GROUP_SLOTS);
	ck_assert_uint_eq(o.attached.cursors_count, TAPIO_GROUP_SLOTS);
	ck_assert_uint_eq(c.attached.cursors_count, 1);
	ck_assert_int_eq(fcntl(p.fds[0], F_GETFL) & O_ACCMODE, O_RDWR);
	ck_assert_int_eq(fcntl(p.fds[1], F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(c.fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(c.fds[1], F_GETFL) & O_ACCMODE, O_RDWR);
	for (unsigned int i = 0; i < o.fd_count; i++)
		ck_assert_int_eq(fcntl(o.fds[i], F_GETFL) & O_ACCMODE,
				 O_RDONLY);
	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			      c.fds[0], 0),
			 MAP_FAILED);
	ck_assert_uint_eq(c.attached.first, 1);
	ck_assert_uint_eq(c.attached.policy, TAPIO_POLICY_UNTIL);
	ck_assert_int_eq(peer_detach(&p), 0);
	ck_assert_int_eq(peer_detach(&c), 0);
	ck_assert_int_eq(peer_detach(&o), 0);
	peer_close(&p);
	peer_close(&c);
	peer_close(&o);
	tapio_broker_stop(broker);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("broker");
	TCase *c = tcase_create("broker");
	SRunner *runner;
	int failed;

	tcase_set_timeout(c, 30);
	tcase_add_test(c, a_client_gets_what_its_role_may_write_and_no_more);
	suite_add_tcase(suite, c);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
