/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a group slot serves one uid (broker/registry/slot_memory.h). Processes
 * of other uids keep what they were given, and forge heads in it for ever. They can
 * do it in every way there is: by a mapping that outlives their DETACH, by a child that
 * outlives them. Each test first gives the memory of all 64 slots to 64 uids, so that
 * the next group needs other memory, which producers that are open have to fetch.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "tests/fault/slot_fixture.h"

#define EVENTS 20000

/* Says of every lane that all was released, in the name of the slot's group. */
static void forge_for_ever(struct peer *peer)
{
	const struct tapio_shm_group *group =
		&peer->catalog.groups[peer->attached.group_slot];

	/* If the test fails, for not longer than this, and out of its way. */
	alarm(60);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	for (;;) {
		uint32_t incarnation =
			TAPIO_SLOT_INCARNATION(tpi_load_relaxed(&group->slot));

		for (uint32_t i = 0; i < peer->channel.lane_count; i++) {
			uint64_t tail = TAPIO_STATE_TAIL(
				tpi_lane_peek(&peer->channel.lanes[i]));
			struct tapio_shm_cursor *cursor =
				&peer->cursors.cursors[i];

			for (int k = 0; k < TAPIO_CELLS; k++)
				tpi_store_relaxed(
					&cursor->cells[k].head,
					TAPIO_HEAD(tail, incarnation, 0));
		}
		sched_yield();
	}
}

enum {
	STAYS,
	LEAVES_A_CHILD,
	WAYS
};

/* Joins, tells its slot, leaves, and goes on writing there. */
static int forge(int way, int out)
{
	struct peer peer;
	unsigned char slot;

	if (join(&peer, NULL))
		return 1;
	slot = (unsigned char)peer.attached.group_slot;
	leave(&peer);
	if (way == LEAVES_A_CHILD && fork()) {
		/* Dead, as far as a pidfd knows. */
		return write(out, &slot, 1) == 1 ? DONE : 2;
	}
	if (way == STAYS && write(out, &slot, 1) != 1)
		return 2;
	forge_for_ever(&peer);
	return 0;
}

static int forge_out;

static int forge_as(int way)
{
	setpgid(0, 0);
	return forge(way, forge_out);
}

/* Starts one that has the first free slot. Its group of processes. */
static pid_t start_forger(int way, uint32_t *slot)
{
	unsigned char byte = 255;
	int pipes[2];
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	forge_out = pipes[1];
	pid = start_as(UIDS, forge_as, way);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	if (way == LEAVES_A_CHILD)
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	*slot = byte;
	return pid;
}

static void end_forger(pid_t group, int way)
{
	kill(-group, SIGKILL);
	if (way == STAYS)
		ck_assert_int_eq(waitpid(group, NULL, 0), group);
}

/* ---- attacks -------------------------------------------------------------------------- */

/*
 * Fails on commit fddcec1 in the second way: the ledger says that all was delivered,
 * and most of the events are gone.
 */
START_TEST(memory_of_one_uid_never_serves_another)
{
	struct tapio_consumer *c;
	uint64_t read = 0;
	uint32_t slot;
	pid_t forger = start_forger(_i, &slot);

	use_up(1);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(slot_of(c), slot);
	ck_assert_uint_eq(epoch_of(slot), 2);
	for (uint64_t i = 0; i < EVENTS;) {
		int err = tapio_output(p, TAG, &i, sizeof(i));

		ck_assert(!err || err == -EAGAIN);
		i += !err;
		if (err || !(i % 50))
			read += drain(c);
	}
	read += drain(c);
	ck_assert_uint_eq(read, EVENTS);
	assert_ledger(c, EVENTS, 0, 0);
	ck_assert_uint_eq(p->now->emit.gating.epochs[slot], 2);
	end_forger(forger, _i);
	tapio_consumer_close(c);
}
END_TEST

static int join_uid_alone(int unused)
{
	struct peer first, second;
	int err;

	(void)unused;
	if (join(&first, "x"))
		return 1;
	/* Another process of the uid, which may be another user. */
	if (!fork()) {
		err = join(&second, "x");
		_exit(err == -EACCES &&
				      strstr(second.refused.text, "stands for")
			      ? DONE
			      : 2);
	}
	if (wait(&err) < 0 || WEXITSTATUS(err) != DONE)
		return 3;
	/* The same process may. */
	return join(&second, "x") ? 4 : DONE;
}

START_TEST(the_uid_without_a_mapping_is_trusted_with_nothing_of_its_own)
{
	int slot = run_as(65534, join_and_leave, 0);

	ck_assert_int_ge(slot, 100);
	ck_assert_int_ne(run_as(65534, join_and_leave, 0), slot);
	ck_assert_int_eq(run_as(65534, join_uid_alone, 0), DONE);
}
END_TEST

static int join_and_stay(int out)
{
	struct peer peer;

	if (join(&peer, "x") || write(out, "", 1) != 1)
		return 1;
	pause();
	return 0;
}

/* The owner joins a group of another uid. The memory that both have had serves neither. */
START_TEST(memory_that_two_uids_had_serves_no_other_group)
{
	struct tapio_consumer *c;
	int pipes[2];
	uint32_t slot;
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	pid = start_as(UIDS, join_and_stay, pipes[1]);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	c = open_consumer("x", 0);
	slot = slot_of(c);
	tapio_consumer_close(c);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* The broker sees its death soon after it. */
	for (int i = 0; i < 6000 && p->now->client.shared->active; i++)
		usleep(10000);
	ck_assert_uint_eq(p->now->client.shared->active, 0);
	c = open_consumer("y", 0);
	ck_assert_uint_ne(slot_of(c), slot);
	tapio_consumer_close(c);
	ck_assert_int_ne(run_as(UIDS, join_and_leave, 0), 100 + (int)slot);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

/* A uid that comes and goes costs no memory and no message. */
START_TEST(the_same_uid_gets_its_memory_again)
{
	int slot = run_as(UIDS, join_and_leave, 0);

	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(run_as(UIDS, join_and_leave, 0), slot);
	ck_assert_uint_eq(epoch_of((uint32_t)slot - 100), 1);
}
END_TEST

/* Pages that others still map are not the broker's any more. */
START_TEST(memory_that_was_replaced_costs_nothing)
{
	struct peer peer;
	struct stat st;
	int slot;

	ck_assert_int_eq(join(&peer, NULL), 0);
	ck_assert_int_eq(fstat(peer.fds[peer.attached.segment_count], &st), 0);
	ck_assert_int_gt(st.st_blocks, 0);
	leave(&peer);
	use_up(1);
	slot = run_as(UIDS, join_and_leave, 0) - 100;
	ck_assert_int_eq(slot, (int)peer.attached.group_slot);
	ck_assert_uint_eq(epoch_of((uint32_t)slot), 2);
	ck_assert_int_eq(fstat(peer.fds[peer.attached.segment_count], &st), 0);
	ck_assert_int_eq(st.st_blocks, 0);
	peer_close(&peer);
}
END_TEST

/* ---- producers ------------------------------------------------------------------------- */

static int emit_when_continued(int count)
{
	struct tapio_producer *mine = open_producer();

	pin(0);
	if (tapio_output(mine, TAG, "x", 1))
		return 1;
	raise(SIGSTOP);
	for (int i = 0; i < count; i++)
		while (tapio_output(mine, TAG, "x", 1))
			sched_yield();
	tapio_producer_close(mine);
	return DONE;
}

/* The broker may take longer than a producer waits for a slot's memory. */
static bool accepted_by(struct tapio_producer *producer, int tries)
{
	int err = tapio_output(producer, TAG, "x", 1);

	ck_assert_msg(!err || (err == -EAGAIN && tries < 100000),
		      "output: %d at try %d", err, tries);
	return !err;
}

/* It has not heard of the group's memory, on a lane that it shares with others. */
START_TEST(a_stopped_producer_holds_nobody)
{
	struct tapio_consumer *c;
	uint64_t read = 0;
	pid_t pid;
	int status;

	pid = start_as(0, emit_when_continued, 200);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	pin(0);
	for (int i = 0, tries = 0; i < 1000; tries++) {
		i += accepted_by(p, tries);
		read += drain(c);
	}
	ck_assert_uint_eq(read, 1000);
	kill(pid, SIGCONT);
	while (!waitpid(pid, &status, WNOHANG))
		read += drain(c);
	ck_assert_int_eq(WEXITSTATUS(status), DONE);
	read += drain(c);
	ck_assert_uint_eq(read, 1200);
	assert_ledger(c, 1200, 0, 0);
	tapio_consumer_close(c);
}
END_TEST

/* The program has closed its connection, and with it the way to the memory. */
START_TEST(a_producer_that_cannot_ask_leaves_the_gate_to_others)
{
	struct tapio_producer *deaf = open_producer();
	struct tapio_consumer *until, *c;
	char text[512];

	pin(0);
	ck_assert_int_eq(tapio_output(deaf, TAG, "x", 1), 0);
	use_up(0);
	ck_assert_int_eq(close(deaf->now->client.handle.sock.number), 0);
	until = open_consumer("u", TAPIO_GROUP_UNTIL);
	ck_assert_uint_eq(epoch_of(slot_of(until)), 2);
	ck_assert_uint_eq(emit_until_full(deaf), 1000);
	tapio_consumer_close(until);

	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(epoch_of(slot_of(c)), 2);
	ck_assert_uint_le(emit_until_full(deaf), 64);
	drain(c);
	ck_assert_int_eq(tapio_output(deaf, TAG, "x", 1), -EAGAIN);
	tapio_producer_explain(deaf, -EAGAIN, TAG, 1, text, sizeof(text));
	ck_assert_msg(strstr(text, "\"g\"") && strstr(text, "which is gone"),
		      "%s", text);
	/* One that has the memory moves the gate of the lane that they share. */
	if (!side_flavour()) {
		for (int i = 0, tries = 0; i < 32; tries++) {
			i += accepted_by(p, tries);
			drain(c);
		}
		ck_assert_int_eq(tapio_output(deaf, TAG, "x", 1), 0);
	}
	drain(c);
	ck_assert_uint_eq(group_stats(c).lost, 0);
	tapio_consumer_close(c);
	tapio_producer_close(deaf);
}
END_TEST

/* ---- memory that changes under those who look at it ------------------------------------- */

static uint32_t stop;
static uint64_t accepted;

static void emit_in_handler(int signal)
{
	(void)signal;
	if (!tapio_output(p, TAG | TAPIO_NO_WAIT, "x", 1))
		tpi_add_relaxed(&accepted, 1);
}

static void *emitter(void *unused)
{
	(void)unused;
	while (!tpi_load_relaxed(&stop))
		if (tapio_output(p, TAG, "x", 1))
			sched_yield();
		else
			tpi_add_relaxed(&accepted, 1);
	return NULL;
}

static int lossless_join(int unused)
{
	struct peer peer;
	int err;

	(void)unused;
	peer_connect_to(&peer, rig.options.socket);
	err = peer_hello(&peer);
	if (!err)
		err = peer_attach(&peer, TAPIO_ROLE_CONSUME, "events", NULL,
				  TAPIO_GROUP_LOSSLESS, 0, 0);
	if (!err)
		leave(&peer);
	return err ? 1 : DONE;
}

/* Threads and signal handlers compute gates while slots get other memory. */
START_TEST(memory_is_replaced_while_gates_are_computed)
{
	const struct itimerval often = {.it_interval = {.tv_usec = 700},
					.it_value = {.tv_usec = 700}};
	const struct itimerval never = {0};
	struct sigaction action = {.sa_handler = emit_in_handler,
				   .sa_flags = SA_RESTART};
	struct tapio_consumer *c;
	pthread_t threads[2];
	uint64_t read = 0, before;
	uint32_t most = 0;
	int status;
	pid_t pid;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSLESS);
	tpi_store_relaxed(&stop, 0);
	accepted = 0;
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, emitter, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (int i = 0; i < 40; i++) {
		pid = start_as((uid_t)(UIDS + 100 + i), lossless_join, 0);
		while (!waitpid(pid, &status, WNOHANG))
			read += drain(c);
		ck_assert_int_eq(WEXITSTATUS(status), DONE);
		/* Past a gate, so that the new memory is heard of. */
		before = read;
		while (read < before + 200)
			read += drain(c);
	}
	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
	tpi_store_relaxed(&stop, 1);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	read += drain(c);
	ck_assert_uint_eq(read, accepted);
	assert_ledger(c, accepted, 0, 0);
	for (int i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (p->now->emit.gating.epochs[i] > most)
			most = p->now->emit.gating.epochs[i];
	ck_assert_uint_gt(most, 2);
	tapio_consumer_close(c);
}
END_TEST

/* ---- bells -------------------------------------------------------------------------------- */

/* A producer that has not got the memory does not see that a member sleeps. */
START_TEST(a_group_knows_that_a_producer_has_not_heard_of_it)
{
	struct tapio_consumer *c;
	uint32_t slot;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSY);
	slot = slot_of(c);
	ck_assert_uint_eq(epoch_of(slot), 2);
	ck_assert(is_unheard(slot));
	ck_assert(!tpi_is_rung(c->now));
	pin(0);
	/* The broker may take longer than a producer waits for it, and looks once in a
	 * second whether the answer was read. */
	for (int i = 0; i < 60000 && is_unheard(slot); i++) {
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		if (i > 1000)
			nap_ms(1);
	}
	ck_assert(!is_unheard(slot));
	ck_assert(tpi_is_rung(c->now) ||
		  tpi_load_relaxed(&c->now->deaf)); /* no membarrier here */
	tapio_consumer_close(c);
}
END_TEST

START_TEST(a_producer_that_leaves_is_not_waited_for)
{
	struct tapio_producer *other = open_producer();
	struct tapio_consumer *c;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSY);
	pin(0);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert(is_unheard(slot_of(c)));
	tapio_producer_close(other);
	/* This one hears of it with one of its events, when the broker has answered. */
	for (int i = 0; i < 60000 && is_unheard(slot_of(c)); i++) {
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		nap_ms(1);
	}
	ck_assert(!is_unheard(slot_of(c)));
	tapio_consumer_close(c);
}
END_TEST

/*
 * The memory of the slot's last group announces for ever. A producer that still has it
 * must not answer that: it would stand for the next group's announcements.
 */
START_TEST(the_last_group_does_not_silence_the_next_ones_bell)
{
	struct tapio_consumer *c;
	struct peer peer;
	uint32_t slot, before, *answered, *seen;

	ck_assert_int_eq(seteuid(UIDS), 0);
	ck_assert_int_eq(join(&peer, NULL), 0);
	ck_assert_int_eq(seteuid(0), 0);
	slot = peer.attached.group_slot;
	leave(&peer);
	use_up(1);
	c = open_consumer("g", TAPIO_GROUP_LOSSY);
	ck_assert_uint_eq(slot_of(c), slot);
	ck_assert_uint_eq(epoch_of(slot), 2);
	answered = &p->now->emit.doorbells->answered[slot];
	before = tpi_load_relaxed(answered);
	tpi_store_relaxed(&peer.cursors.control->armed, before + INT32_MAX);
	tpi_store_relaxed(&peer.cursors.control->board, 12345);
	seen = p->now->emit.board_seen[slot];
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(tpi_load_relaxed(answered), before);
	ck_assert_uint_ne(tpi_load_relaxed(seen), 12345);
	tapio_consumer_close(c);
	peer_close(&peer);
}
END_TEST

/* A value that no honest producer stores. The broker's next look puts it right. */
START_TEST(a_bell_that_was_answered_in_advance_is_put_right)
{
	struct tapio_consumer *c = open_consumer("g", TAPIO_GROUP_LOSSY);
	uint32_t *answered = &p->now->emit.doorbells->answered[slot_of(c)];

	tpi_store_relaxed(answered, tpi_load_relaxed(&c->now->control->armed) +
					    INT32_MAX);
	for (int i = 0; i < 1000; i++) {
		if (tpi_load_relaxed(answered) == c->now->control->armed)
			break;
		usleep(10000);
	}
	ck_assert_uint_eq(tpi_load_relaxed(answered), c->now->control->armed);
	tapio_consumer_close(c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("slot memory");

	if (getuid()) {
		printf("skipped: becoming another uid needs root\n");
		return 77;
	}
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, memory_of_one_uid_never_serves_another, 0, WAYS);
	tcase_add_test(
		t,
		the_uid_without_a_mapping_is_trusted_with_nothing_of_its_own);
	tcase_add_test(t, memory_that_two_uids_had_serves_no_other_group);
	tcase_add_test(t, the_same_uid_gets_its_memory_again);
	tcase_add_test(t, memory_that_was_replaced_costs_nothing);
	tcase_add_test(t, a_stopped_producer_holds_nobody);
	tcase_add_test(t, a_producer_that_cannot_ask_leaves_the_gate_to_others);
	tcase_add_test(t, memory_is_replaced_while_gates_are_computed);
	tcase_add_test(t, a_group_knows_that_a_producer_has_not_heard_of_it);
	tcase_add_test(t, a_producer_that_leaves_is_not_waited_for);
	tcase_add_test(t, the_last_group_does_not_silence_the_next_ones_bell);
	tcase_add_test(t, a_bell_that_was_answered_in_advance_is_put_right);
	return check_run_case("slot memory", t);
}
