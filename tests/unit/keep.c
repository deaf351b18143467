/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of keeping that need no second process: the table of keys, the names in the
 * store of systemd, the variables of LISTEN_FDS with garbage in them, and the times of
 * restarts.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/keep/keeper.h"
#include "broker/keep/listen_fds.h"
#include "broker/keep/table.h"
#include "lib/wire/fdpass.h"
#include "tests/check_main.h"

#define ROOM  100
#define KEYS  300
#define STEPS 200000

static struct tpi_keep_table table;

static void set_up(void)
{
	ck_assert_int_eq(tpi_keep_table_create(&table, ROOM), 0);
}

static void tear_down(void)
{
	tpi_keep_table_destroy(&table);
}

static struct tpi_keep_key key_of(uint32_t i)
{
	return (struct tpi_keep_key){.kind = 1 + i % (TPI_KEEP_KINDS - 1),
				     .number = i * 65537 % (1 << 24)};
}

/* ---- the table ------------------------------------------------------------------- */

static int model[KEYS]; /* the descriptor of each key, or -1 */
static uint32_t model_used;

static void model_put(uint32_t i, int fd)
{
	int old = -2, err = tpi_keep_table_put(&table, key_of(i), fd, &old);

	if (model[i] < 0 && model_used == ROOM) {
		ck_assert_int_eq(err, -ENOSPC);
		return;
	}
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(old, model[i]);
	model_used += model[i] < 0;
	model[i] = fd;
}

static void model_drop(uint32_t i)
{
	ck_assert_int_eq(tpi_keep_table_drop(&table, key_of(i)), model[i]);
	model_used -= model[i] >= 0;
	model[i] = -1;
}

static void model_compare(void)
{
	struct tpi_kept kept[ROOM];

	ck_assert_uint_eq(table.used, model_used);
	tpi_keep_table_list(&table, kept);
	for (uint32_t i = 0; i < KEYS; i++)
		ck_assert_int_eq(tpi_keep_table_find(&table, key_of(i)),
				 model[i]);
	for (uint32_t i = 0; i < model_used; i++)
		ck_assert_int_eq(tpi_keep_table_find(&table, kept[i].key),
				 kept[i].fd);
}

START_TEST(the_table_is_what_a_plain_array_is)
{
	memset(model, -1, sizeof(model));
	srand(12);
	for (int step = 0; step < STEPS; step++) {
		uint32_t i = (uint32_t)rand() % KEYS;

		/* It is full for half of the time. */
		if (rand() % 8 < (step / 1000 % 2 ? 7 : 2))
			model_put(i, rand() % 1000);
		else
			model_drop(i);
		if (!(step % 100))
			model_compare();
	}
	model_compare();
}
END_TEST

START_TEST(keys_out_of_range_are_none)
{
	ck_assert(tpi_keep_key_valid((struct tpi_keep_key){1, 0}));
	ck_assert(tpi_keep_key_valid(
		(struct tpi_keep_key){TPI_KEEP_SEGMENT, (1 << 24) - 1}));
	ck_assert(!tpi_keep_key_valid((struct tpi_keep_key){0, 0}));
	ck_assert(
		!tpi_keep_key_valid((struct tpi_keep_key){TPI_KEEP_KINDS, 0}));
	ck_assert(!tpi_keep_key_valid((struct tpi_keep_key){1, 1 << 24}));
}
END_TEST

/* ---- names and variables ------------------------------------------------------------ */

START_TEST(each_key_of_a_broker_has_a_name_and_back)
{
	char name[TPI_KEEP_NAME_BYTES];

	for (uint32_t kind = TPI_KEEP_LOCK; kind < TPI_KEEP_ACTIVATED; kind++) {
		struct tpi_keep_key key = {kind, (1 << 24) - kind}, back;

		tpi_keep_name(name, key);
		ck_assert_int_eq(tpi_keep_name_parse(name, strlen(name), &back),
				 0);
		ck_assert_uint_eq(back.kind, key.kind);
		ck_assert_uint_eq(back.number, key.number);
	}
}
END_TEST

static const char *const no_names[] = {
	"",
	"tapio",
	"tapio-",
	"tapio-lock",
	"tapio-lock-",
	"tapio-lock--1",
	"tapio-lock-+1",
	"tapio-lock- 1",
	"tapio-lock-1 ",
	"tapio-lock-0x1",
	"tapio-segment-16777216",
	"tapio-segment-4294967296",
	"tapio-segment-99999999999999999999",
	"tapio-segments-1",
	"Tapio-lock-1",
	"tapio-activated-0",
	"tapio.socket",
	"unknown",
};
#define NO_NAMES ((int)(sizeof(no_names) / sizeof(no_names[0])))

START_TEST(other_names_are_none)
{
	struct tpi_keep_key key;

	ck_assert_int_eq(
		tpi_keep_name_parse(no_names[_i], strlen(no_names[_i]), &key),
		-EINVAL);
}
END_TEST

/*
 * Check has a file of its own at descriptor 3 or 4. So these run in a child, which says on
 * stderr where it failed.
 */
#define need(x)       need_line(x, #x, __LINE__)
#define need_eq(a, b) need_line((long)(a) == (long)(b), #a " == " #b, __LINE__)

static void need_line(bool holds, const char *text, int line)
{
	if (holds)
		return;
	fprintf(stderr, "line %d: %s\n", line, text);
	_exit(1);
}

static void in_child(void (*body)(int i), int i)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		body(i);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

/* Descriptors 3 and up, as a manager passes them. */
static void pass(int count)
{
	closefrom(TPI_LISTEN_FDS_START);
	for (int i = 0; i < count; i++)
		need_eq(open("/dev/null", O_RDONLY), TPI_LISTEN_FDS_START + i);
}

static void say(int pid, const char *count, const char *names)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", count, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	else
		unsetenv("LISTEN_FDNAMES");
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Takes them. The number of the first descriptor behind, and that of those closed. */
static void takes(int behind, uint32_t used, uint32_t closed)
{
	uint32_t got;

	need_eq(tpi_listen_fds_take(&table, &got), behind);
	need_eq(table.used, used);
	need_eq(got, closed);
	need(!getenv("LISTEN_PID"));
	need(!getenv("LISTEN_FDS"));
	need(!getenv("LISTEN_FDNAMES"));
}

static void passes_named(int i)
{
	(void)i;
	pass(3);
	say(getpid(), "3", "tapio-segment-7:tapio-lock-0:tapio-state-0");
	takes(6, 3, 0);
	need_eq(tpi_keep_table_find(&table,
				    (struct tpi_keep_key){TPI_KEEP_SEGMENT, 7}),
		3);
	need_eq(tpi_keep_table_find(&table,
				    (struct tpi_keep_key){TPI_KEEP_STATE, 0}),
		5);
	need_eq(fcntl(3, F_GETFD), FD_CLOEXEC);
}

static void passes_odd(int i)
{
	(void)i;
	pass(3);
	say(getpid(), "3", "tapio-lock-0");
	takes(6, 1, 2); /* without a name, and no socket */
	need(is_open(3) && !is_open(4) && !is_open(5));
	pass(2);
	say(getpid(), "2", "x:tapio-state-0:tapio-state-0:tapio-catalog-0");
	takes(5, 2, 1);
	pass(2);
	say(getpid(), "2", "tapio-process-1:tapio-process-1");
	takes(5, 3, 1); /* the first one stays: it is the newest */
	need(is_open(3) && !is_open(4));
	pass(3);
	say(getpid(), "3", ":::::");
	takes(6, 3, 3);
	pass(2);
	say(getpid(), "2", NULL);
	takes(5, 3, 2);
}

static void passes_garbage(int i)
{
	(void)i;
	const char *const counts[] = {"",   "-1",  "x",          "1x",
				      " 1", "1e1", "4294967297", "2000000"};

	pass(1);
	say(getpid() + 1, "1", "tapio-lock-0");
	takes(3, 0, 0);
	for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
		say(getpid(), counts[n], "tapio-lock-0");
		takes(3, 0, 0);
	}
	say(getpid(), "1", "tapio-lock-0");
	unsetenv("LISTEN_PID");
	takes(3, 0, 0);
	need(is_open(3));
	/* More than there are: those that are not open are no error. */
	say(getpid(), "500", "tapio-lock-0");
	takes(503, 1, 0);
}

/* Bound to a name of its own, and perhaps listening. */
static void pass_socket(int domain, int type, bool listens)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	pass(0);
	fd = socket(domain, type, 0);
	need_eq(fd, TPI_LISTEN_FDS_START);
	if (domain == AF_UNIX)
		need_eq(bind(fd, (void *)&address, sizeof(sa_family_t)), 0);
	if (listens)
		need_eq(listen(fd, 1), 0);
}

static void passes_socket(int i)
{
	const struct tpi_keep_key key = {TPI_KEEP_ACTIVATED, 0};

	pass_socket(AF_UNIX, SOCK_STREAM, true);
	say(getpid(), "1", "tapio.socket");
	takes(4, 0, 1);
	pass_socket(AF_UNIX, SOCK_SEQPACKET, false);
	say(getpid(), "1", "tapio.socket");
	takes(4, 0, 1);
	pass_socket(AF_UNIX, SOCK_SEQPACKET, true);
	say(getpid(), "1", i ? "tapio.socket" : NULL);
	takes(4, 1, 0);
	need_eq(tpi_keep_table_find(&table, key), 3);
}

static void (*const passings[])(int i) = {
	passes_named, passes_odd, passes_garbage, passes_socket, passes_socket};
#define PASSINGS ((int)(sizeof(passings) / sizeof(passings[0])))

START_TEST(a_manager_passes_descriptors_and_garbage)
{
	in_child(passings[_i], _i == PASSINGS - 1);
}
END_TEST

/* ---- restarts ------------------------------------------------------------------------ */

static struct tpi_keeper_policy policy;

static int delay(int signal, bool ready, int64_t seconds)
{
	return tpi_keeper_delay(&policy, signal, ready,
				seconds * INT64_C(1000000000));
}

START_TEST(a_kill_from_outside_costs_no_time)
{
	policy = (struct tpi_keeper_policy){0};
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(delay(i % 2 ? SIGKILL : 0, true, 0), 0);
}
END_TEST

START_TEST(failures_come_ever_later)
{
	const int expected[] = {0,   10,  20,   40,   80,   160,
				320, 640, 1280, 2560, 5000, 5000};

	policy = (struct tpi_keeper_policy){0};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		ck_assert_int_eq(delay(_i ? SIGSEGV : -1, _i, 0), expected[i]);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(delay(_i ? SIGSEGV : -1, _i, 0), 5000);
	/* One that lasts is forgiven. */
	ck_assert_int_eq(delay(SIGSEGV, true, 5), 0);
	ck_assert_int_eq(delay(SIGSEGV, true, 0), 0);
	ck_assert_int_eq(delay(SIGSEGV, true, 0), 10);
}
END_TEST

START_TEST(kills_before_it_serves_keep_no_client_waiting)
{
	const int expected[] = {0, 10, 20, 40, 80, 100, 100};

	policy = (struct tpi_keeper_policy){0};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		ck_assert_int_eq(delay(_i ? SIGKILL : 0, false, 0),
				 expected[i]);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(delay(_i ? SIGKILL : 0, false, 0), 100);
}
END_TEST

START_TEST(crashes_before_it_serves_come_to_an_end)
{
	policy = (struct tpi_keeper_policy){0};
	for (int i = 1; i < TPI_KEEPER_CRASHES; i++)
		ck_assert_int_ge(delay(SIGBUS, false, 0), 0);
	/* One that is killed is no crash. */
	ck_assert_int_ge(delay(SIGKILL, false, 0), 0);
	for (int i = 1; i < TPI_KEEPER_CRASHES; i++)
		ck_assert_int_ge(delay(SIGSEGV, false, 0), 0);
	ck_assert_int_eq(delay(SIGABRT, false, 100), -1);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("keep");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, the_table_is_what_a_plain_array_is);
	tcase_add_test(c, keys_out_of_range_are_none);
	tcase_add_test(c, each_key_of_a_broker_has_a_name_and_back);
	tcase_add_loop_test(c, other_names_are_none, 0, NO_NAMES);
	tcase_add_loop_test(c, a_manager_passes_descriptors_and_garbage, 0,
			    PASSINGS);
	tcase_add_test(c, a_kill_from_outside_costs_no_time);
	tcase_add_loop_test(c, failures_come_ever_later, 0, 2);
	tcase_add_loop_test(c, kills_before_it_serves_keep_no_client_waiting, 0,
			    2);
	tcase_add_test(c, crashes_before_it_serves_come_to_an_end);
	return check_run_case("keep", c);
}
