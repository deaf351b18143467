/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place of a broker's memory on a machine with two nodes: as it asked for
 * it, as it says that it got it, and as the kernel says of the same pages in
 * the mapping of a client. Runs in the virtual machine of tests/numa/vm, whose
 * pools of huge pages are its own.
 */
#include <sys/syscall.h>

#include "tests/fault/deny.h"
#include "tests/numa/machine.h"
#include "tests/unit/client_fixture.h"

static struct machine machine;

/* A broker in this process, a producer on its channel, and what is shown of it. */
static struct tapio_producer *producer;
static json_t *shown;
static char said[8192];

static void hear(void *arg, int level, const char *message)
{
	size_t used = strlen(said);

	(void)arg;
	(void)level;
	snprintf(said + used, sizeof(said) - used, "%s\n", message);
}

static int try_start(const char *config)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.log = hear,
		.log_level = TAPIO_LOG_INFO,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
	};

	said[0] = '\0';
	return tapio_broker_start(&rig.broker, &options);
}

static void start(const char *config)
{
	int err = try_start(config);

	ck_assert_msg(!err, "broker: %s: %s", strerror(-err), rig.error);
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = tapio_broker_socket(rig.broker),
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
	producer = rig_producer();
	shown = machine_shmstat(rig.options.socket);
}

static void stop(void)
{
	tapio_producer_close(producer);
	rig_stop();
	json_decref(shown);
	shown = NULL;
}

/* The row of the channel's segment on a node. */
static const json_t *segment_row(unsigned int node)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(shown, "segments"), i,
			   row) if (!strcmp(row_word(row, "kind"), "channel") &&
				    row_number(row, "node") == node) return row;
	ck_abort_msg("no segment of node %u is shown", node);
}

/* Our mapping of it. */
static const struct tpi_map *segment_map(unsigned int node)
{
	const struct tpi_client *client = &producer->now->client;
	const struct tapio_shm_place *place =
		&client->catalog.places[client->channel.info.first_place];

	for (uint32_t id = 0; id < client->channel.lane_count; id++)
		if (place[id].node == node)
			return &client->maps[place[id].segment];
	ck_abort_msg("no segment of node %u is mapped", node);
}

static bool inside(const struct tpi_map *map, const void *address)
{
	const unsigned char *at = address;

	return at >= map->base && at < map->base + map->bytes;
}

static void assert_verified(unsigned int node)
{
	const json_t *row = segment_row(node);

	ck_assert_str_eq(row_word(row, "placement"), "verified");
	ck_assert(json_is_null(json_object_get(row, "placement_error")));
	ck_assert_int_eq(row_number(row, "misplaced_pages"), 0);
	ck_assert_uint_eq(machine_misplaced(segment_map(node), node), 0);
	ck_assert(json_is_true(json_object_get(shown, "healthy")));
}

START_TEST(each_node_has_a_segment_and_all_its_pages_are_there)
{
	/* The broker's thread starts there, and binds all the same. */
	machine_go_to((unsigned int)machine.first_cpu[_i]);
	start(RIG_CONFIG);
	ck_assert_uint_eq(producer->now->client.map_count, MACHINE_NODES);
	ck_assert_int_eq(row_number(json_object_get(shown, "broker"), "nodes"),
			 MACHINE_NODES);
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		assert_verified(node);
	stop();
}
END_TEST

START_TEST(a_cpus_lanes_are_in_the_memory_of_its_node)
{
	const struct tpi_channel *channel;
	unsigned int found = 0;

	start("channel t { class urgent { block = 128\n priority = 1 }\n"
	      "class bulk { block = 4096\n blocks = 64 } }\n");
	channel = &producer->now->client.channel;
	for (uint32_t i = 0; i < channel->lane_count; i++) {
		const struct tpi_lane *lane = &channel->lanes[i];
		const unsigned char *last =
			lane->blocks + (uint64_t)lane->mask * lane->block_bytes;
		unsigned int node = 0; /* of side lanes */

		if (lane->cpu != TAPIO_CPU_SIDE) {
			ck_assert_uint_lt(lane->cpu, machine.cpus);
			node = machine.node_of[lane->cpu];
			found++;
		}
		ck_assert(inside(segment_map(node), lane->shm));
		ck_assert_int_eq(machine_node_of(lane->shm), (int)node);
		ck_assert_int_eq(machine_node_of(lane->desc), (int)node);
		ck_assert_int_eq(machine_node_of(lane->tickets), (int)node);
		ck_assert_int_eq(machine_node_of(lane->blocks), (int)node);
		ck_assert_int_eq(machine_node_of(last), (int)node);
	}
	ck_assert_uint_eq(found, machine.cpus * channel->info.class_count);
	stop();
}
END_TEST

START_TEST(a_lanes_node_is_shown)
{
	unsigned int found = 0;
	const json_t *row;
	size_t i;

	start(RIG_CONFIG);
	json_array_foreach(json_object_get(shown, "lanes"), i, row)
	{
		if (json_is_true(json_object_get(row, "side"))) {
			ck_assert_int_eq(row_number(row, "node"), 0);
			continue;
		}
		ck_assert_int_eq(row_number(row, "node"),
				 machine.node_of[row_number(row, "cpu")]);
		found++;
	}
	ck_assert_uint_eq(found, machine.cpus);
	stop();
}
END_TEST

START_TEST(an_event_is_written_on_the_node_where_it_is_sent)
{
	struct tapio_consumer *c;
	struct tapio_view view;
	int node;

	start(RIG_CONFIG);
	c = rig_consumer(NULL, TAPIO_GROUP_LOSSLESS);
	ck_assert_msg(on_cpu_lanes(producer), "no rseq in this kernel");
	for (unsigned int cpu = 0; cpu < machine.cpus; cpu++) {
		machine_go_to(cpu);
		ck_assert_int_eq(tapio_output(producer, TAG, &cpu, sizeof(cpu)),
				 0);
		while (!look(c, &view, 1))
			nap_ms(1);
		ck_assert_mem_eq(view.data, &cpu, sizeof(cpu));
		node = machine_node_of(view.data);
		ck_assert_int_eq(node, (int)machine.node_of[cpu]);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	assert_ledger(c, machine.cpus, 0, 0);
	tapio_consumer_close(c);
	stop();
}
END_TEST

/* Each segment with pages elsewhere is a fault, and there is no other one. */
static void assert_named(size_t segments)
{
	const json_t *names = json_object_get(shown, "faults"), *name;
	size_t i;

	ck_assert_uint_eq(json_array_size(names), segments);
	json_array_foreach(names, i, name)
		ck_assert_str_eq(json_string_value(name), "misplaced-pages");
}

START_TEST(without_mbind_a_segment_says_unbound_and_what_is_elsewhere)
{
	const unsigned int here = (unsigned int)_i, there = 1 - here;

	machine_go_to((unsigned int)machine.first_cpu[here]);
	ck_assert(deny_syscall(SYS_mbind, EPERM));
	start(RIG_CONFIG);
	for (unsigned int node = 0; node < MACHINE_NODES; node++) {
		const json_t *row = segment_row(node);
		uint64_t misplaced = machine_misplaced(segment_map(node), node);

		ck_assert_str_eq(row_word(row, "placement"), "unbound");
		ck_assert_str_eq(row_word(row, "placement_error"), "EPERM");
		ck_assert_uint_eq((uint64_t)row_number(row, "misplaced_pages"),
				  misplaced);
	}
	/* Pages come from where the broker ran when it asked. */
	ck_assert_int_eq(row_number(segment_row(here), "misplaced_pages"), 0);
	ck_assert_uint_eq(
		(uint64_t)row_number(segment_row(there), "misplaced_pages"),
		segment_map(there)->bytes / segment_map(there)->page_bytes);
	ck_assert_ptr_nonnull(strstr(said, "not bound to node"));
	assert_named(1);
	stop();
}
END_TEST

/* ---- huge pages ----------------------------------------------------------- */

/* Each CPU's lane takes 2 MiB and its ring: three pages for two lanes. */
static const char big[] = "channel t { class main { block = 4096\n"
			  "blocks = 512\n side_blocks = 8\n side_lanes = 1 "
			  "} }\n";
#define BIG_PAGES 3

static void assert_rung(unsigned int node, const char *rung)
{
	const json_t *row = segment_row(node);
	const json_t *failed = json_object_get(row, "rungs_failed");
	bool huge = !strcmp(rung, "hugetlb");

	ck_assert_int_eq(!strcmp(row_word(row, "rung"), "hugetlb"), huge);
	ck_assert_int_eq(row_number(row, "page_bytes"),
			 huge ? 2 * 1024 * 1024 : 4096);
	if (huge)
		ck_assert_uint_eq(json_object_size(failed), 0);
	else
		ck_assert_str_eq(row_word(failed, "hugetlb"), "ENOMEM");
	/* Of whatever pages: they are where they belong. */
	assert_verified(node);
}

static void empty_pools(void)
{
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		machine_pool_set(node, 0);
}

START_TEST(with_a_pool_on_each_node_both_have_huge_pages)
{
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		machine_pool_set(node, 16);
	start(big);
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		assert_rung(node, "hugetlb");
	stop();
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		ck_assert_uint_eq(machine_pool_free(node), 16);
}
END_TEST

/*
 * The kernel reserves from all nodes together, so the lack shows only when the
 * pages are touched: that must be an error and not a SIGBUS.
 */
START_TEST(a_pool_on_one_node_alone_takes_the_other_a_rung_down)
{
	const unsigned int rich = (unsigned int)_i, poor = 1 - rich;
	char text[96];

	machine_pool_set(rich, 16);
	start(big);
	assert_rung(rich, "hugetlb");
	assert_rung(poor, "a lower one");
	snprintf(text, sizeof(text),
		 "node %u: 2 MiB pages: %d wanted, 0 free in the pool "
		 "(MADV_POPULATE_WRITE: ",
		 poor, BIG_PAGES);
	ck_assert_msg(strstr(said, text) != NULL, "'%s' is not in: %s", text,
		      said);
	stop();
	ck_assert_uint_eq(machine_pool_free(rich), 16);
}
END_TEST

START_TEST(a_pool_that_ends_half_way_gives_its_pages_back)
{
	const unsigned int poor = (unsigned int)_i, rich = 1 - poor;
	char text[96];

	machine_pool_set(rich, 16);
	machine_pool_set(poor, BIG_PAGES - 1);
	start("channel t { class main { block = 4096\n blocks = 512\n"
	      "side_blocks = 8\n side_lanes = 1 } }\n");
	assert_rung(rich, "hugetlb");
	assert_rung(poor, "a lower one");
	snprintf(text, sizeof(text), "node %u: 2 MiB pages: %d wanted, ", poor,
		 BIG_PAGES);
	ck_assert_msg(strstr(said, text) != NULL, "'%s' is not in: %s", text,
		      said);
	stop();
	ck_assert_uint_eq(machine_pool_free(rich), 16);
	ck_assert_uint_eq(machine_pool_free(poor), BIG_PAGES - 1);
}
END_TEST

/* Memory of the other node would be there: a bound segment may not have it. */
START_TEST(a_node_without_the_memory_is_named_and_nobody_is_killed)
{
	int err = try_start("budget = \"4G\"\n channel t { class main {\n"
			    "block = 65536\n blocks = 4096 } }\n");

	ck_assert_int_eq(err, -ENOMEM);
	ck_assert_ptr_nonnull(strstr(rig.error, "node 0"));
	ck_assert_msg(strstr(rig.error, " bytes wanted, ") &&
			      strstr(rig.error, " available"),
		      "%s", rig.error);
}
END_TEST

int main(void)
{
	const char *reason = machine_read(&machine);
	Suite *suite;
	TCase *t;

	if (!reason && geteuid())
		reason = "needs root, to set pools of huge pages";
	if (reason) {
		puts(reason);
		return 77;
	}
	suite = suite_create("numa placement");
	t = tcase_create("placement");
	tcase_add_loop_test(t,
			    each_node_has_a_segment_and_all_its_pages_are_there,
			    0, MACHINE_NODES);
	tcase_add_test(t, a_cpus_lanes_are_in_the_memory_of_its_node);
	tcase_add_test(t, a_lanes_node_is_shown);
	tcase_add_test(t, an_event_is_written_on_the_node_where_it_is_sent);
	tcase_add_loop_test(
		t, without_mbind_a_segment_says_unbound_and_what_is_elsewhere,
		0, MACHINE_NODES);
	tcase_add_test(t,
		       a_node_without_the_memory_is_named_and_nobody_is_killed);
	suite_add_tcase(suite, t);

	t = tcase_create("pools");
	tcase_add_checked_fixture(t, empty_pools, empty_pools);
	tcase_add_test(t, with_a_pool_on_each_node_both_have_huge_pages);
	tcase_add_loop_test(
		t, a_pool_on_one_node_alone_takes_the_other_a_rung_down, 0,
		MACHINE_NODES);
	tcase_add_loop_test(t, a_pool_that_ends_half_way_gives_its_pages_back,
			    0, MACHINE_NODES);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
