/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of tapio-collect-kubernetes that need no server: the table of known objects, waits
 * between tries, base64, names of resources, times, cgroup directories. (The scan of JSON is
 * fuzzed against another reader of it: fuzz.kube_scan.)
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tools/collectors/kubernetes/access.h"
#include "tools/collectors/kubernetes/backoff.h"
#include "tools/collectors/kubernetes/cgroup.h"
#include "tools/collectors/kubernetes/known.h"
#include "tools/collectors/kubernetes/resource.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct tpi_kube_span span(const char *text)
{
	return (struct tpi_kube_span){text, text ? strlen(text) : 0};
}

static const struct tpi_kube_object *object(const char *name, const char *uid,
					    const char *version)
{
	static struct tpi_kube_object o;

	memset(&o, 0, sizeof(o));
	o.name_space = span("ns");
	o.name = span(name);
	o.uid = span(uid);
	o.version = span(version);
	return &o;
}

/* ---- known ------------------------------------------------------------------ */

static enum tpi_kube_change see(struct tpi_kube_known *known, const char *name,
				const char *uid, const char *version)
{
	struct tpi_kube_known_one *former;
	enum tpi_kube_change change =
		tpi_kube_known_see(known, object(name, uid, version), &former);

	ck_assert_int_eq(former != NULL, change == TPI_KUBE_REPLACED);
	tpi_kube_known_free_one(former);
	return change;
}

START_TEST(each_object_is_new_once_and_then_as_its_version_says)
{
	struct tpi_kube_known known;

	tpi_kube_known_init(&known, 100);
	ck_assert_int_eq(see(&known, "a", "1", "10"), TPI_KUBE_NEW);
	ck_assert_int_eq(see(&known, "a", "1", "10"), TPI_KUBE_SAME);
	ck_assert_int_eq(see(&known, "a", "1", "11"), TPI_KUBE_CHANGED);
	ck_assert_int_eq(see(&known, "a", "2", "12"), TPI_KUBE_REPLACED);
	ck_assert_int_eq(see(&known, "a", "2", "12"), TPI_KUBE_SAME);
	/* Without a version it may have changed. */
	ck_assert_int_eq(see(&known, "a", "2", NULL), TPI_KUBE_CHANGED);
	ck_assert_int_eq(see(&known, "a", "2", NULL), TPI_KUBE_CHANGED);
	ck_assert_uint_eq(known.count, 1);
	tpi_kube_known_fini(&known);
}
END_TEST

START_TEST(a_late_deletion_of_the_former_one_leaves_the_new_one_known)
{
	struct tpi_kube_known known;

	tpi_kube_known_init(&known, 100);
	ck_assert(!tpi_kube_known_forget(&known, object("a", "1", "1")));
	see(&known, "a", "2", "10");
	ck_assert(!tpi_kube_known_forget(&known, object("a", "1", "11")));
	ck_assert_int_eq(see(&known, "a", "2", "10"), TPI_KUBE_SAME);
	ck_assert(tpi_kube_known_forget(&known, object("a", "2", "12")));
	ck_assert_int_eq(see(&known, "a", "2", "10"), TPI_KUBE_NEW);
	tpi_kube_known_fini(&known);
}
END_TEST

START_TEST(a_round_finds_exactly_what_was_not_seen_in_it)
{
	struct tpi_kube_known known;
	struct tpi_kube_known_one *one;
	char name[16], uid[16];
	size_t place = 0, gone = 0;
	bool told[3000] = {false};

	tpi_kube_known_init(&known, 100000);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "pod-%d", i);
		snprintf(uid, sizeof(uid), "%d", i);
		ck_assert_int_eq(see(&known, name, uid, "1"), TPI_KUBE_NEW);
	}
	tpi_kube_known_begin_round(&known);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "pod-%d", i);
		snprintf(uid, sizeof(uid), "%d", i);
		if (i % 3)
			see(&known, name, uid, i % 2 ? "1" : "2");
	}
	while ((one = tpi_kube_known_next_gone(&known, &place)) != NULL) {
		int i = atoi(one->uid);

		ck_assert_int_eq(i % 3, 0);
		ck_assert(!told[i]);
		ck_assert_str_eq(one->name_space, "ns");
		ck_assert_int_eq(atoi(one->name + strlen("pod-")), i);
		told[i] = true;
		gone++;
		tpi_kube_known_free_one(one);
	}
	ck_assert_uint_eq(gone, 1000);
	ck_assert_uint_eq(known.count, 2000);
	tpi_kube_known_fini(&known);
}
END_TEST

START_TEST(a_full_table_still_tells_what_it_knows)
{
	struct tpi_kube_known known;

	tpi_kube_known_init(&known, 1);
	ck_assert_int_eq(see(&known, "a", "1", "1"), TPI_KUBE_NEW);
	ck_assert_int_eq(see(&known, "b", "2", "1"), TPI_KUBE_UNKNOWN);
	ck_assert_int_eq(see(&known, "a", "1", "1"), TPI_KUBE_SAME);
	ck_assert(tpi_kube_known_forget(&known, object("a", "1", "2")));
	ck_assert_int_eq(see(&known, "b", "2", "1"), TPI_KUBE_NEW);
	tpi_kube_known_fini(&known);
}
END_TEST

/* ---- waits ------------------------------------------------------------------ */

START_TEST(waits_double_up_to_the_longest_and_differ_by_half)
{
	struct tpi_kube_backoff b = {.min_ns = 100, .max_ns = 1000};
	static const int64_t longest[] = {100, 200, 400, 800, 1000, 1000};

	for (int i = 0; i < COUNT(longest); i++) {
		struct tpi_kube_backoff at = b;

		ck_assert_int_eq(tpi_kube_backoff_fail(&at, 0), longest[i]);
		at = b;
		ck_assert_int_eq(tpi_kube_backoff_fail(&at, UINT64_MAX) >
					 longest[i] / 2,
				 1);
		for (uint64_t random = 0; random < 2000; random += 7) {
			at = b;
			int64_t wait = tpi_kube_backoff_fail(&at, random);
			ck_assert_int_le(wait, longest[i]);
			ck_assert_int_gt(wait, longest[i] / 2 - 1);
		}
		b = at;
	}
	tpi_kube_backoff_reset(&b);
	ck_assert_int_eq(tpi_kube_backoff_fail(&b, 0), 100);
}
END_TEST

START_TEST(the_longest_waits_do_not_overflow)
{
	struct tpi_kube_backoff b = {.min_ns = INT64_MAX, .max_ns = INT64_MAX};

	for (int i = 0; i < 3; i++)
		ck_assert_int_gt(tpi_kube_backoff_fail(&b, UINT64_MAX), 0);
	b = (struct tpi_kube_backoff){.min_ns = 1, .max_ns = 1};
	ck_assert_int_eq(tpi_kube_backoff_fail(&b, 5), 1);
}
END_TEST

/* ---- texts ------------------------------------------------------------------ */

static const struct {
	const char *text;
	const char *bytes; /* NULL: it is none */
} base64s[] = {
	{"", ""},
	{"QQ==", "A"},
	{"QUI=", "AB"},
	{"QUJD", "ABC"},
	{" QU\nJD\r\nRA==\t", "ABCD"},
	{"+/+/", "\xfb\xff\xbf"},
	{"Q", NULL},
	{"QQ=", NULL},
	{"QQ=Q", NULL},
	{"Q===", NULL},
	{"====", NULL},
	{"QQ==QQ==", NULL},
	{"Q*==", NULL},
};

START_TEST(base64_is_taken_as_it_is_or_not_at_all)
{
	size_t length = 99;
	char *bytes = tpi_kube_base64(base64s[_i].text, &length);

	if (!base64s[_i].bytes) {
		ck_assert_ptr_null(bytes);
		return;
	}
	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_eq(length, strlen(base64s[_i].bytes));
	ck_assert_str_eq(bytes, base64s[_i].bytes);
	free(bytes);
}
END_TEST

static const struct {
	const char *text;
	uint64_t ns;
} times[] = {
	{"1970-01-01T00:00:01Z", 1000000000},
	{"2024-05-06T07:08:09Z", UINT64_C(1714979289000000000)},
	{"2024-05-06T07:08:09.012345Z", UINT64_C(1714979289012345000)},
	{"2024-05-06T07:08:09.1234567891Z", UINT64_C(1714979289123456789)},
	{"2024-02-29T00:00:00Z", UINT64_C(1709164800000000000)},
	{"", 0},
	{"2024-05-06", 0},
	{"2024-05-06T07:08:09", 0},
	{"2024-05-06T07:08:09+02:00", 0},
	{"2024-05-06 07:08:09Z", 0},
	{"2024-13-06T07:08:09Z", 0},
	{"2024-05-06T25:08:09Z", 0},
	{"1969-05-06T07:08:09Z", 0},
	{"9999-05-06T07:08:09Z", 0},
	{"2024-05-06T07:08:0xZ", 0},
	{"2024-05-06T07:08:09Zx", 0},
};

START_TEST(times_are_those_of_an_api_server_or_none)
{
	ck_assert_uint_eq(tpi_kube_time(times[_i].text, strlen(times[_i].text)),
			  times[_i].ns);
}
END_TEST

static const struct {
	const char *name;
	const char *path; /* NULL: refused. "": the server is asked */
	const char *plural;
	const char *group;
} resources[] = {
	{"pods", "/api/v1", "pods", ""},
	{"po", "/api/v1", "pods", ""},
	{"deploy", "/apis/apps/v1", "deployments", ""},
	{"widgets", "", "widgets", ""},
	{"widgets.tapio.test", "", "widgets", "tapio.test"},
	{"v1/pods", "", "pods", ""},
	{"tapio.test/v1/widgets", "", "widgets", "tapio.test"},
	{"", NULL, NULL, NULL},
	{"Pods", NULL, NULL, NULL},
	{"a/b/c/d", NULL, NULL, NULL},
	{"/pods", NULL, NULL, NULL},
	{"v1/", NULL, NULL, NULL},
	{"v1/..", NULL, NULL, NULL},
	{"../x/y", NULL, NULL, NULL},
	{"pods?watch=1", NULL, NULL, NULL},
};

START_TEST(names_of_resources_are_paths_or_are_refused)
{
	struct tpi_kube_resource r;
	char why[200] = "";
	bool is = tpi_kube_resource_parse(&r, resources[_i].name, why,
					  sizeof(why));

	ck_assert_int_eq(is, resources[_i].path != NULL);
	if (!is) {
		ck_assert_ptr_nonnull(strstr(why, "not a resource"));
		return;
	}
	ck_assert_str_eq(r.path, resources[_i].path);
	ck_assert_str_eq(r.plural, resources[_i].plural);
	ck_assert_str_eq(r.group, resources[_i].group);
}
END_TEST

/* ---- cgroups ---------------------------------------------------------------- */

START_TEST(only_the_directory_of_the_container_is_its_cgroup)
{
	static const char *const names[] = {
		"abcd",       "cri-containerd-abcd.scope",
		"crio-abcd",  "xabcd",
		"abcde",      "cri-abcd.scope.d",
		"abcd.slice", "conmon-abcd-1"};
	char root[] = "/tmp/tapio-cgroup-XXXXXX", path[200];
	struct tpi_kube_object pod;
	struct tpi_kube_cgroups found;

	ck_assert_ptr_nonnull(mkdtemp(root));
	snprintf(path, sizeof(path), "mkdir -p %s/kubepods/podu-1", root);
	ck_assert_int_eq(system(path), 0);
	memset(&pod, 0, sizeof(pod));
	pod.cgroup_uid = span("u-1");
	pod.qos = span("Guaranteed");
	pod.container_count = 1;
	pod.containers[0].id = span("abcd");
	int fd = tpi_kube_cgroup_open(root);
	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < COUNT(names); i++) {
		struct stat st;

		snprintf(path, sizeof(path), "%s/kubepods/podu-1/%s", root,
			 names[i]);
		ck_assert_int_eq(mkdir(path, 0700), 0);
		ck_assert_int_eq(stat(path, &st), 0);
		tpi_kube_cgroup_find(fd, &pod, &found);
		ck_assert_uint_ne(found.pod, 0);
		ck_assert_uint_eq(found.containers[0], i < 3 ? st.st_ino : 0);
		ck_assert_int_eq(rmdir(path), 0);
	}
	pod.qos = span("Other");
	tpi_kube_cgroup_find(fd, &pod, &found);
	ck_assert_uint_eq(found.pod, 0);
	close(fd);
	snprintf(path, sizeof(path), "rm -r %s", root);
	ck_assert_int_eq(system(path), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kubernetes_parts");
	TCase *tc = tcase_create("parts");

	tcase_add_test(tc,
		       each_object_is_new_once_and_then_as_its_version_says);
	tcase_add_test(
		tc, a_late_deletion_of_the_former_one_leaves_the_new_one_known);
	tcase_add_test(tc, a_round_finds_exactly_what_was_not_seen_in_it);
	tcase_add_test(tc, a_full_table_still_tells_what_it_knows);
	tcase_add_test(tc, waits_double_up_to_the_longest_and_differ_by_half);
	tcase_add_test(tc, the_longest_waits_do_not_overflow);
	tcase_add_loop_test(tc, base64_is_taken_as_it_is_or_not_at_all, 0,
			    COUNT(base64s));
	tcase_add_loop_test(tc, times_are_those_of_an_api_server_or_none, 0,
			    COUNT(times));
	tcase_add_loop_test(tc, names_of_resources_are_paths_or_are_refused, 0,
			    COUNT(resources));
	tcase_add_test(tc, only_the_directory_of_the_container_is_its_cgroup);
	suite_add_tcase(suite, tc);
	return check_run(suite);
}
