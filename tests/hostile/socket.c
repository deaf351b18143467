/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which users the mode and the group of the socket let in: by default the broker's user
 * and its group, and no other one.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tapio/observer.h>

#include "tests/check_main.h"
#include "tests/hostile/world.h"

#define REST                                                          \
	"channel events { class main { block = 256 blocks = 64 } }\n" \
	"allow all { any = true role = {inspect} }\n"
#define FOREIGN_GROUP 61020

static struct world world;

static int open_observer(char *error, size_t bytes)
{
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = world_options(&world, error, bytes),
	};
	struct tapio_observer *o;
	int err = tapio_observer_open(&o, "events", &options);

	if (!err)
		tapio_observer_close(o);
	return err;
}

static void be_kept_out(struct role *self)
{
	char error[512] = "";

	(void)self;
	ck_assert_int_eq(open_observer(error, sizeof(error)), -EACCES);
	/* It says what to do. */
	ck_assert_ptr_nonnull(strstr(error, "socket_mode"));
}

static void be_let_in_as_member(struct role *self)
{
	char error[512] = "";

	(void)self;
	ck_assert_int_eq(setresgid(WORLD_BROKER, WORLD_BROKER, WORLD_BROKER),
			 0);
	ck_assert_int_eq(
		setresuid(WORLD_ATTACKER, WORLD_ATTACKER, WORLD_ATTACKER), 0);
	ck_assert_int_eq(open_observer(error, sizeof(error)), 0);
}

static void be_let_in(struct role *self)
{
	char error[512] = "";

	(void)self;
	ck_assert_int_eq(open_observer(error, sizeof(error)), 0);
}

static void check_mode(mode_t mode)
{
	struct stat st;

	ck_assert_int_eq(stat(world.socket, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, mode);
	ck_assert_uint_eq(st.st_gid, WORLD_BROKER);
}

/* Fails on commit 2e5634a: there the mode is 0666. */
START_TEST(unless_configured_only_the_group_may_connect)
{
	const struct role_as other = {.uid = WORLD_ATTACKER};
	const struct role_as root = {0};

	world_start(&world, "# socket_mode: the default\n" REST);
	check_mode(0660);
	role_run(&other, be_kept_out, NULL);
	role_run(&root, be_let_in_as_member, NULL);
	world_assert_serves(&world, "events");
	world_stop(&world);
}
END_TEST

START_TEST(a_mode_of_0666_lets_all_connect)
{
	const struct role_as other = {.uid = WORLD_ATTACKER};

	world_start(&world, "socket_mode = \"0666\"\n" REST);
	check_mode(0666);
	role_run(&other, be_let_in, NULL);
	world_stop(&world);
}
END_TEST

/* Fails on commit 2e5634a: there it does not start. */
START_TEST(a_group_that_the_broker_may_not_give_is_said_and_opens_nothing)
{
	const struct role_as other = {.uid = WORLD_ATTACKER};
	const struct role_as member = {.uid = FOREIGN_GROUP};

	world_start(&world, "socket_mode = \"0660\"\n"
			    "socket_group = \"61020\"\n" REST);
	check_mode(0660);
	ck_assert(world_said(&world, "cannot give it to group 61020"));
	role_run(&other, be_kept_out, NULL);
	role_run(&member, be_kept_out, NULL);
	world_assert_serves(&world, "events");
	world_stop(&world);
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
	c = tcase_create("socket");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, unless_configured_only_the_group_may_connect);
	tcase_add_test(c, a_mode_of_0666_lets_all_connect);
	tcase_add_test(
		c,
		a_group_that_the_broker_may_not_give_is_said_and_opens_nothing);
	return check_run_case("socket", c);
}
