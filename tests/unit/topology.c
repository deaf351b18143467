/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUs and nodes as sysfs shows them on odd machines, made up as files in a
 * temporary directory, and simulated ones.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tapio/abi.h>

#include "lib/base/topology.h"
#include "tests/check_main.h"
#include "tests/unit/file_tree.h"

static char root[] = "/tmp/tapio-topology-XXXXXX";
static struct tpi_topology t;

static void setup(void)
{
	tree_make(root);
}

static void teardown(void)
{
	tpi_topology_free(&t);
	tree_remove(root);
}

static void put(const char *path, const char *text)
{
	tree_put(root, path, text);
}

static int load(void)
{
	tpi_topology_free(&t);
	return tpi_topology_read(&t, root);
}

START_TEST(this_machine_has_the_cpu_that_we_run_on)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t present = 0;

	ck_assert_int_eq(tpi_topology_read(&t, "/sys/devices/system"), 0);
	ck_assert_uint_ge(t.node_count, 1);
	for (uint32_t cpu = 0; cpu < t.cpus_possible; cpu++) {
		ck_assert(t.node_of_cpu[cpu] == TPI_CPU_ABSENT ||
			  t.node_of_cpu[cpu] < t.node_count);
		present += t.node_of_cpu[cpu] != TPI_CPU_ABSENT;
	}
	ck_assert_int_ge((long)present, cpus);
}
END_TEST

START_TEST(possible_ids_without_a_cpu_are_absent)
{
	put("cpu/possible", "0-7\n");
	put("cpu/present", "0-1,4\n");
	put("node/online", "0\n");
	put("node/node0/cpulist", "0-1,4\n");
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.cpus_possible, 8);
	ck_assert_uint_eq(t.node_count, 1);
	for (uint32_t cpu = 0; cpu < 8; cpu++)
		ck_assert_uint_eq(t.node_of_cpu[cpu],
				  cpu < 2 || cpu == 4 ? 0 : TPI_CPU_ABSENT);
}
END_TEST

START_TEST(an_offline_cpu_keeps_its_node_by_its_link)
{
	put("cpu/possible", "0-3\n");
	put("cpu/present", "0-3\n");
	put("node/online", "0-1\n");
	put("node/node0/cpulist", "0-1\n");
	put("node/node1/cpulist", "2\n");
	put("node/node1/cpu3", "");
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.node_of_cpu[2], 1);
	ck_assert_uint_eq(t.node_of_cpu[3], 1);
}
END_TEST

START_TEST(an_offline_cpu_of_no_known_node_goes_to_the_first)
{
	put("cpu/possible", "0-3\n");
	put("cpu/present", "0-3\n");
	put("node/online", "2-3\n");
	put("node/node2/cpulist", "0\n");
	put("node/node3/cpulist", "1-2\n");
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.node_of_cpu[3], 0);
	ck_assert_uint_eq(t.node_id[0], 2);
	ck_assert_uint_eq(t.node_id[1], 3);
}
END_TEST

START_TEST(nodes_without_cpus_have_no_index_and_numbers_may_have_gaps)
{
	put("cpu/possible", "0-3\n");
	put("cpu/present", "0-3\n");
	put("node/online", "0,4-5,252\n");
	put("node/node0/cpulist", "\n"); /* memory only */
	put("node/node4/cpulist", "2-3\n");
	put("node/node5/cpulist", "\n");
	put("node/node252/cpulist", "0-1\n");
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.node_count, 2);
	ck_assert_uint_eq(t.node_id[0], 4);
	ck_assert_uint_eq(t.node_id[1], 252);
	ck_assert_uint_eq(t.node_of_cpu[0], 1);
	ck_assert_uint_eq(t.node_of_cpu[3], 0);
}
END_TEST

START_TEST(a_kernel_without_numa_is_one_node)
{
	put("cpu/possible", "0-2");
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.cpus_possible, 3);
	ck_assert_uint_eq(t.node_count, 1);
	ck_assert_uint_eq(t.node_id[0], 0);
	for (uint32_t cpu = 0; cpu < 3; cpu++)
		ck_assert_uint_eq(t.node_of_cpu[cpu], 0);
}
END_TEST

START_TEST(the_largest_kernel_fits)
{
	put("cpu/possible", "0-4095\n");
	put("cpu/present", "0-4095\n");
	put("node/online", "0\n");
	put("node/node0/cpulist", "0-4095\n");
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.cpus_possible, TPI_CPUS_MAX);
	put("cpu/possible", "0-4096\n");
	ck_assert_int_eq(load(), -E2BIG);
	put("cpu/possible", "0-99999999999999999999999\n");
	ck_assert_int_eq(load(), -E2BIG);
	ck_assert_ptr_null(t.node_of_cpu);
}
END_TEST

START_TEST(every_second_of_4096_cpus_is_a_long_list_that_is_read_whole)
{
	static char list[16384];
	size_t used = 0;

	for (int cpu = 1; cpu < 4096; cpu += 2)
		used += (size_t)snprintf(list + used, sizeof(list) - used,
					 "%s%d", cpu > 1 ? "," : "", cpu);
	put("cpu/possible", "0-4095\n");
	put("cpu/present", list);
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.node_of_cpu[4094], TPI_CPU_ABSENT);
	ck_assert_uint_eq(t.node_of_cpu[4095], 0);
}
END_TEST

START_TEST(more_nodes_than_the_layout_has_are_refused)
{
	char path[64], cpu[16];

	put("cpu/possible", "0-64\n");
	put("node/online", "0-64\n");
	for (int node = 0; node < 65; node++) {
		snprintf(path, sizeof(path), "node/node%d/cpulist", node);
		snprintf(cpu, sizeof(cpu), "%d\n", node);
		put(path, cpu);
	}
	ck_assert_int_eq(load(), -E2BIG);
	ck_assert_ptr_null(t.node_of_cpu);
	put("node/online", "0-63\n"); /* CPU 64 falls to the first */
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(t.node_count, TAPIO_NODES_MAX);
}
END_TEST

static const struct {
	const char *list;
	int err;
} lists[] = {
	{"3-1\n", -EBADMSG},     {"0-\n", -EBADMSG},  {"-1\n", -EBADMSG},
	{"zero\n", -EBADMSG},    {"0;1\n", -EBADMSG}, {"0 1\n", -EBADMSG},
	{"0-3:1/2\n", -EBADMSG}, {"\n", -ENODEV},     {"", -ENODEV},
	{"5000\n", -E2BIG},
};
#define LISTS (int)(sizeof(lists) / sizeof(lists[0]))

START_TEST(a_list_that_is_none_is_an_error)
{
	put("cpu/possible", lists[_i].list);
	ck_assert_int_eq(load(), lists[_i].err);
	ck_assert_ptr_null(t.node_of_cpu);
	ck_assert_uint_eq(t.cpus_possible, 0);
}
END_TEST

START_TEST(without_a_list_of_cpus_there_is_no_topology)
{
	ck_assert_int_eq(load(), -ENOENT);
	ck_assert_ptr_null(t.node_of_cpu);
}
END_TEST

START_TEST(simulated_cpus_are_dealt_to_nodes_in_blocks)
{
	uint32_t count[8] = {0};

	ck_assert_int_eq(tpi_topology_simulate(&t, 512, 8), 0);
	ck_assert_uint_eq(t.cpus_possible, 512);
	ck_assert_uint_eq(t.node_count, 8);
	for (uint32_t cpu = 0; cpu < 512; cpu++) {
		ck_assert_uint_eq(t.node_of_cpu[cpu], cpu / 64);
		count[t.node_of_cpu[cpu]]++;
	}
	tpi_topology_free(&t);
	/* uneven: no node is left out, and numbers only rise */
	ck_assert_int_eq(tpi_topology_simulate(&t, 10, 8), 0);
	memset(count, 0, sizeof(count));
	for (uint32_t cpu = 0; cpu < 10; cpu++) {
		count[t.node_of_cpu[cpu]]++;
		if (cpu)
			ck_assert_uint_ge(t.node_of_cpu[cpu],
					  t.node_of_cpu[cpu - 1]);
	}
	for (int node = 0; node < 8; node++)
		ck_assert_uint_ge(count[node], 1);
}
END_TEST

START_TEST(a_machine_out_of_the_limits_is_not_simulated)
{
	ck_assert_int_eq(tpi_topology_simulate(&t, 0, 1), -EINVAL);
	ck_assert_int_eq(tpi_topology_simulate(&t, 1, 0), -EINVAL);
	ck_assert_int_eq(tpi_topology_simulate(&t, 4, 5), -EINVAL);
	ck_assert_int_eq(tpi_topology_simulate(&t, TPI_CPUS_MAX + 1, 1),
			 -EINVAL);
	ck_assert_int_eq(
		tpi_topology_simulate(&t, TPI_CPUS_MAX, TAPIO_NODES_MAX + 1),
		-EINVAL);
	ck_assert_int_eq(
		tpi_topology_simulate(&t, TPI_CPUS_MAX, TAPIO_NODES_MAX), 0);
	ck_assert_uint_eq(t.node_of_cpu[TPI_CPUS_MAX - 1], TAPIO_NODES_MAX - 1);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("topology");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, this_machine_has_the_cpu_that_we_run_on);
	tcase_add_test(c, possible_ids_without_a_cpu_are_absent);
	tcase_add_test(c, an_offline_cpu_keeps_its_node_by_its_link);
	tcase_add_test(c, an_offline_cpu_of_no_known_node_goes_to_the_first);
	tcase_add_test(
		c, nodes_without_cpus_have_no_index_and_numbers_may_have_gaps);
	tcase_add_test(c, a_kernel_without_numa_is_one_node);
	tcase_add_test(c, the_largest_kernel_fits);
	tcase_add_test(
		c, every_second_of_4096_cpus_is_a_long_list_that_is_read_whole);
	tcase_add_test(c, more_nodes_than_the_layout_has_are_refused);
	tcase_add_loop_test(c, a_list_that_is_none_is_an_error, 0, LISTS);
	tcase_add_test(c, without_a_list_of_cpus_there_is_no_topology);
	tcase_add_test(c, simulated_cpus_are_dealt_to_nodes_in_blocks);
	tcase_add_test(c, a_machine_out_of_the_limits_is_not_simulated);
	return check_run_case("topology", c);
}
