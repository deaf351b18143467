/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer fetches the memory of slots that was replaced (client/producer/slots.c).
 * Answers come late, name memory that was replaced once more, or cannot be taken. No
 * change of groups comes after that, and the producer still gets the memory: otherwise a
 * lossless group would hold it for ever.
 */
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/wire/fdpass.h"
#include "tests/fault/slot_fixture.h"

/* Outputs until the memory of an epoch is there. The broker may take longer than a
 * producer waits for it. */
static bool output_until_heard(struct tapio_consumer *c, uint32_t epoch)
{
	const uint32_t *heard = &p->now->emit.gating.epochs[slot_of(c)];

	for (int i = 0; i < 10000 && *heard != epoch; i++) {
		drain(c);
		if (tapio_output(p, TAG, "x", 1))
			sched_yield();
	}
	drain(c);
	return *heard == epoch && !tapio_output(p, TAG, "x", 1);
}

/* As one that has waited a millisecond for the answer, and goes on without. */
static void ask_and_go_on(struct tapio_producer *mine, uint32_t slot)
{
	int sock = mine->now->client.handle.sock.number;
	struct pollfd answered = {.fd = sock, .events = POLLIN};
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_FETCH);
	m.fetch.attachment = mine->now->client.granted.attachment;
	m.fetch.slots = UINT64_C(1) << slot;
	ck_assert_int_eq(tpi_send_fds(sock, m.bytes, m.header.length, NULL, 0),
			 (int)m.header.length);
	mine->now->slots.asked = true;
	ck_assert_int_eq(poll(&answered, 1, -1), 1);
}

START_TEST(a_round_without_an_answer_is_not_the_last_one)
{
	struct tapio_consumer *c;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(epoch_of(slot_of(c)), 2);
	/* A question that was never sent. */
	p->now->slots.asked = true;
	pin(0);
	errno = E2BIG;
	ck_assert_uint_le(emit_until_full(p), 64);
	ck_assert_int_eq(errno, E2BIG);
	drain(c);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), -EAGAIN);
	p->now->slots.asked = false;
	ck_assert(output_until_heard(c, 2));
	tapio_consumer_close(c);
}
END_TEST

START_TEST(an_answer_that_comes_late_is_not_the_last_one)
{
	struct tapio_consumer *c;
	uint32_t slot;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	slot = slot_of(c);
	ck_assert_uint_eq(epoch_of(slot), 2);
	ask_and_go_on(p, slot);
	tapio_consumer_close(c);
	ck_assert_int_eq(run_as(UIDS, join_and_leave, 0), 100 + (int)slot);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(slot_of(c), slot);
	ck_assert_uint_eq(epoch_of(slot), 4);
	pin(0);
	emit_until_full(p);
	ck_assert(output_until_heard(c, 4));
	tapio_consumer_close(c);
}
END_TEST

/* A process that has no descriptor left gets none, and asks again when it has. */
START_TEST(memory_that_cannot_be_received_now_is_asked_for_again)
{
	struct tapio_consumer *c;
	struct rlimit limit, low;
	uint32_t slot;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	slot = slot_of(c);
	ck_assert_uint_eq(epoch_of(slot), 2);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	pin(0);
	for (int i = 0; i < 1000; i++)
		if (tapio_output(p, TAG, "x", 1))
			sched_yield();
	ck_assert_uint_ne(p->now->emit.gating.epochs[slot], 2);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert(output_until_heard(c, 2));
	tapio_consumer_close(c);
}
END_TEST

/* It asks once, and for as long as no group joins or ends it is at rest. */
START_TEST(a_producer_that_has_all_memory_asks_no_more)
{
	struct tapio_consumer *c;
	int sock = p->now->client.handle.sock.number;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	pin(0);
	ck_assert(output_until_heard(c, 2));
	ck_assert_uint_eq(p->now->slots.heeded,
			  tpi_load_relaxed(&p->now->client.shared->generation));
	/* Now a question would fail. */
	ck_assert_int_eq(shutdown(sock, SHUT_RDWR), 0);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		drain(c);
	}
	ck_assert_uint_eq(p->now->emit.gating.epochs[slot_of(c)], 2);
	tapio_consumer_close(c);
}
END_TEST

static const struct tapio_shm_segment *record_of(uint32_t slot)
{
	const struct tpi_catalog *catalog = &p->now->client.catalog;

	for (uint32_t i = 0; i < catalog->segment_count; i++)
		if (catalog->segments[i].kind == TAPIO_SEGMENT_CURSORS &&
		    catalog->segments[i].index == slot)
			return &catalog->segments[i];
	ck_abort_msg("no record of slot %u", slot);
	return NULL;
}

/* By which tools know a descriptor. */
START_TEST(the_catalog_names_the_file_that_a_slot_has)
{
	const struct tapio_shm_segment *record;
	struct peer peer;
	struct stat st;

	use_up(0);
	ck_assert_int_eq(join(&peer, "g"), 0);
	record = record_of(peer.attached.group_slot);
	ck_assert_int_eq(fstat(peer.fds[peer.attached.segment_count], &st), 0);
	ck_assert_uint_eq(record->ready, TAPIO_SEGMENT_READY);
	ck_assert_uint_eq(record->epoch, 2);
	ck_assert_uint_eq(record->device, st.st_dev);
	ck_assert_uint_eq(record->inode, st.st_ino);
	ck_assert_uint_eq(record->length_bytes, (uint64_t)st.st_size);
	peer_close(&peer);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("slot fetch");

	if (getuid()) {
		printf("skipped: becoming another uid needs root\n");
		return 77;
	}
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_round_without_an_answer_is_not_the_last_one);
	tcase_add_test(t, an_answer_that_comes_late_is_not_the_last_one);
	tcase_add_test(t,
		       memory_that_cannot_be_received_now_is_asked_for_again);
	tcase_add_test(t, a_producer_that_has_all_memory_asks_no_more);
	tcase_add_test(t, the_catalog_names_the_file_that_a_slot_has);
	return check_run_case("slot fetch", t);
}
