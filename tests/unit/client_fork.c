/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles in a forked child: dead from its first instruction, harmless to close,
 * and without any effect on the parent's.
 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "client/observer/observer.h"
#include "tests/unit/client_fixture.h"

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct tapio_observer *o;
static struct tapio_reservation held;

static void set_up(void)
{
	pin(0); /* a block that goes back elsewhere stays held until a sweep */
	rig_start(RIG_CONFIG);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	o = rig_observer(TAPIO_START_NEWEST);
	ck_assert_int_ge(tapio_fd(c), 0);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &held), 0);
}

/* The fault in the child, as an exit status. */
static int check_dead(void)
{
	struct tapio_producer_stats ps = {.size = sizeof(ps)};
	struct tapio_consumer_stats cs = {.size = sizeof(cs)};
	struct tapio_observer_stats os = {.size = sizeof(os)};
	struct tapio_item item = {"x", 1, TAG};
	struct tapio_reservation r = held;
	struct tapio_view v;
	unsigned char instance[16];
	int wrong[] = {
		tapio_output(p, TAG, "x", 1),
		tapio_output(p, TAG, NULL, 0),
		tapio_output(p, TAPIO_TAG_CLASS(1, 1, 0), "x", 1),
		tapio_output_batch(p, &item, 1),
		tapio_reserve(p, TAG, 1, &r),
		tapio_reserve_batch(p, TAG, 1, &r, 1),
		tapio_submit(p, &held),
		tapio_submit_batch(p, &held, 1),
		tapio_discard(p, &held),
		tapio_producer_class(p, "main"),
		tapio_producer_stats_read(p, &ps),
		tapio_poll(c, &v, 1, 0),
		tapio_poll(c, &v, 1, TAPIO_FOREVER),
		(int)tapio_release(c),
		tapio_fd(c),
		tapio_consumer_instance(c, instance),
		tapio_consumer_stats_read(c, &cs),
		tapio_observe(o, &v, 1, 0),
		tapio_observer_stats_read(o, &os),
	};
	int i;

	for (i = 0; i < (int)(sizeof(wrong) / sizeof(wrong[0])); i++)
		if (wrong[i] != -ECHILD)
			return 10 + i;
	if (tapio_consumer_connected(c) || tapio_observer_connected(o))
		return 40;
	if (tapio_consumer_time_ns(c, 1) || tapio_observer_time_ns(o, 1))
		return 41;
	tapio_producer_close(p);
	tapio_consumer_close(c);
	tapio_observer_close(o);
	return 0;
}

static void check_parent(void)
{
	struct tapio_view views[4];

	ck_assert_int_eq(tapio_consumer_connected(c), 1);
	ck_assert_int_eq(tapio_submit(p, &held), 0);
	ck_assert_int_eq(tapio_output(p, TAG, "y", 1), 0);
	ck_assert_int_ge(tapio_poll(c, views, 4, 1000000000), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	drain(c);
	assert_ledger(c, 2, 0, 0);
	assert_nothing_held(p);
	tapio_observer_close(o);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}

static void assert_child(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status),
		      "the child's status is 0x%x", status);
}

START_TEST(every_call_of_a_forked_child_says_so)
{
	pid_t pid;

	set_up();
	pid = fork();
	if (!pid)
		_exit(check_dead());
	assert_child(pid);
	check_parent();
}
END_TEST

START_TEST(a_child_that_ran_no_atfork_handler_is_told_too)
{
	pid_t pid;

	set_up();
	pid = (pid_t)syscall(SYS_fork);
	if (!pid)
		_exit(check_dead());
	assert_child(pid);
	check_parent();
}
END_TEST

START_TEST(where_the_kernel_cannot_wipe_the_atfork_handler_does)
{
	pid_t pid;

	set_up();
	/* As on a kernel without it. */
	ck_assert_int_eq(madvise(p->now, TPI_HOT_BYTES, MADV_KEEPONFORK), 0);
	ck_assert_int_eq(madvise(c->now, TPI_HOT_BYTES, MADV_KEEPONFORK), 0);
	ck_assert_int_eq(madvise(o->now, TPI_HOT_BYTES, MADV_KEEPONFORK), 0);
	pid = fork();
	if (!pid)
		_exit(check_dead());
	assert_child(pid);
	check_parent();
}
END_TEST

START_TEST(a_child_opens_handles_of_its_own)
{
	pid_t pid;

	set_up();
	pid = fork();
	if (!pid) {
		struct tapio_producer *q = rig_producer();
		struct tapio_consumer *d = rig_consumer("other", 0);
		struct tapio_view v;
		bool ok = !tapio_output(q, TAG, "z", 1) &&
			  tapio_poll(d, &v, 1, 1000000000) == 1 &&
			  *(const char *)v.data == 'z';

		tapio_release(d);
		tapio_consumer_close(d);
		tapio_producer_close(q);
		_exit(ok ? check_dead() : 1);
	}
	assert_child(pid);
	ck_assert_uint_eq(drain(c), 1);
	ck_assert_int_eq(tapio_discard(p, &held), 0);
	drain(c);
	assert_ledger(c, 1, 1, 0);
	tapio_observer_close(o);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

/*
 * The broker's thread is in its loop when tapio_broker_start() returns, where fork finds
 * it. In its first steps the allocator of a sanitizer has locks that no fork handler
 * takes (gcc 12), and a child that is forked then allocates nothing any more.
 */
START_TEST(a_child_that_is_forked_at_once_starts_a_broker)
{
	pid_t pid;

	for (int round = 0; round < 20; round++) {
		rig_start(RIG_CONFIG);
		pid = fork();
		if (!pid) {
			rig_start(RIG_CONFIG);
			rig_stop();
			_exit(0);
		}
		assert_child(pid);
		rig_stop();
	}
}
END_TEST

START_TEST(the_childs_memory_at_a_lost_mapping_is_left_alone)
{
	pid_t pid;

	set_up();
	pid = fork();
	if (!pid) {
		/* The holes are free for the child to use. */
		struct tpi_map map = c->now->client.maps[0];
		unsigned char *mine;
		int status;

		mine = mmap(map.base, map.bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			    -1, 0);
		if (mine != map.base)
			_exit(50);
		memset(mine, 7, map.bytes);
		status = check_dead();
		_exit(status ? status : mine[map.bytes - 1] != 7);
	}
	assert_child(pid);
	check_parent();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client fork");
	TCase *t = tcase_create("fork");

	tcase_add_test(t, every_call_of_a_forked_child_says_so);
	tcase_add_test(t, a_child_that_ran_no_atfork_handler_is_told_too);
	tcase_add_test(t, where_the_kernel_cannot_wipe_the_atfork_handler_does);
	tcase_add_test(t, a_child_opens_handles_of_its_own);
	tcase_add_test(t, a_child_that_is_forked_at_once_starts_a_broker);
	tcase_add_test(t, the_childs_memory_at_a_lost_mapping_is_left_alone);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
