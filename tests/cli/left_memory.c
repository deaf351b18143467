/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of a durable group without members, whose instance is lost: no process counts
 * them by itself, and tapio-shmstat can, in the memory that producers have left and still
 * map. A producer maps two catalogs then. On a5a959c a look into it finds "several brokers",
 * and no option chooses one.
 */
#include <jansson.h>
#include <sys/prctl.h>

#include "tests/cli/command.h"
#include "tests/cli/daemon.h"
#include "tests/cli/instance.h"
#include "tests/unit/client_fixture.h"

#define UNREAD  960
#define LIMIT_S 60

static const char config[] =
	"budget = 64M\n"
	"channel t { stamp = none\n"
	" class main { block = 64 blocks = 4096 side_blocks = 4096 }\n"
	" group away { policy = until } }\n";

static struct command run;
static struct tapio_producer *producers[2];
static char instances[2][33];
static char self[16];
static pid_t keeper;

static void emit(struct tapio_producer *p, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

/* What tapio-shmstat says, which takes it by these options. */
#define LOOK(...)                                                         \
	({                                                                \
		json_error_t why_;                                        \
		json_t *look_;                                            \
		command_free(&run);                                       \
		command_run(&run, "tapio-shmstat", "--json", __VA_ARGS__, \
			    NULL);                                        \
		look_ = json_loads(run.out, 0, &why_);                    \
		ck_assert_msg(look_ != NULL, "%s\n%s", run.out, run.err); \
		look_;                                                    \
	})

static void note_instance(char instance[33])
{
	json_t *look = LOOK("--socket", daemon_socket, "broker");
	const char *hex = json_string_value(
		json_object_get(json_object_get(look, "broker"), "instance"));

	ck_assert_ptr_nonnull(hex);
	snprintf(instance, 33, "%s", hex);
	json_decref(look);
}

/* Of the group, by the ledgers of the lanes. */
static json_int_t sum_of(const json_t *look, const char *key)
{
	const json_t *ledgers = json_object_get(look, "ledger"), *one;
	json_int_t sum = 0;
	size_t i;

	ck_assert_uint_gt(json_array_size(ledgers), 0);
	json_array_foreach(ledgers, i, one)
	{
		ck_assert_str_eq(
			json_string_value(json_object_get(one, "group")),
			"away");
		sum += json_integer_value(json_object_get(one, key));
	}
	return sum;
}

static void lose_instance(void)
{
	time_t limit = time(NULL) + LIMIT_S;

	instance_lose(keeper);
	keeper = instance_start();
	for (int i = 0; i < 2; i++)
		while (!tapio_producer_connected(producers[i])) {
			ck_assert(time(NULL) < limit);
			nap_ms(5);
		}
}

static void set_up(void)
{
	FILE *file;

	daemon_set_up();
	file = fopen(daemon_config, "we");
	ck_assert_ptr_nonnull(file);
	fputs(config, file);
	fclose(file);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	keeper = instance_start();
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = daemon_socket,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
	snprintf(self, sizeof(self), "%d", getpid());
}

static void tear_down(void)
{
	command_free(&run);
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
	daemon_tear_down();
}

START_TEST(unread_events_of_a_lost_instance_can_be_counted)
{
	json_t *look;

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
			tapio_producer_open(&producers[i], "t", &rig.options),
			0);
	note_instance(instances[0]);
	emit(producers[0], UNREAD - 60);
	emit(producers[1], 60);
	lose_instance();
	note_instance(instances[1]);
	ck_assert_str_ne(instances[0], instances[1]);
	emit(producers[0], 7);

	/* Without a choice both are named. */
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--pid", self, "ledger", NULL);
	ck_assert_int_eq(run.status, 3);
	for (int i = 0; i < 2; i++) {
		char begins[9];

		snprintf(begins, sizeof(begins), "%.8s", instances[i]);
		ck_assert_msg(strstr(run.err, begins), "%s", run.err);
	}
	ck_assert_ptr_nonnull(strstr(run.err, "--instance"));

	look = LOOK("--pid", self, "--instance", instances[0], "ledger");
	ck_assert_int_eq(sum_of(look, "in_flight"), UNREAD);
	json_decref(look);
	look = LOOK("--instance", instances[0], "ledger");
	ck_assert_int_eq(sum_of(look, "in_flight"), UNREAD);
	json_decref(look);
	look = LOOK("--pid", self, "--instance", instances[1], "ledger");
	ck_assert_int_eq(sum_of(look, "in_flight"), 7);
	json_decref(look);

	/* The next move gives the memory up. */
	lose_instance();
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--instance", instances[0], "ledger",
		    NULL);
	ck_assert_int_eq(run.status, 3);
	ck_assert_msg(strstr(run.err, "of that instance"), "%s", run.err);
	for (int i = 0; i < 2; i++)
		tapio_producer_close(producers[i]);
}
END_TEST

START_TEST(an_instance_is_named_in_hex)
{
	static const char *const wrong[] = {
		"", "x", "12G", "0123456789abcdef0123456789abcdef0"};

	command_run(&run, "tapio-shmstat", "--instance", wrong[_i], NULL);
	ck_assert_int_eq(run.status, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("left_memory");
	TCase *t = tcase_create("left"), *usage = tcase_create("usage");

	/* It needs map_files of /proc. */
	if (geteuid()) {
		puts("only root may open /proc/PID/map_files");
		return 77;
	}
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, unread_events_of_a_lost_instance_can_be_counted);
	tcase_add_loop_test(usage, an_instance_is_named_in_hex, 0, 4);
	suite_add_tcase(suite, t);
	suite_add_tcase(suite, usage);
	return rig_run(suite);
}
