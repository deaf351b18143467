/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The language of tapio-correlate: mistakes are refused with their place and a word of help, and
 * each form is read as the guide says.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tapio/event.h>

#include "tests/check_main.h"
#include "tools/correlate/rules.h"

static struct tpi_rules_errors errors;
static struct tpi_rules *rules;

static int load(const char *text)
{
	tpi_rules_free(rules);
	return tpi_rules_parse("r", text, strlen(text), &rules, &errors);
}

static void teardown(void)
{
	tpi_rules_free(rules);
	rules = NULL;
}

static void fine(const char *text)
{
	if (load(text)) {
		fprintf(stderr, "%s\n", text);
		tpi_rules_print_errors(&errors, stderr);
	}
	ck_assert_uint_eq(errors.count, 0);
	ck_assert_ptr_nonnull(rules);
}

/* One error, at a place, whose text has these words. */
static void refused(const char *text, unsigned int line, unsigned int column,
		    const char *word, const char *why)
{
	ck_assert_int_eq(load(text), -EINVAL);
	ck_assert_ptr_null(rules);
	if (errors.count != 1 || !strstr(errors.errors[0].text, why))
		tpi_rules_print_errors(&errors, stderr);
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_str_eq(errors.errors[0].word, word);
	ck_assert_uint_eq(errors.errors[0].line, line);
	ck_assert_uint_eq(errors.errors[0].column, column);
	ck_assert_ptr_nonnull(strstr(errors.errors[0].text, why));
}

#define ONE(condition) "rule r { k: " condition " count(k) > 3 within 1s }"

START_TEST(the_rules_of_the_guide_are_read)
{
	struct tpi_rule_info info;

	fine("rule container_oom_loop {\n"
	     "  oom:     type == process.oom\n"
	     "  restart: type == process.start and comm == oom.comm\n"
	     "  slow:    type == network.connection and duration > 200ms\n"
	     "  sequence oom, restart, slow by cgroup_id within 60s at least 2\n"
	     "  severity critical\n"
	     "  say \"{oom.comm} was killed, {{restarted}}, and is slow: {count}\"\n"
	     "}\n"
	     "rule connect_scan { c: type == network.connection\n"
	     "  distinct(c.peer) > 50 by pid within 10s severity warning }\n"
	     "rule gone_silent { k: type == process.sample\n"
	     "  absent by process within 30s cooldown 5m }\n");
	ck_assert_uint_eq(tpi_rules_count(rules), 3);
	ck_assert(tpi_rules_info(rules, 0, &info));
	ck_assert_str_eq(info.name, "container_oom_loop");
	ck_assert_int_eq(info.kind, TPI_RULE_SEQUENCE);
	ck_assert_uint_eq(info.severity, TAPIO_SEVERITY_CRITICAL);
	ck_assert_uint_eq(info.step_count, 3);
	ck_assert_str_eq(info.steps[2], "slow");
	ck_assert_uint_eq(info.within_ns, UINT64_C(60000000000));
	ck_assert(tpi_rules_info(rules, 2, &info));
	ck_assert_int_eq(info.kind, TPI_RULE_ABSENT);
	ck_assert_uint_eq(info.cooldown_ns, UINT64_C(300000000000));
	ck_assert_uint_eq(info.severity, TAPIO_SEVERITY_NOTICE);
	ck_assert(!tpi_rules_info(rules, 3, &info));
}
END_TEST

START_TEST(all_forms_of_conditions_are_read)
{
	fine(ONE(
		"type == log and body contains \"x\\n\\x41\\\"\" and not has unit"));
	fine(ONE("type in { log, dns, 2000 } and pid in { 1, 2, 3 }"));
	fine(ONE(
		"type == network.connection and peer in { 10.0.0.0/8, \"fd00::/8\" }"));
	fine(ONE(
		"type == network.connection and peer in 10.0.0.0/8 and peer != 10.0.0.1"));
	fine(ONE(
		"type == memory and free_bytes < 4MiB and available < 1.5GiB"));
	fine(ONE(
		"type == pressure and some_total_us > 20ms and some_avg10 >= 12.5"));
	fine(ONE(
		"type == process.exit and exit_code == -1 and duration < 1.5s"));
	fine(ONE("severity >= warning and flags contains existing"));
	fine(ONE("trace_id == \"000102030405060708090a0b0c0d0e0f\""));
	fine(ONE("type == log and attributes[\"a.b\"] prefix \"x\""));
	fine(ONE(
		"type == process.exit and (signal == 9 or (exit_code != 0 and ppid == pid))"));
	fine(ONE(
		"type == dns and operation == query and pod.namespace == \"prod\""));
	fine(ONE("type == 2000"));
	fine("rule r { k: has pid; absent within 1s; } # the end");
}
END_TEST

START_TEST(errors_have_place_word_and_help)
{
	refused("", 1, 1, "", "there is no rule");
	refused("rle r { }", 1, 1, "rle", "expected 'rule'");
	refused("rule r {\n\tk: type == process.sart\n\tcount(k) > 3 within 1s }",
		2, 13, "process.sart", "did you mean process.start?");
	refused("rule r {\n  k: type == process.oom and com == \"x\"\n count(k) > 3 within 1s }",
		2, 30, "com", "did you mean comm?");
	refused(ONE("type == log and pid > \"x\""), 1, 35, "\"x\"",
		"pid is a number");
	refused(ONE("type == log and body == 5"), 1, 37, "5", "body is a text");
	refused(ONE("type == log and body > \"x\""), 1, 36, "\"x\"",
		"body is a text");
	refused(ONE("type == network.connection and peer_port > 70000"), 1, 56,
		"70000", "peer_port holds 0 to 65535");
	refused(ONE("type == network.connection and duration > 3MiB"), 1, 55,
		"3MiB", "no number of bytes");
	refused(ONE("type == dns and operation == qery"), 1, 42, "qery",
		"did you mean query?");
	refused(ONE("type == log and type == dns"), 1, 10, "k",
		"exclude each other");
	refused(ONE("type != log and has body"), 1, 33, "body",
		"no such field");
	refused(ONE("type == network.connection and peer == 10.0.0.0/8"), 1, 52,
		"10.0.0.0/8", "a network is no address");
	refused(ONE("type == network.connection and peer in \"10.0.0.0/33\""),
		1, 52, "\"10.0.0.0/33\"", "is an address");
	refused(ONE("pid"), 1, 13, "pid", "not true or false");
	refused(ONE("severity > loud"), 1, 24, "loud", "no value of this name");
	refused(ONE("pid > 5parsecs"), 1, 19, "5parsecs",
		"no number with a unit");
	refused(ONE("pid == \"x"), 1, 20, "\"x count(k) > 3 within 1s }",
		"does not end");
}
END_TEST

START_TEST(rules_that_are_incomplete_are_refused)
{
	refused("rule r { k: has pid within 1s }", 1, 6, "r", "no operator");
	refused("rule r { k: has pid count(k) > 2 }", 1, 6, "r", "no 'within'");
	refused("rule r { absent within 1s }", 1, 6, "r", "no step");
	refused("rule r { k: has pid l: has pid absent within 1s }", 1, 6, "r",
		"several steps");
	refused("rule r { k: has pid count(l) > 2 within 1s }", 1, 27, "l",
		"no step of this name");
	refused("rule r { k: has pid l: has pid count(l) > 2 within 1s }", 1,
		10, "k", "does not use this step");
	refused("rule r { k: has pid sequence k, k within 1s }", 1, 33, "k",
		"named twice");
	refused("rule r { k: has pid count(k) < 2 within 1s }", 1, 30, "<",
		"expected '>'");
	refused("rule r { k: has pid count(k) > 0 within 1s }", 1, 32, "0",
		"from 1 to 10000");
	refused("rule r { k: has pid count(k) > 2 within 8d }", 1, 41, "8d",
		"to 7d");
	refused("rule r { k: has pid sequence k within 1s at least 2 }", 1, 51,
		"2", "only 1 steps");
	refused("rule r { k: has pid count(k) > 2 at least 2 within 1s }", 1,
		43, "2", "only a sequence");
	refused("rule r { k: type == log absent by pidd within 1s }", 1, 10,
		"k", "no field 'pidd'");
	refused("rule r { k: type == dns absent by process within 1s }", 1, 10,
		"k", "no field 'start_ticks'");
	refused("rule r { k: type == log distinct(k.pear) > 2 within 1s }", 1,
		34, "k.pear", "no field 'pear'");
	refused("rule r { k: type == log absent within 1s say \"{k.x}\" }", 1,
		46, "\"{k.x}\"", "names 'k.x'");
	refused("rule r { k: type == log absent within 1s say \"{\" }", 1, 46,
		"\"{\"", "stands alone");
	refused("rule r { k: has pid absent within 1s }\nrule r { k: has pid absent within 2s }",
		2, 6, "r", "in line 1");
	refused("rule r { a: has pid and b.pid == 1 b: has pid sequence a, b within 1s }",
		1, 25, "b.pid", "no such field");
}
END_TEST

START_TEST(one_load_shows_the_errors_of_each_rule)
{
	ck_assert_int_eq(
		load("rule a { k: typ == log absent within 1s }\n"
		     "rule b { k: type == log within }\n"
		     "rule c { k: type == log absent within 1s }\n"
		     "rule d { k: pid > }\n"
		     "rule e { k: type == dns and questoin == \"x\" or body == 5 absent "
		     "within 1s }\n"),
		-EINVAL);
	ck_assert_uint_eq(errors.count, 5);
	ck_assert_uint_eq(errors.errors[0].line, 2);
	ck_assert_uint_eq(errors.errors[1].line, 4);
	ck_assert_uint_eq(errors.errors[2].line, 1);
	ck_assert_uint_eq(errors.errors[3].line, 5);
	ck_assert_uint_eq(errors.errors[3].column, 29);
	ck_assert_uint_eq(errors.errors[4].column, 48);
}
END_TEST

START_TEST(errors_beyond_the_limit_are_counted)
{
	char text[4096] = "";

	for (int i = 0; i < 30; i++)
		strcat(text, "rule a { }\n");
	ck_assert_int_eq(load(text), -EINVAL);
	ck_assert_uint_gt(errors.count, TPI_RULES_ERRORS_MAX);
}
END_TEST

START_TEST(a_condition_is_bounded_in_depth_and_size)
{
	static char text[500000];
	char *at = text;

	at += sprintf(at, "rule r { k: ");
	for (int i = 0; i < 1000; i++)
		at += sprintf(at, "(");
	ck_assert_int_eq(load(text), -EINVAL);
	ck_assert_ptr_nonnull(strstr(errors.errors[0].text, "at most 64 deep"));
	/* A stack of as many calls would end the process. */
	at = text + sprintf(text, "rule r { k: ");
	for (int i = 0; i < 100000; i++)
		at += sprintf(at, "not ");
	sprintf(at, "has pid absent within 1s }");
	ck_assert_int_eq(load(text), -EINVAL);
	ck_assert_ptr_nonnull(strstr(errors.errors[0].text, "at most 64 deep"));
	at = text + sprintf(text, "rule r { k: has pid");
	for (int i = 0; i < 2000; i++)
		at += sprintf(at, " and pid > %d", i);
	sprintf(at, " absent within 1s }");
	ck_assert_int_eq(load(text), -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(errors.errors[0].text, "at most 1000 parts"));
}
END_TEST

START_TEST(a_digest_is_of_words_and_not_of_space)
{
	struct tpi_rule_info a, b, c;

	fine("rule r { k: has pid absent within 1s }");
	ck_assert(tpi_rules_info(rules, 0, &a));
	fine("# other\nrule r {\n  k: has   pid\n absent within 1s # x\n}");
	ck_assert(tpi_rules_info(rules, 0, &b));
	fine("rule r { k: has pid absent within 2s }");
	ck_assert(tpi_rules_info(rules, 0, &c));
	ck_assert(a.digest == b.digest);
	ck_assert(a.digest != c.digest);
}
END_TEST

START_TEST(a_filter_has_the_types_of_all_rules)
{
	uint16_t types[8] = {0};

	fine("rule a { k: type == dns absent within 1s }"
	     "rule b { k: type in { log, 3000 } and pod.name == \"x\" absent within 1s }");
	ck_assert_int_eq(tpi_rules_types(rules, types, 8), 4);
	ck_assert_uint_eq(types[0], TAPIO_EVENT_DNS);
	ck_assert_uint_eq(types[1], TAPIO_EVENT_KUBERNETES_OBJECT);
	ck_assert_uint_eq(types[2], TAPIO_EVENT_LOG);
	ck_assert_uint_eq(types[3], 3000);
	/* A field that several types have: of those, and of no others. */
	fine("rule a { k: comm == \"x\" and exit_code > 0 absent within 1s }");
	ck_assert_int_eq(tpi_rules_types(rules, types, 8), 1);
	ck_assert_uint_eq(types[0], TAPIO_EVENT_PROCESS_EXIT);
	/* A field of the header: of any type, known or not. */
	fine("rule a { k: pid == 5 absent within 1s }");
	ck_assert_int_eq(tpi_rules_types(rules, types, 8), -1);
}
END_TEST

START_TEST(an_expression_is_checked_at_load)
{
	if (!tpi_rules_have_regex()) {
		refused(ONE("type == log and body matches \"x\""), 1, 42,
			"\"x\"", "libpcre2-dev");
		return;
	}
	fine(ONE("type == log and body matches \"^a(b|c)+$\""));
	refused(ONE("type == log and body matches \"a(b\""), 1, 42, "\"a(b\"",
		"at byte 3");
	refused(ONE("type == log and pid matches \"a\""), 1, 41, "\"a\"",
		"pid is a number");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_named)
{
	struct tpi_rules *none;

	ck_assert_int_eq(tpi_rules_load("/nowhere/rules", &none, &errors),
			 -ENOENT);
	ck_assert_ptr_null(none);
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_str_eq(errors.name, "/nowhere/rules");
	ck_assert_ptr_nonnull(strstr(errors.errors[0].text, "No such file"));
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("correlate_rules");

	tcase_add_checked_fixture(tests, NULL, teardown);
	tcase_add_test(tests, the_rules_of_the_guide_are_read);
	tcase_add_test(tests, all_forms_of_conditions_are_read);
	tcase_add_test(tests, errors_have_place_word_and_help);
	tcase_add_test(tests, rules_that_are_incomplete_are_refused);
	tcase_add_test(tests, one_load_shows_the_errors_of_each_rule);
	tcase_add_test(tests, errors_beyond_the_limit_are_counted);
	tcase_add_test(tests, a_condition_is_bounded_in_depth_and_size);
	tcase_add_test(tests, a_digest_is_of_words_and_not_of_space);
	tcase_add_test(tests, a_filter_has_the_types_of_all_rules);
	tcase_add_test(tests, an_expression_is_checked_at_load);
	tcase_add_test(tests, a_file_that_cannot_be_read_is_named);
	return check_run_case("correlate_rules", tests);
}
