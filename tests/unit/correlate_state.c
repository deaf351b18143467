/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of an engine of tapio-correlate: explanations, pods, rules that change, checkpoints and
 * damaged ones.
 */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/correlate_fixture.h"

/* ---- explanations -------------------------------------------------------------------------------- */

START_TEST(an_explanation_says_how_far_a_key_came)
{
	options.on_why = on_why;
	begin("rule r { b: type == process.exit and exit_code == 2 "
	      "a: type == process.exit and exit_code == 1 "
	      "c: type == process.exit and exit_code == 3 sequence a, b, c by pid within 10s }");
	exits(S, 1, 1, "a");
	exits(2 * S, 1, 2, "a");
	exits(3 * S, 2, 1, "a");
	tpi_corr_time(corr, 5 * S);
	tpi_corr_explain(corr);
	ck_assert_uint_eq(why_count, 2);
	ck_assert_int_eq(why[0].why.end, TPI_CORR_END_WAITING);
	ck_assert_str_eq(why[0].key, "pid=1");
	ck_assert_uint_eq(why[0].why.steps,
			  3); /* b and a, in the order of the text */
	ck_assert_uint_eq(why[0].why.have, 2);
	ck_assert_uint_eq(why[0].why.need, 3);
	ck_assert_uint_eq(why[1].why.steps, 2);
	tpi_corr_time(corr, 100 * S);
	ck_assert_uint_eq(why_count, 4);
	ck_assert_int_eq(why[2].why.end, TPI_CORR_END_EXPIRED);
	ck_assert_uint_eq(why[2].why.time_ns, 12 * S);
	ck_assert_uint_eq(why[2].why.first_ns, S);
	ck_assert_uint_eq(why[2].why.last_ns, 2 * S);
	ck_assert_uint_eq(rule_stats(0).expired, 2);
}
END_TEST

/* ---- pods ------------------------------------------------------------------------------------------ */

static void pod(uint64_t time_ns, const char *name, const char *uid,
		const char *container, const char *cgroup)
{
	struct tapio_event_kubernetes_object *f;

	start(TAPIO_EVENT_KUBERNETES_OBJECT, 0);
	f = b.fields;
	f->operation = TAPIO_OBJECT_ADDED;
	text(&f->kind, "Pod");
	text(&f->name_space, "prod");
	text(&f->name, name);
	text(&f->object_uid, uid);
	if (cgroup)
		tapio_event_builder_attribute(&b, &f->cgroups, container,
					      strlen(container), cgroup,
					      strlen(cgroup));
	else
		tapio_event_builder_attribute(&b, &f->containers, "c", 1,
					      container, strlen(container));
	ck_assert_int_eq(give(time_ns), 1);
}

static void exits_in(uint64_t time_ns, uint64_t cgroup, const char *container)
{
	struct tapio_event_process_exit *f;

	start(TAPIO_EVENT_PROCESS_EXIT, 1);
	f = b.fields;
	b.event->cgroup_id = cgroup;
	f->exit_code = 1;
	if (container)
		text(&f->container_id, container);
	ck_assert_int_eq(give(time_ns), 1);
}

#define POD_RULE                                                                             \
	"rule r { k: type == process.exit and exit_code == 1 and pod.namespace == \"prod\" " \
	"count(k) >= 2 by pod within 100s say \"{pod.name}\" }"

START_TEST(an_event_knows_its_pod_by_cgroup_or_container)
{
	begin(POD_RULE);
	pod(10 * S, "web-1", "uid-1", "abc", "4711");
	pod(10 * S, "web-2", "uid-2", "def", NULL);
	exits_in(9 * S, 4711, NULL); /* before anything was known of it */
	exits_in(11 * S, 4711, NULL);
	exits_in(11 * S, 0, "def");
	exits_in(12 * S, 9, "def"); /* an unknown cgroup */
	exits_in(12 * S, 0, "abc");
	exits_in(13 * S, 1, "nothing");
	tpi_corr_time(corr, 20 * S);
	ck_assert_uint_eq(found_count, 2);
	ck_assert_str_eq(found[0].key, "pod.uid=\"uid-2\"");
	ck_assert_str_eq(found[0].say, "web-2");
	ck_assert_str_eq(found[1].key, "pod.uid=\"uid-1\"");
	ck_assert_str_eq(found[1].say, "web-1");
	ck_assert_uint_eq(engine_stats().pods, 2);
}
END_TEST

START_TEST(a_cgroup_that_is_used_again_is_of_the_new_pod)
{
	begin(POD_RULE);
	pod(10 * S, "web-1", "uid-1", "abc", "4711");
	exits_in(11 * S, 4711, NULL);
	pod(12 * S, "web-2", "uid-2", "def", "4711");
	exits_in(13 * S, 4711, NULL);
	exits_in(14 * S, 4711, NULL);
	tpi_corr_time(corr, 20 * S);
	ck_assert_uint_eq(found_count, 1);
	ck_assert_str_eq(found[0].say, "web-2");
}
END_TEST

START_TEST(pods_are_bounded_and_survive_a_checkpoint)
{
	void *data;
	size_t length;

	options.limits.pods = 2;
	begin(POD_RULE);
	pod(10 * S, "web-1", "uid-1", "abc", "1");
	pod(10 * S, "web-2", "uid-2", "def", "2");
	pod(11 * S, "web-1", "uid-1", "abd", "4");
	pod(12 * S, "web-3", "uid-3", "ghi", "3"); /* web-2 goes */
	tpi_corr_time(corr, 12 * S);
	ck_assert_int_eq(tpi_corr_save(corr, &data, &length), 0);
	teardown();
	begin(POD_RULE);
	ck_assert_int_eq(tpi_corr_load(corr, data, length), 0);
	free(data);
	ck_assert_uint_eq(engine_stats().pods, 2);
	for (uint64_t cgroup = 1; cgroup <= 4; cgroup++)
		exits_in(13 * S, cgroup, NULL);
	exits_in(13 * S, 3, NULL);
	tpi_corr_time(corr, 20 * S);
	ck_assert_uint_eq(found_count, 2);
	ck_assert_str_eq(found[0].say, "web-1");
	ck_assert_str_eq(found[1].say, "web-3");
}
END_TEST

/* ---- rules that change, checkpoints --------------------------------------------------------------- */

#define KEPT \
	"rule kept { k: type == process.exit count(k) >= 2 by pid within 100s }"

START_TEST(unchanged_rules_keep_their_state)
{
	begin(KEPT
	      "rule gone { k: type == process.exit count(k) >= 2 by pid within 90s }");
	exits(S, 1, 0, "a");
	tpi_corr_time(corr, S);
	exits(2 * S, 2, 0, "a"); /* waits */
	ck_assert_int_eq(
		tpi_corr_swap_rules(
			corr,
			parse("rule new { k: type == process.exit count(k) >= 2 by pid "
			      "within 90s }" KEPT)),
		0);
	ck_assert_uint_eq(rule_stats(1).matched, 1);
	exits(3 * S, 1, 0, "a");
	tpi_corr_time(corr, 3 * S);
	ck_assert_uint_eq(found_count, 1);
	ck_assert_str_eq(found[0].rule, "kept");
	ck_assert_uint_eq(rule_stats(0).matched, 2);
	ck_assert_uint_eq(rule_stats(1).matched, 3);
}
END_TEST

START_TEST(a_damaged_checkpoint_leaves_the_engine_as_it_was)
{
	unsigned char *data, *bad;
	size_t length;

	begin(KEPT);
	exits(S, 1, 0, "a");
	tpi_corr_time(corr, S);
	exits(2 * S, 2, 0, "a");
	ck_assert_int_eq(tpi_corr_save(corr, (void **)&data, &length), 0);
	teardown();
	begin(KEPT);
	bad = malloc(length);
	for (size_t i = 0; i < length; i++) {
		const int expected = i / 8 == 1 ? -EPROTONOSUPPORT : -EBADMSG;

		memcpy(bad, data, length);
		bad[i] ^= 0x10;
		ck_assert_int_eq(tpi_corr_load(corr, bad, length), expected);
		ck_assert_int_eq(tpi_corr_load(corr, data, i), -EBADMSG);
	}
	free(bad);
	exits(S, 1, 0, "a");
	tpi_corr_time(corr, S);
	ck_assert_uint_eq(engine_stats().keys, 1);
	ck_assert_int_eq(tpi_corr_load(corr, data, length), 0);
	ck_assert_uint_eq(engine_stats().waiting, 1);
	free(data);
}
END_TEST

START_TEST(a_checkpoint_that_exceeds_the_limits_is_refused)
{
	void *data;
	size_t length;

	begin(KEPT);
	for (uint32_t pid = 1; pid < 100; pid++)
		exits(S, pid, 0, "a");
	tpi_corr_time(corr, S);
	ck_assert_int_eq(tpi_corr_save(corr, &data, &length), 0);
	teardown();
	options.limits.keys_per_rule = 98;
	begin(KEPT);
	ck_assert_int_eq(tpi_corr_load(corr, data, length), -ENOMEM);
	ck_assert_uint_eq(engine_stats().keys, 0);
	free(data);
}
END_TEST

START_TEST(ids_do_not_depend_on_the_numbers_of_sources)
{
	const struct tpi_corr_source other = {"aaa", "x"};
	uint64_t id;

	begin(KEPT);
	exits(S, 1, 0, "a");
	exits(2 * S, 1, 0, "a");
	tpi_corr_time(corr, 2 * S);
	ck_assert_uint_eq(found_count, 1);
	id = found[0].id;
	teardown();
	ck_assert_int_eq(tpi_corr_new(&corr, parse(KEPT), &options), 0);
	ck_assert_int_eq(tpi_corr_source(corr, &other), 0);
	source = (uint16_t)tpi_corr_source(
		corr, &(struct tpi_corr_source){"events", "a"});
	ck_assert_int_eq(source, 1);
	position = 0;
	exits(S, 1, 0, "a");
	exits(2 * S, 1, 0, "a");
	tpi_corr_time(corr, 2 * S);
	ck_assert_uint_eq(found_count, 2);
	ck_assert(found[1].id == id);
	exits(3 * S, 1, 0, "a");
	exits(4 * S, 1, 0, "a");
	tpi_corr_time(corr, 4 * S);
	ck_assert(found[2].id != id);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("correlate_state");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, an_explanation_says_how_far_a_key_came);
	tcase_add_test(tests, an_event_knows_its_pod_by_cgroup_or_container);
	tcase_add_test(tests, a_cgroup_that_is_used_again_is_of_the_new_pod);
	tcase_add_test(tests, pods_are_bounded_and_survive_a_checkpoint);
	tcase_add_test(tests, unchanged_rules_keep_their_state);
	tcase_add_test(tests, a_damaged_checkpoint_leaves_the_engine_as_it_was);
	tcase_add_test(tests, a_checkpoint_that_exceeds_the_limits_is_refused);
	tcase_add_test(tests, ids_do_not_depend_on_the_numbers_of_sources);
	return check_run_case("correlate_state", tests);
}
