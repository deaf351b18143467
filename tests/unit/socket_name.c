/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a broker listens, and where a client looks, without an option: the
 * user's own socket where there is one, the system's else, and never a socket
 * in a directory of somebody else.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tapio/producer.h>

#include "lib/wire/socket_name.h"

#define NOBODY 65534

static char session[64], own[128];

/* As a user that is not root, with a runtime directory of its own. */
static void set_up(void)
{
	strcpy(session, "/tmp/tapio-session-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(session));
	snprintf(own, sizeof(own), "%s/tapio/tapiod.sock", session);
	if (!geteuid()) {
		ck_assert_int_eq(chown(session, NOBODY, NOBODY), 0);
		ck_assert_int_eq(seteuid(NOBODY), 0);
	}
	setenv("XDG_RUNTIME_DIR", session, 1);
	unsetenv("TAPIO_SOCKET");
}

static void tear_down(void)
{
	char directory[80];

	snprintf(directory, sizeof(directory), "%s/tapio", session);
	unlink(own);
	rmdir(directory);
	(void)!seteuid(getuid());
	rmdir(session);
}

static void start_own_broker(void)
{
	char directory[80];
	int fd;

	snprintf(directory, sizeof(directory), "%s/tapio", session);
	ck_assert_int_eq(mkdir(directory, 0755), 0);
	fd = open(own, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static const char *serve(void)
{
	static struct tpi_socket_name name;

	tpi_socket_name_serve(&name);
	return name.text;
}

static const char *find(void)
{
	static struct tpi_socket_name name;

	tpi_socket_name_find(&name);
	return name.text;
}

START_TEST(a_user_serves_in_its_session)
{
	ck_assert_str_eq(serve(), own);
}
END_TEST

START_TEST(a_client_takes_the_users_socket_once_it_exists)
{
	ck_assert_str_eq(find(), TAPIO_SOCKET_DEFAULT);
	start_own_broker();
	ck_assert_str_eq(find(), own);
}
END_TEST

START_TEST(a_directory_of_another_user_does_not_count)
{
	/* As sudo and su leave the variable behind. */
	setenv("XDG_RUNTIME_DIR", "/", 1);
	ck_assert_str_eq(serve(), TAPIO_SOCKET_DEFAULT);
	ck_assert_str_eq(find(), TAPIO_SOCKET_DEFAULT);
}
END_TEST

START_TEST(root_serves_and_looks_in_the_systems_place)
{
	start_own_broker();
	if (seteuid(0))
		return; /* a user who runs the tests. That case is the others */
	ck_assert_int_eq(chown(session, 0, 0), 0);
	ck_assert_str_eq(serve(), TAPIO_SOCKET_DEFAULT);
	ck_assert_str_eq(find(), TAPIO_SOCKET_DEFAULT);
}
END_TEST

static int open_with(struct tapio_options *options, char *error, size_t bytes)
{
	struct tapio_producer *p;

	options->size = sizeof(*options);
	options->error = error;
	options->error_bytes = bytes;
	error[0] = '\0';
	return tapio_producer_open(&p, "events", options);
}

START_TEST(the_library_goes_by_this_rule_and_by_it_last)
{
	struct tapio_options options = {0};
	char error[256];

	start_own_broker(); /* a file without a listener */
	ck_assert_int_lt(open_with(&options, error, sizeof(error)), 0);
	ck_assert_msg(strstr(error, own), "%s", error);
	setenv("TAPIO_SOCKET", "@tapio-from-the-environment", 1);
	ck_assert_int_lt(open_with(&options, error, sizeof(error)), 0);
	ck_assert_msg(strstr(error, "@tapio-from-the-environment"), "%s",
		      error);
	options.socket = "@tapio-from-the-options";
	ck_assert_int_lt(open_with(&options, error, sizeof(error)), 0);
	ck_assert_msg(strstr(error, "@tapio-from-the-options"), "%s", error);
}
END_TEST

static char too_long[200];

static const char *const useless[] = {
	NULL, "", "relative", "/tmp/tapio-is-not-there", "/dev/null", too_long,
};
#define USELESS (int)(sizeof(useless) / sizeof(useless[0]))

START_TEST(without_a_usable_directory_the_systems_place_is_meant)
{
	memset(too_long, '/', sizeof(too_long) - 1);
	memcpy(too_long + 100, session, strlen(session));
	if (useless[_i])
		setenv("XDG_RUNTIME_DIR", useless[_i], 1);
	else
		unsetenv("XDG_RUNTIME_DIR");
	ck_assert_str_eq(serve(), TAPIO_SOCKET_DEFAULT);
	ck_assert_str_eq(find(), TAPIO_SOCKET_DEFAULT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("socket_name");
	TCase *c = tcase_create("socket_name");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_user_serves_in_its_session);
	tcase_add_test(c, a_client_takes_the_users_socket_once_it_exists);
	tcase_add_test(c, a_directory_of_another_user_does_not_count);
	tcase_add_test(c, the_library_goes_by_this_rule_and_by_it_last);
	tcase_add_test(c, root_serves_and_looks_in_the_systems_place);
	tcase_add_loop_test(
		c, without_a_usable_directory_the_systems_place_is_meant, 0,
		USELESS);
	suite_add_tcase(suite, c);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
