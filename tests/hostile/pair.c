/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness itself: an honest pair of two users through a tapiod of a third, and what
 * the helpers of this folder say of them.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tests/fault/peer.h"
#include "tests/hostile/honest.h"

#define CONFIG HONEST_CHANNEL HONEST_RULES

static struct world world;

static void set_up(void)
{
	world_start(&world, CONFIG);
}

static void tear_down(void)
{
	world_assert_serves(&world, "events");
	world_stop(&world);
}

START_TEST(an_honest_pair_has_an_exact_ledger)
{
	struct honest pair = {0};

	honest_start(&pair, &world);
	honest_receive(&pair, 20000);
	honest_end(&pair);
	honest_free(&pair);
}
END_TEST

static void be_refused(struct role *self)
{
	struct peer p;

	(void)self;
	ck_assert_uint_eq(getuid(), WORLD_NO_RIGHT);
	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), -EACCES);
	peer_close(&p);
}

START_TEST(a_user_without_rights_is_refused)
{
	const struct role_as as = {.uid = WORLD_NO_RIGHT};

	role_run(&as, be_refused, NULL);
	ck_assert(world_said(&world, "(uid 61005) has no right"));
}
END_TEST

static void tell_ids(struct role *self)
{
	role_tell(self, getuid());
	role_tell(self, (uint64_t)getpid());
}

START_TEST(a_role_can_be_in_namespaces)
{
	static const struct {
		struct role_as as;
		uint64_t uid;
	} cases[] = {
		{{.uid = WORLD_ATTACKER}, WORLD_ATTACKER},
		{{.uid = WORLD_ATTACKER, .pid_ns = true}, WORLD_ATTACKER},
		{{.uid = WORLD_ATTACKER, .user_ns = true}, 0},
		{{.uid = WORLD_ATTACKER, .user_ns = true, .pid_ns = true}, 0},
		{{.uid = WORLD_ATTACKER, .unmapped = true}, 65534},
	};
	const struct role_as *as = &cases[_i].as;
	struct role role;

	if ((as->user_ns || as->unmapped) && !role_may_unshare(as->uid)) {
		puts("not tried: users may not make user namespaces");
		return;
	}
	role_start(&role, as, tell_ids, NULL);
	ck_assert_uint_eq(role_hear(&role), cases[_i].uid);
	ck_assert_int_eq(role_hear(&role) == 1, as->pid_ns);
	role_end(&role);
}
END_TEST

int main(void)
{
	const char *reason = role_reason();
	TCase *c;

	if (reason) {
		puts(reason);
		return 77;
	}
	c = tcase_create("pair");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, an_honest_pair_has_an_exact_ledger);
	tcase_add_test(c, a_user_without_rights_is_refused);
	tcase_add_loop_test(c, a_role_can_be_in_namespaces, 0, 5);
	return check_run_case("pair", c);
}
