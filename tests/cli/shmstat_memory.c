/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-shmstat on memory that this test made, without any broker: it must find
 * it in /proc, show it as it is, and not be fooled by what is impossible in it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "lib/base/atomic.h"
#include "lib/wire/fdpass.h"
#include "lib/memory/layout.h"
#include "lib/wire/wire.h"
#include "tests/check_main.h"

#define BLOCKS   16u
#define LANES    4u /* two CPUs, two side lanes */
#define SEGMENTS (1 + TAPIO_GROUP_SLOTS)

static struct tpi_topology topology;
static struct tpi_channel_spec spec = {
	.name = "events",
	.class_count = 1,
	.classes = {{.name = "main",
		     .block_bytes = 128,
		     .block_count = BLOCKS,
		     .side_count = BLOCKS,
		     .side_lanes = 2}},
};
static const uint8_t instance[16] = "test instance";
static struct tpi_segment catalog_segment, channel_segment;
static struct tpi_segment cursors_segment[TAPIO_GROUP_SLOTS];
static struct tpi_catalog catalog;
static struct tpi_channel channel;
static struct tpi_cursors cursors;
static struct command run;

static void make(struct tpi_segment *segment, const char *name, uint64_t bytes)
{
	struct tpi_segment_request request = {
		.name = name,
		.bytes = bytes,
		.node = -1,
		.first_rung = TAPIO_RUNG_PAGES,
	};
	char why[256];

	ck_assert_msg(!tpi_segment_create(segment, &request, why, sizeof(why)),
		      "%s", why);
}

/* By which shmstat knows what a descriptor is, since clients can write the segment. */
static void record(const struct tpi_segment *segment, uint32_t at,
		   uint32_t kind, uint32_t index)
{
	struct tapio_shm_segment *shared = &catalog.segments[at];

	*shared = segment->report;
	shared->kind = kind;
	shared->index = index;
	tpi_store_release(&shared->ready, TAPIO_SEGMENT_READY);
}

static void make_catalog(void)
{
	const struct tpi_catalog_size size = {.clients_max = 8,
					      .segments = SEGMENTS,
					      .channels = 1,
					      .lanes = LANES};

	make(&catalog_segment, "tapio-catalog", tpi_catalog_bytes(&size));
	ck_assert_int_eq(
		tpi_catalog_build(&catalog_segment.map, &size, instance), 0);
	ck_assert_int_eq(
		tpi_catalog_attach(&catalog, &catalog_segment.map, NULL, 0), 0);
	ck_assert_int_eq(tpi_channel_publish(&catalog, 0, 0, &spec, &topology),
			 0);
	catalog.broker->pid = 0x7ffffffe; /* given to no attachment */
	catalog.broker->state = TAPIO_BROKER_RUNNING;
	catalog.broker->attachment = TAPIO_ATTACHMENT_ID(1, 1);
	strcpy(catalog.broker->version, "9.8.7");
	catalog.broker->rseq_verdict = TAPIO_RSEQ_PROVEN;
	channel_segment.report.rung_errno[TAPIO_RUNG_HUGETLB] = -12;
	record(&channel_segment, 0, TAPIO_SEGMENT_CHANNEL, 0);
}

/* A lossless group that has read two of five events of lane 0. */
static void make_group(void)
{
	const uint64_t slot =
		TAPIO_SLOT(TAPIO_SLOT_ACTIVE, TAPIO_GROUP_LOSSLESS, 3, 0);

	channel.lanes[0].shm->state = TAPIO_STATE(BLOCKS + 5, 1);
	channel.lanes[0].shm->gate = BLOCKS + 1; /* older than the head */
	/* The block that is out of the ring is in the broker's hands. */
	channel.lanes[0].tickets[5] =
		TAPIO_TICKET(catalog.broker->attachment, 5);
	channel.lanes[0].shm->dropped[TAPIO_DROP_FULL] = 7;
	for (uint32_t i = 0; i < LANES; i++) {
		cursors.cursors[i].start = BLOCKS;
		cursors.cursors[i].cells[0].owner = TAPIO_CELL_GIVEN;
		cursors.cursors[i].cells[0].head = TAPIO_HEAD(BLOCKS, 3, 0);
	}
	cursors.cursors[0].cells[0].head = TAPIO_HEAD(BLOCKS + 2, 3, 0);
	cursors.cursors[0].cells[0].tally[0].skipped = 1;
	cursors.cursors[0].cells[0].peak = 4;
	strcpy(catalog.groups[0].name, "readers");
	catalog.groups[0].admitted = 3;
	catalog.groups[0].members = 1;
	catalog.groups[0].policy = TAPIO_GROUP_LOSSLESS;
	tpi_store_release(&catalog.groups[0].slot, slot);
	catalog.channels[0].active = 1;
}

static void make_attachment(void)
{
	struct tapio_shm_attachment *a = &catalog.attachments[2];

	a->id = TAPIO_ATTACHMENT_ID(2, 5);
	a->role = TAPIO_ROLE_CONSUME;
	a->pid = (uint32_t)getpid();
	a->start_time_ticks = 1;
	memcpy(a->comm, "bad\x01name\xff", 10);
	tpi_store_release(&a->state, TAPIO_ATTACHMENT_ALIVE);
}

static void setup(void)
{
	ck_assert_int_eq(tpi_topology_simulate(&topology, 2, 1), 0);
	make(&channel_segment, "tapio-events-0",
	     tpi_channel_bytes(&spec, &topology, 0));
	make_catalog();
	ck_assert_int_eq(
		tpi_channel_build(&channel_segment.map, &catalog, 0, 0), 0);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		make(&cursors_segment[i], "tapio-events-cursors",
		     tpi_cursors_bytes(LANES));
		record(&cursors_segment[i], 1 + i, TAPIO_SEGMENT_CURSORS, i);
	}
	ck_assert_int_eq(tpi_channel_attach(&channel, &catalog, 0,
					    &channel_segment.map, 1, NULL, 0),
			 0);
	ck_assert_uint_eq(channel.lane_count, LANES);
	ck_assert_int_eq(tpi_cursors_attach(&cursors, &cursors_segment[0].map,
					    &channel.info, 0, NULL, 0),
			 0);
	make_group();
	make_attachment();
}

static void teardown(void)
{
	command_free(&run);
}

/* Its broker and its client are gone: these two faults are there in any case. */
static size_t count_more_faults(const json_t *look)
{
	const json_t *names = json_object_get(look, "faults"), *name;
	size_t i, more = 0;

	json_array_foreach(names, i, name) more +=
		strcmp(json_string_value(name), "broker-away") &&
		strcmp(json_string_value(name), "orphaned-instance") &&
		strcmp(json_string_value(name), "client-dead");
	ck_assert_uint_eq(json_array_size(names) - more, 2);
	return more;
}

/* Shows a part of this process's memory as JSON. `status` 1: there is another fault. A new
 * reference. */
static json_t *show(const char *part, int status)
{
	json_error_t why;
	char pid[16];
	json_t *look;

	snprintf(pid, sizeof(pid), "%d", getpid());
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--json", "--pid", pid, part, NULL);
	ck_assert_msg(run.status == 1, "status %d: %s", run.status, run.err);
	look = json_loads(run.out, JSON_REJECT_DUPLICATES, &why);
	ck_assert_msg(look != NULL, "%s", why.text);
	ck_assert_msg((count_more_faults(look) != 0) == status, "%s", run.out);
	return look;
}

static json_t *row(json_t *look, const char *part, size_t index)
{
	json_t *found = json_array_get(json_object_get(look, part), index);

	ck_assert_ptr_nonnull(found);
	return found;
}

static long long number(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	ck_assert_msg(json_is_integer(value), "%s is no number", key);
	return json_integer_value(value);
}

static const char *word(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	ck_assert_msg(json_is_string(value), "%s is no string", key);
	return json_string_value(value);
}

START_TEST(the_memory_of_a_process_is_found_and_shown)
{
	json_t *look = show("broker", 0), *b = json_object_get(look, "broker");

	ck_assert_str_eq(word(json_object_get(look, "source"), "from"), "fd");
	ck_assert_str_eq(word(b, "version"), "9.8.7");
	ck_assert_str_eq(word(b, "state"), "running");
	ck_assert_str_eq(word(b, "process"), "gone");
	ck_assert_str_eq(word(b, "rseq"), "proven");
	json_decref(look);
}
END_TEST

START_TEST(lanes_show_what_is_in_them)
{
	json_t *look = show("lanes", 0), *lane = row(look, "lanes", 0);

	ck_assert_uint_eq(json_array_size(json_object_get(look, "lanes")),
			  LANES);
	ck_assert_str_eq(word(lane, "channel"), "events");
	ck_assert_str_eq(word(lane, "class"), "main");
	ck_assert_int_eq(number(lane, "cpu"), 0);
	ck_assert_int_eq(number(lane, "capacity"), BLOCKS);
	ck_assert_int_eq(number(lane, "published"), 5);
	ck_assert_int_eq(number(lane, "used"), 3);
	ck_assert_int_eq(number(lane, "held"), 1);
	ck_assert_int_eq(number(lane, "high_water"), 4);
	ck_assert_int_eq(number(json_object_get(lane, "dropped"), "full"), 7);
	ck_assert(json_is_true(json_object_get(row(look, "lanes", 3), "side")));
	json_decref(look);
}
END_TEST

START_TEST(segments_say_which_rung_failed_and_why)
{
	json_t *look = show("segments", 0), *s = row(look, "segments", 0);

	ck_assert_str_eq(word(s, "rung"), "pages");
	ck_assert_str_eq(word(json_object_get(s, "rungs_failed"), "hugetlb"),
			 "ENOMEM");
	ck_assert_str_eq(json_string_value(json_array_get(
				 json_object_get(s, "seals"), 0)),
			 "seal");
	ck_assert_uint_ge(json_array_size(json_object_get(s, "seals")), 3);
	ck_assert_int_eq(number(s, "page_bytes"), 4096);
	json_decref(look);
}
END_TEST

START_TEST(groups_add_up_their_lanes)
{
	json_t *look = show("groups", 0), *g = row(look, "groups", 0);

	ck_assert_str_eq(word(g, "group"), "readers");
	ck_assert_str_eq(word(g, "policy"), "lossless");
	ck_assert_int_eq(number(g, "delivered"), 1);
	ck_assert_int_eq(number(g, "skipped"), 1);
	ck_assert_int_eq(number(g, "in_flight"), 3);
	ck_assert_int_eq(number(g, "members"), 1);
	json_decref(look);
}
END_TEST

/* Fails on commit fddcec1, which called it a group of policy until. */
START_TEST(a_lossless_group_without_a_member_is_still_lossless)
{
	json_t *look, *g;

	catalog.groups[0].members = 0;
	tpi_store_release(
		&catalog.groups[0].slot,
		TAPIO_SLOT(TAPIO_SLOT_ACTIVE, TAPIO_GROUP_UNTIL, 3, 0));
	look = show("groups", 0);
	g = row(look, "groups", 0);
	ck_assert_str_eq(word(g, "policy"), "lossless");
	ck_assert_str_eq(word(g, "in_force"), "until");
	json_decref(look);
}
END_TEST

START_TEST(names_that_are_not_printable_are_made_so)
{
	json_t *look = show("clients", 0), *c = row(look, "clients", 0);

	ck_assert_str_eq(word(c, "comm"), "bad?name?");
	ck_assert_str_eq(word(c, "role"), "consume");
	/* Our pid, but not our start time: somebody else had the number. */
	ck_assert_str_eq(word(c, "process"), "gone");
	ck_assert(json_is_false(json_object_get(c, "alive")));
	json_decref(look);
}
END_TEST

START_TEST(a_ledger_that_balances_has_no_fault)
{
	json_t *look = show("ledger", 0), *l = row(look, "ledger", 0);

	ck_assert_uint_eq(json_array_size(json_object_get(look, "ledger")),
			  LANES);
	ck_assert_int_eq(number(l, "published"), 5);
	ck_assert_int_eq(number(l, "delivered") + number(l, "skipped") +
				 number(l, "lost") + number(l, "in_flight"),
			 5);
	ck_assert(json_is_true(json_object_get(l, "balanced")));
	json_decref(look);
}
END_TEST

START_TEST(a_ledger_that_does_not_balance_is_a_fault)
{
	json_t *look, *l;

	cursors.cursors[0].cells[0].tally[0].lost = 2; /* 1 + 2 of 2 released */
	look = show("ledger", 1);
	l = row(look, "ledger", 0);
	ck_assert(json_is_false(json_object_get(l, "balanced")));
	ck_assert_str_eq(json_string_value(json_array_get(
				 json_object_get(l, "faults"), 0)),
			 "tally");
	ck_assert(json_is_false(json_object_get(look, "healthy")));
	json_decref(look);
}
END_TEST

START_TEST(an_impossible_lane_is_a_fault)
{
	json_t *look;

	channel.lanes[1].shm->state = TAPIO_STATE(BLOCKS, BLOCKS + 1);
	look = show("lanes", 1);
	ck_assert_uint_eq(json_array_size(json_object_get(row(look, "lanes", 1),
							  "faults")),
			  1);
	json_decref(look);
}
END_TEST

/* By a broker that is broken: clients cannot write there. */
START_TEST(a_channel_whose_place_is_wrong_is_left_out_and_named)
{
	json_t *look;

	catalog.places[2].block_offset = UINT64_MAX - 63;
	look = show("all", 1);
	ck_assert_uint_eq(json_array_size(json_object_get(look, "lanes")), 0);
	ck_assert_uint_gt(strlen(word(row(look, "channels", 0), "error")), 0);
	json_decref(look);
}
END_TEST

static char *lanes_as_text(void)
{
	json_t *look = show("lanes", 0);
	char *text = json_dumps(json_object_get(look, "lanes"), 0);

	json_decref(look);
	return text;
}

/* The header of a catalog, of this version and of a later one: there are not several
 * brokers, and none of another version. */
START_TEST(what_clients_write_at_the_start_of_segments_is_not_believed)
{
	char *before = lanes_as_text(), *after;
	struct tapio_shm_header *header = (void *)channel_segment.map.base;

	/* Doorbells are there, which shmstat does not read. */
	memcpy(header, catalog_segment.map.base, sizeof(*header));
	header->abi_minor += _i;
	memset(cursors_segment[1].map.base, 0xff, cursors_segment[1].map.bytes);
	memcpy(cursors_segment[2].map.base, header, sizeof(*header));
	after = lanes_as_text();
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}
END_TEST

/* What is found through a descriptor, and is not what the catalog has there. */
START_TEST(a_file_that_the_catalog_does_not_name_is_no_segment)
{
	json_t *look;

	catalog.segments[0].inode += 1000000;
	look = show("all", 1);
	ck_assert_uint_eq(json_array_size(json_object_get(look, "lanes")), 0);
	ck_assert_ptr_nonnull(strstr(word(row(look, "channels", 0), "error"),
				     "segment 0 is missing"));
	json_decref(look);
}
END_TEST

START_TEST(another_version_is_status_4_and_both_are_named)
{
	struct tapio_shm_header *header = (void *)catalog_segment.map.base;
	char pid[16];

	header->abi_major = TAPIO_ABI_MAJOR + 1;
	snprintf(pid, sizeof(pid), "%d", getpid());
	command_run(&run, "tapio-shmstat", "--pid", pid, NULL);
	ck_assert_int_eq(run.status, 4);
	ck_assert_ptr_nonnull(strstr(run.err, "1.7"));
	ck_assert_ptr_nonnull(strstr(run.err, "0.7"));
}
END_TEST

START_TEST(the_text_form_shows_the_same)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	command_run(&run, "tapio-shmstat", "--pid", pid, "all", NULL);
	ck_assert_int_eq(run.status, 1);
	ck_assert_ptr_nonnull(strstr(run.out, "9.8.7"));
	ck_assert_ptr_nonnull(strstr(run.out, "readers"));
	ck_assert_ptr_nonnull(strstr(run.out, "full=7"));
	ck_assert_ptr_nonnull(
		strstr(run.out, "(2 unused side lanes are not shown"));
}
END_TEST

/* Producers find all side lanes taken, by others that have published nothing yet. */
START_TEST(a_side_lane_that_refuses_is_shown)
{
	char pid[16];

	for (uint32_t i = 0; i < LANES; i++)
		if (channel.lanes[i].cpu == TAPIO_CPU_SIDE) {
			channel.lanes[i].shm->dropped[TAPIO_DROP_NO_LANE] = 3;
			break;
		}
	snprintf(pid, sizeof(pid), "%d", getpid());
	command_run(&run, "tapio-shmstat", "--pid", pid, "lanes", NULL);
	ck_assert_ptr_nonnull(strstr(run.out, "no_lane=3"));
	ck_assert_ptr_nonnull(
		strstr(run.out, "(1 unused side lane is not shown"));
}
END_TEST

/* A process that only maps the segments, and holds none of their
 * descriptors. */
START_TEST(mappings_alone_are_found_through_map_files)
{
	int ready[2];
	char pid[16];
	json_t *look;
	pid_t child;

	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	if (!child) {
		/* The maker's mappings are inherited. */
		for (int fd = 3; fd < 1024; fd++)
			if (fd != ready[1])
				close(fd);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], pid, 1), 1);
	snprintf(pid, sizeof(pid), "%d", child);
	command_run(&run, "tapio-shmstat", "--json", "--pid", pid, "broker",
		    NULL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (run.status == 5 && geteuid()) {
		puts("opening /proc/PID/map_files needs root");
		exit(77);
	}
	ck_assert_int_eq(run.status, 1);
	look = json_loads(run.out, 0, NULL);
	ck_assert_str_eq(word(json_object_get(look, "source"), "from"),
			 "map_files");
	ck_assert_str_eq(word(json_object_get(look, "broker"), "version"),
			 "9.8.7");
	json_decref(look);
}
END_TEST

/* ---- a broker of another version -------------------------------------------- */

static char fake_socket[64];

/* Answers the first message of its client, then waits to be killed. */
static void serve_once(int listener, const union tpi_wire_message *answer,
		       int fd)
{
	union tpi_wire_message hello;
	unsigned int none = 0;
	int sock = accept(listener, NULL, NULL);

	(void)tpi_recv_fds(sock, &hello, sizeof(hello), NULL, &none);
	(void)tpi_send_fds(sock, answer, answer->header.length, &fd,
			   answer->header.fd_count);
	for (;;)
		pause();
}

static pid_t fake_broker(const union tpi_wire_message *answer, int fd)
{
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), length;
	struct sockaddr_un address;
	pid_t child;

	snprintf(fake_socket, sizeof(fake_socket), "@shmstat-test-%d",
		 getpid());
	length = tpi_socket_address(&address, fake_socket);
	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(
		bind(listener, (struct sockaddr *)&address, (socklen_t)length),
		0);
	ck_assert_int_eq(listen(listener, 1), 0);
	child = fork();
	if (!child)
		serve_once(listener, answer, fd);
	close(listener);
	return child;
}

static void assert_refused(pid_t child, const char *one, const char *other)
{
	command_run(&run, "tapio-shmstat", "--socket", fake_socket, NULL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ck_assert_msg(run.status == 4, "status %d: %s", run.status, run.err);
	ck_assert_ptr_nonnull(strstr(run.err, one));
	ck_assert_ptr_nonnull(strstr(run.err, other));
}

START_TEST(a_broker_of_another_layout_is_status_4)
{
	union tpi_wire_message answer;

	tpi_wire_init(&answer, TPI_WIRE_WELCOME);
	answer.header.fd_count = 1;
	answer.welcome.abi_major = TAPIO_ABI_MAJOR + 1;
	answer.welcome.abi_minor = 7;
	assert_refused(fake_broker(&answer, catalog_segment.fd_ro), "1.7",
		       "0.7");
}
END_TEST

START_TEST(a_broker_that_refuses_our_version_is_status_4)
{
	union tpi_wire_message answer;

	tpi_wire_init(&answer, TPI_WIRE_REFUSED);
	answer.refused.error = -EPROTONOSUPPORT;
	strcpy(answer.refused.text, "this broker speaks 9.1, the client 1.0");
	assert_refused(fake_broker(&answer, -1), "9.1", "1.0");
}
END_TEST

/* There may be other brokers on this machine: then they are named, and we. */
START_TEST(a_scan_finds_us_or_names_us_among_several)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	command_run(&run, "tapio-shmstat", "--json", "--scan", "--socket",
		    "@nobody-listens-here", "lanes", NULL);
	if (run.status == 3) {
		ck_assert_ptr_nonnull(strstr(run.err, "several brokers"));
		ck_assert_ptr_nonnull(strstr(run.err, pid));
	} else {
		ck_assert_int_eq(run.status, 1);
		ck_assert_ptr_nonnull(strstr(run.out, pid));
	}
}
END_TEST

START_TEST(a_process_without_segments_is_status_3)
{
	/* Without the right to look it cannot be known. */
	command_run(&run, "tapio-shmstat", "--pid", "1", NULL);
	ck_assert_int_eq(run.status, geteuid() ? 5 : 3);
}
END_TEST

START_TEST(a_socket_that_is_not_there_is_status_3)
{
	command_run(&run, "tapio-shmstat", "--socket", "/nonexistent/tapio",
		    NULL);
	ck_assert_int_eq(run.status, 3);
	ck_assert_ptr_nonnull(strstr(run.err, "/nonexistent/tapio"));
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
	static const char *const wrong[][2] = {
		{"nonsense", NULL}, {"--pid", "x"},     {"--pid", "0"},
		{"--watch", "0"},   {"--timeout", "y"}, {"lanes", "nothing"},
		{"--nothing", NULL}};

	command_run(&run, "tapio-shmstat", wrong[_i][0], wrong[_i][1], NULL);
	ck_assert_int_eq(run.status, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shmstat_memory");
	TCase *memory = tcase_create("memory");
	TCase *usage = tcase_create("usage");

	tcase_add_checked_fixture(memory, setup, teardown);
	tcase_add_checked_fixture(usage, NULL, teardown);
	tcase_add_test(memory, the_memory_of_a_process_is_found_and_shown);
	tcase_add_test(memory, lanes_show_what_is_in_them);
	tcase_add_test(memory, segments_say_which_rung_failed_and_why);
	tcase_add_test(memory, groups_add_up_their_lanes);
	tcase_add_test(memory,
		       a_lossless_group_without_a_member_is_still_lossless);
	tcase_add_test(memory, names_that_are_not_printable_are_made_so);
	tcase_add_test(memory, a_ledger_that_balances_has_no_fault);
	tcase_add_test(memory, a_ledger_that_does_not_balance_is_a_fault);
	tcase_add_test(memory, an_impossible_lane_is_a_fault);
	tcase_add_test(memory,
		       a_channel_whose_place_is_wrong_is_left_out_and_named);
	tcase_add_loop_test(
		memory,
		what_clients_write_at_the_start_of_segments_is_not_believed, 0,
		2);
	tcase_add_test(memory,
		       a_file_that_the_catalog_does_not_name_is_no_segment);
	tcase_add_test(memory, another_version_is_status_4_and_both_are_named);
	tcase_add_test(memory, the_text_form_shows_the_same);
	tcase_add_test(memory, a_side_lane_that_refuses_is_shown);
	tcase_add_test(memory, mappings_alone_are_found_through_map_files);
	tcase_add_test(memory, a_broker_of_another_layout_is_status_4);
	tcase_add_test(memory, a_broker_that_refuses_our_version_is_status_4);
	tcase_add_test(memory, a_scan_finds_us_or_names_us_among_several);
	tcase_add_test(usage, a_process_without_segments_is_status_3);
	tcase_add_test(usage, a_socket_that_is_not_there_is_status_3);
	tcase_add_loop_test(usage, wrong_usage_is_status_2, 0, 7);
	suite_add_tcase(suite, memory);
	suite_add_tcase(suite, usage);
	return check_run(suite);
}
