/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isolation = "process": each producer has a segment of its own, and writes no other
 * lanes. Rights of processes are the business of tests/fault/isolated.c.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "broker/config/config.h"
#include "broker/config/budget.h"
#include "tests/unit/client_fixture.h"

#define PRODUCERS 3
#define CLASSES                                      \
	"class main { block = 256\n blocks = 64 }\n" \
	"class big { block = 4096\n blocks = 16 }\n" \
	"class critical { block = 128\n blocks = 16\n priority = 1 }\n"
#define CONFIG \
	"channel t { isolation = process\n producers_max = 3\n" CLASSES "}\n"
#define CRITICAL 0 /* by priority, then by size */
#define MAIN     1
#define BIG      2
#define PATIENCE INT64_C(60000000000) /* ns */

static void set_up(void)
{
	rig_start(CONFIG);
}

static void tear_down(void)
{
	rig_stop();
}

static struct tapio_producer *producer(void)
{
	return rig_producer_anywhere();
}

static uint32_t own(const struct tapio_producer *p)
{
	return p->now->client.granted.own_segment;
}

/* ---- where things lie ---------------------------------------------------------------- */

START_TEST(each_producer_has_one_lane_of_each_class_in_a_segment_of_its_own)
{
	struct tapio_producer *p = producer();
	const struct tpi_channel *channel = &p->now->client.channel;
	const struct tapio_shm_place *places =
		&p->now->client.catalog.places[channel->info.first_place];

	ck_assert(tpi_channel_isolated(channel));
	ck_assert_uint_eq(channel->info.segment_count, 1 + PRODUCERS);
	ck_assert_uint_eq(channel->lane_count, 3 * PRODUCERS);
	ck_assert_uint_eq(channel->cpus, 0);
	for (uint32_t id = 0; id < channel->lane_count; id++) {
		ck_assert_uint_eq(places[id].cpu, TAPIO_CPU_SIDE);
		ck_assert_uint_eq(places[id].klass, id / PRODUCERS);
		ck_assert_uint_eq(places[id].segment, 1 + id % PRODUCERS);
		ck_assert_uint_eq(
			places[id].block_count,
			channel->info.classes[places[id].klass].block_count);
	}
	tapio_producer_close(p);
}
END_TEST

START_TEST(the_smallest_lanes_there_are_fit_into_their_segments)
{
	struct tapio_producer *p;

	rig_stop();
	rig_start("channel t { isolation = process\n producers_max = 63\n"
		  "class main { block = 64\n blocks = 4 }}\n");
	p = producer();
	ck_assert_uint_eq(p->now->client.channel.lane_count, 63);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	tapio_producer_close(p);
}
END_TEST

/* A hole in a page of the hugetlb pool may be SIGBUS for readers. */
START_TEST(no_segment_is_of_the_hugetlb_pool)
{
	struct tapio_producer *p = producer();
	const struct tpi_catalog *catalog = &p->now->client.catalog;
	uint32_t found = 0;

	for (uint32_t i = 0; i < catalog->segment_count; i++) {
		const struct tapio_shm_segment *s = &catalog->segments[i];

		if (s->kind != TAPIO_SEGMENT_CHANNEL)
			continue;
		found++;
		ck_assert_uint_ne(s->rung, TAPIO_RUNG_HUGETLB);
		ck_assert_uint_lt(s->page_bytes, 1 << 20);
		ck_assert_int_eq(s->rung_errno[TAPIO_RUNG_HUGETLB], 0);
		/* Those that no producer has are sealed when one has mapped them. */
		ck_assert_uint_eq(s->seals & TPI_SEALS_OWN,
				  !s->index ? (unsigned)TPI_SEALS
				  : s->index == own(p)
					  ? (unsigned)TPI_SEALS_OWN
					  : (unsigned)TPI_SEALS_LENGTH);
	}
	ck_assert_uint_eq(found, 1 + PRODUCERS);
	tapio_producer_close(p);
}
END_TEST

/* ---- what is written ------------------------------------------------------------------- */

/* Whether a file is mapped there. */
static bool maps_file(const void *at)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to, inode = 0;
	char line[512];
	bool found = false;

	ck_assert_ptr_nonnull(maps);
	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to,
			       &inode) == 3 &&
			from <= (uintptr_t)at && (uintptr_t)at < to;
	fclose(maps);
	return found && inode;
}

START_TEST(only_the_doorbells_and_the_own_segment_are_mapped)
{
	struct tapio_producer *p = producer();

	ck_assert_uint_ge(own(p), 1);
	for (uint32_t i = 0; i <= PRODUCERS; i++) {
		const struct tpi_map *map = &p->now->client.maps[i];

		ck_assert_int_eq(map->writable, !i || i == own(p));
		/* Others are not mapped: a private page stands for them. */
		ck_assert_int_eq(maps_file(map->base), map->writable);
	}
	tapio_producer_close(p);
}
END_TEST

/* Memory that is new to a consumer comes with an answer of the broker. */
static void wait_for_view(struct tapio_consumer *c, struct tapio_view *view)
{
	ck_assert_int_eq(tapio_poll(c, view, 1, PATIENCE), 1);
}

static void check_event(struct tapio_consumer *c, const struct tpi_lane *lane,
			const char *text)
{
	struct tapio_view view;

	wait_for_view(c, &view);
	ck_assert_uint_eq(view.lane, lane->id);
	ck_assert_uint_eq(view.length, strlen(text));
	ck_assert_int_eq(memcmp(view.data, text, view.length), 0);
	ck_assert_int_eq(tapio_release(c), 0);
}

/* Every way to emit, and every refusal: no store goes to another producer's lane. */
START_TEST(all_calls_keep_to_the_own_lanes)
{
	struct tapio_consumer *c = rig_consumer(NULL, TAPIO_GROUP_LOSSLESS);
	struct tapio_producer *first = producer(), *p = producer();
	struct tapio_item items[3] = {{.tag = TAG, .data = "b", .length = 1},
				      {.tag = TAG, .data = "b", .length = 1},
				      {.tag = TAG, .data = "b", .length = 1}};
	const struct tpi_lane *main = tpi_producer_own_lane(p->now, MAIN);
	const struct tpi_lane *big = tpi_producer_own_lane(p->now, BIG);
	struct tapio_reservation r;
	static char data[5000];

	ck_assert_uint_ne(own(first), own(p));
	ck_assert(!on_cpu_lanes(p));
	ck_assert_int_eq(tapio_output(p, TAG, "one", 3), 0);
	check_event(c, main, "one");
	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(tapio_output(p, TAG, data, 4000), 0);
	ck_assert_uint_eq(drain(c), 1);
	ck_assert_int_eq(tapio_output_batch(p, items, 3), 3);
	ck_assert_uint_eq(drain(c), 3);
	ck_assert_int_eq(tapio_reserve(p, TAG, 3, &r), 0);
	ck_assert_uint_eq(r.lane, main->id);
	memcpy(r.data, "two", 3);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	check_event(c, main, "two");
	ck_assert_int_eq(tapio_submit(p, &r), -EINVAL);
	ck_assert_int_eq(tapio_reserve(p, TAG, 3, &r), 0);
	ck_assert_int_eq(tapio_discard(p, &r), 0);
	/* Too long for any class: counted on a lane of its own. */
	ck_assert_int_eq(tapio_output(p, TAG, data, 5000), -EMSGSIZE);
	ck_assert_uint_eq(big->shm->dropped[TAPIO_DROP_SIZE], 1);
	ck_assert_int_eq(
		tapio_output(p, TAPIO_TAG_CLASS(100, 5, CRITICAL), data, 200),
		-EMSGSIZE);
	ck_assert_uint_eq(tpi_producer_own_lane(p->now, CRITICAL)
				  ->shm->dropped[TAPIO_DROP_SIZE],
			  1);
	/* A reservation that names another producer's lane is none of ours. */
	ck_assert_int_eq(tapio_reserve(p, TAG, 3, &r), 0);
	r.lane = tpi_producer_own_lane(first->now, MAIN)->id;
	ck_assert_int_eq(tapio_submit(p, &r), -EINVAL);
	ck_assert_int_eq(tapio_discard(p, &r), -EINVAL);
	r.lane = main->id;
	ck_assert_int_eq(tapio_discard(p, &r), 0);
	drain(c);
	/* Without room. */
	while (!tapio_output(p, TAG, "x", 1))
		;
	ck_assert_uint_eq(main->shm->dropped[TAPIO_DROP_FULL], 1);
	ck_assert_uint_eq(drain(c), 64);
	for (uint32_t k = 0; k < 3; k++)
		ck_assert_uint_eq(
			TAPIO_STATE_TAIL(tpi_lane_peek(
				tpi_producer_own_lane(first->now, k))),
			tpi_producer_own_lane(first->now, k)->mask + 1u);
	tapio_producer_close(first);
	tapio_producer_close(p);
	tapio_consumer_close(c);
}
END_TEST

START_TEST(an_explanation_names_the_own_lane)
{
	struct tapio_consumer *c = rig_consumer("slow", TAPIO_GROUP_LOSSLESS);
	struct tapio_producer *p = producer();
	char text[256];

	while (!tapio_output(p, TAG, "x", 1))
		;
	tapio_producer_explain(p, -EAGAIN, TAG, 1, text, sizeof(text));
	ck_assert_msg(strstr(text, "none of the 64 blocks") != NULL, "%s",
		      text);
	ck_assert_msg(strstr(text, "slow") != NULL, "%s", text);
	tapio_producer_close(p);
	tapio_consumer_close(c);
}
END_TEST

/* ---- who gets a segment ------------------------------------------------------------------ */

START_TEST(one_producer_too_many_is_refused_with_the_numbers)
{
	struct tapio_producer *p[PRODUCERS], *more;
	uint64_t seen = 0;

	for (int i = 0; i < PRODUCERS; i++) {
		p[i] = producer();
		seen |= 1u << own(p[i]);
	}
	ck_assert_uint_eq(seen, 0xe);
	ck_assert_int_eq(tapio_producer_open(&more, "t", &rig.options),
			 -EUSERS);
	ck_assert_msg(strstr(rig.error, "of its 3 segments") &&
			      strstr(rig.error, "producers_max"),
		      "%s", rig.error);
	tapio_producer_close(p[1]);
	p[1] = producer();
	for (int i = 0; i < PRODUCERS; i++)
		tapio_producer_close(p[i]);
}
END_TEST

static uint64_t file_of(const struct tapio_producer *p)
{
	const struct tpi_catalog *catalog = &p->now->client.catalog;

	for (uint32_t i = 0; i < catalog->segment_count; i++)
		if (catalog->segments[i].kind == TAPIO_SEGMENT_CHANNEL &&
		    catalog->segments[i].index == own(p))
			return catalog->segments[i].inode;
	return 0;
}

/* Lanes go on where the memory before has ended, whatever the file is. */
START_TEST(each_memory_serves_one_attachment)
{
	uint64_t files[12], tails[1 + PRODUCERS] = {0};
	struct tapio_producer *p;
	const struct tpi_lane *lane;

	for (int i = 0; i < 12; i++) {
		p = producer();
		files[i] = file_of(p);
		for (int k = 0; k < i; k++)
			ck_assert_uint_ne(files[k], files[i]);
		lane = tpi_producer_own_lane(p->now, MAIN);
		ck_assert_uint_eq(lane->shm->owner,
				  p->now->client.granted.attachment);
		if (!tails[own(p)])
			tails[own(p)] = lane->mask + 1;
		ck_assert_uint_eq(TAPIO_STATE_TAIL(tpi_lane_peek(lane)),
				  tails[own(p)]);
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		tails[own(p)]++;
		tapio_producer_close(p);
	}
}
END_TEST

/* Blocks that it held stay in the memory that nobody gets after it. */
START_TEST(reservations_of_the_dead_come_back)
{
	struct tapio_consumer *c = rig_consumer(NULL, TAPIO_GROUP_LOSSLESS);
	struct tapio_producer *p = producer();
	struct tapio_reservation r[8];
	struct tapio_view view;

	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 8), 8);
	ck_assert_uint_eq(channel_stats(p).held, 8);
	tapio_producer_close(p);
	p = producer();
	ck_assert_uint_eq(TAPIO_STATE_HELD(tpi_lane_peek(
				  tpi_producer_own_lane(p->now, MAIN))),
			  0);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	wait_for_view(c, &view);
	ck_assert_int_eq(tapio_release(c), 0);
	assert_ledger(c, 1, 0, 0);
	tapio_producer_close(p);
	tapio_consumer_close(c);
}
END_TEST

/* ---- a catalog that cannot be ---------------------------------------------------------------- */

#define SEGMENTS (1 + PRODUCERS)

/* A channel of one class in plain memory. */
static struct {
	struct tpi_topology topology;
	struct tpi_channel_spec spec;
	struct tpi_map catalog_map;
	struct tpi_map maps[SEGMENTS + 1];
	struct tpi_catalog catalog;
	char error[512];
} plain;

static struct tpi_map plain_map(uint64_t bytes)
{
	struct tpi_map map = {.bytes = bytes, .writable = true};

	map.base = aligned_alloc(TAPIO_CACHE_LINE,
				 (bytes + TAPIO_CACHE_LINE - 1) /
					 TAPIO_CACHE_LINE * TAPIO_CACHE_LINE);
	ck_assert_ptr_nonnull(map.base);
	memset(map.base, 0, bytes);
	return map;
}

static void make_plain(void)
{
	const struct tpi_catalog_size size = {.clients_max = 2,
					      .segments = 1,
					      .channels = 1,
					      .lanes = PRODUCERS};
	const uint8_t instance[16] = {1};

	plain.spec = (struct tpi_channel_spec){
		.name = "t",
		.class_count = 1,
		.flags = TAPIO_CHANNEL_ISOLATED,
		.producers_max = PRODUCERS,
		.classes = {{.name = "main",
			     .block_bytes = 64,
			     .block_count = 4,
			     .side_count = 4,
			     .side_lanes = PRODUCERS}},
	};
	ck_assert_int_eq(tpi_topology_simulate(&plain.topology, 2, 2), 0);
	plain.catalog_map = plain_map(tpi_catalog_bytes(&size));
	ck_assert_int_eq(tpi_catalog_build(&plain.catalog_map, &size, instance),
			 0);
	ck_assert_int_eq(tpi_catalog_attach(&plain.catalog, &plain.catalog_map,
					    plain.error, sizeof(plain.error)),
			 0);
	ck_assert_int_eq(tpi_channel_publish(&plain.catalog, 0, 0, &plain.spec,
					     &plain.topology),
			 0);
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		plain.maps[i] = plain_map(
			tpi_channel_bytes(&plain.spec, &plain.topology, i));
		ck_assert_int_eq(
			tpi_channel_build(&plain.maps[i], &plain.catalog, 0, i),
			0);
	}
	plain.maps[SEGMENTS] = plain.maps[1];
}

static void free_plain(void)
{
	for (uint32_t i = 0; i < SEGMENTS; i++)
		free(plain.maps[i].base);
	free(plain.catalog_map.base);
	tpi_topology_free(&plain.topology);
}

static void misplaced(struct tapio_shm_channel *info,
		      struct tapio_shm_place *places)
{
	(void)info;
	places[0].segment = 2;
}

static void unknown_flag(struct tapio_shm_channel *info,
			 struct tapio_shm_place *places)
{
	(void)places;
	info->flags |= 2;
}

static void lane_of_a_cpu(struct tapio_shm_channel *info,
			  struct tapio_shm_place *places)
{
	places[0].cpu = 0;
	info->classes[0].side_lanes--;
}

static void a_segment_more(struct tapio_shm_channel *info,
			   struct tapio_shm_place *places)
{
	(void)places;
	info->segment_count++;
}

/* A producer that believed it would write where it may not. */
START_TEST(a_catalog_that_cannot_be_is_refused)
{
	static const struct {
		void (*change)(struct tapio_shm_channel *info,
			       struct tapio_shm_place *places);
		const char *part;
	} changes[] = {
		{misplaced, "lies in segment 2, expected 1"},
		{unknown_flag, "flags 0x3"},
		{lane_of_a_cpu, "a CPU has a lane"},
		{a_segment_more, "3 side lanes for 4 segments"},
	};
	struct tpi_channel channel;
	int err;

	make_plain();
	err = tpi_channel_attach(&channel, &plain.catalog, 0, plain.maps,
				 SEGMENTS, plain.error, sizeof(plain.error));
	ck_assert_msg(!err, "%s", plain.error);
	tpi_channel_detach(&channel);
	changes[_i].change(plain.catalog.channels, plain.catalog.places);
	err = tpi_channel_attach(&channel, &plain.catalog, 0, plain.maps,
				 plain.catalog.channels[0].segment_count,
				 plain.error, sizeof(plain.error));
	ck_assert_int_eq(err, -EBADMSG);
	ck_assert_msg(strstr(plain.error, changes[_i].part) != NULL, "%s",
		      plain.error);
	free_plain();
}
END_TEST

START_TEST(a_channel_that_cannot_be_is_not_laid_out)
{
	struct tpi_channel_spec spec;

	make_plain();
	spec = plain.spec;
	ck_assert_int_eq(
		tpi_channel_spec_check(&spec, plain.error, sizeof(plain.error)),
		0);
	spec.flags = 4;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), -EINVAL);
	spec = plain.spec;
	spec.flags = 0;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), -EINVAL);
	spec = plain.spec;
	spec.producers_max = 0;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), -EINVAL);
	spec.producers_max = spec.classes[0].side_lanes = TPI_PRODUCERS_MAX + 1;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), -EINVAL);
	spec = plain.spec;
	spec.classes[0].side_lanes--;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), -EINVAL);
	free_plain();
}
END_TEST

/* ---- the configuration -------------------------------------------------------------------- */

static void assert_refused(const char *text, const char *part)
{
	struct tpi_config config;
	char error[512] = "";

	ck_assert_int_eq(
		tpi_config_load(&config, NULL, text, error, sizeof(error)),
		-EINVAL);
	ck_assert_msg(strstr(error, part) != NULL, "%s", error);
	tpi_config_free(&config);
}

START_TEST(options_without_a_meaning_are_refused)
{
	assert_refused("channel t { producers_max = 4 }",
		       "isolation = process");
	assert_refused("channel t { isolation = host }", "channel, process");
	assert_refused("channel t { isolation = process\n producers_max = 64 }",
		       "outside 1 to 63");
	assert_refused("channel t { isolation = process\n"
		       "class m { side_lanes = 4 }}",
		       "side_lanes");
	assert_refused("channel t { isolation = process\n"
		       "class m { side_blocks = 4 }}",
		       "side_blocks");
	assert_refused("hugepages = require\nchannel t { isolation = process }",
		       "hugepages");
}
END_TEST

START_TEST(what_is_printed_reads_the_same)
{
	char *text = NULL, *again = NULL, error[512];
	const char *from = "channel t { isolation = process }";
	struct tpi_config config;
	size_t bytes;
	FILE *out;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(tpi_config_load(&config, NULL,
						 text ? text : from, error,
						 sizeof(error)),
				 0);
		ck_assert(tpi_spec_isolated(&config.channels[0].spec));
		ck_assert_uint_eq(config.channels[0].spec.producers_max, 16);
		out = open_memstream(text ? &again : &text, &bytes);
		tpi_config_print(&config, out);
		fclose(out);
		tpi_config_free(&config);
	}
	ck_assert_str_eq(text, again);
	free(text);
	free(again);
}
END_TEST

START_TEST(the_budget_counts_a_segment_for_each_producer)
{
	struct tpi_topology topology;
	struct tpi_config config;
	struct tpi_budget plan;
	char error[512];

	ck_assert_int_eq(tpi_topology_simulate(&topology, 8, 2), 0);
	ck_assert_int_eq(
		tpi_config_load(&config, NULL, CONFIG, error, sizeof(error)),
		0);
	ck_assert_int_eq(
		tpi_budget(&plan, &config, &topology, error, sizeof(error)), 0);
	ck_assert_uint_eq(plan.segment_count,
			  1 + 1 + PRODUCERS + TAPIO_GROUP_SLOTS);
	ck_assert_uint_eq(plan.fd_count, 2 * plan.segment_count);
	/* With room for other channels that are as large. */
	ck_assert_uint_eq(plan.catalog.lanes,
			  3 * PRODUCERS * (1 + TPI_CHANNELS_SPARE));
	/* Two pages of doorbells, and lanes of 16, 64 and 16 blocks. */
	ck_assert_uint_eq(
		tpi_channel_bytes(&config.channels[0].spec, &topology, 0),
		sizeof(struct tapio_shm_doorbells));
	ck_assert_uint_eq(
		tpi_channel_bytes(&config.channels[0].spec, &topology, 3),
		3 * sizeof(struct tapio_shm_lane) + 16 * (128 + 24) +
			64 * (256 + 24) + 16 * (4096 + 24));
	tpi_config_free(&config);
	/* Numbers that are left open are halved, for as many lanes as there are. */
	ck_assert_int_eq(tpi_config_load(&config, NULL,
					 "budget = 64M\n"
					 "channel t { isolation = process\n"
					 "producers_max = 63 }\n",
					 error, sizeof(error)),
			 0);
	ck_assert_int_eq(
		tpi_budget(&plan, &config, &topology, error, sizeof(error)), 0);
	ck_assert_uint_gt(plan.shrunk, 0);
	ck_assert_uint_le(plan.total_bytes, 64 << 20);
	ck_assert_int_eq(tpi_channel_spec_check(&config.channels[0].spec, error,
						sizeof(error)),
			 0);
	tpi_config_free(&config);
	tpi_topology_free(&topology);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("isolation");
	TCase *tc = tcase_create("producers");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(
		tc,
		each_producer_has_one_lane_of_each_class_in_a_segment_of_its_own);
	tcase_add_test(tc,
		       the_smallest_lanes_there_are_fit_into_their_segments);
	tcase_add_test(tc, no_segment_is_of_the_hugetlb_pool);
	tcase_add_test(tc, only_the_doorbells_and_the_own_segment_are_mapped);
	tcase_add_test(tc, all_calls_keep_to_the_own_lanes);
	tcase_add_test(tc, an_explanation_names_the_own_lane);
	tcase_add_test(tc, one_producer_too_many_is_refused_with_the_numbers);
	tcase_add_test(tc, each_memory_serves_one_attachment);
	tcase_add_test(tc, reservations_of_the_dead_come_back);
	suite_add_tcase(suite, tc);
	tc = tcase_create("catalog");
	tcase_add_loop_test(tc, a_catalog_that_cannot_be_is_refused, 0, 4);
	tcase_add_test(tc, a_channel_that_cannot_be_is_not_laid_out);
	suite_add_tcase(suite, tc);
	tc = tcase_create("configuration");
	tcase_add_test(tc, options_without_a_meaning_are_refused);
	tcase_add_test(tc, what_is_printed_reads_the_same);
	tcase_add_test(tc, the_budget_counts_a_segment_for_each_producer);
	suite_add_tcase(suite, tc);
	return rig_run(suite);
}
