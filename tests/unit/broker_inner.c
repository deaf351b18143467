/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the broker by themselves: the loop, names, the log. The
 * broker as a whole is tested in tests/fault.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "tests/check_main.h"

/* ---- the loop -------------------------------------------------------------------- */

static struct tpi_loop *loop;

static void loop_up(void)
{
	char why[256] = "";
	int err = tpi_loop_create(&loop, why, sizeof(why));

	ck_assert_msg(!err, "%s", why);
}

static void loop_down(void)
{
	tpi_loop_destroy(loop);
}

struct counted {
	struct tpi_watch watch;
	int fd;
	int calls;
	int stop_after;
	struct counted *also; /* stopped by the first call */
};

static void count(struct tpi_watch *watch, unsigned int events)
{
	struct counted *c = (struct counted *)watch;

	(void)events;
	if (c->also && c->also->watch.ticket)
		tpi_watch_stop(loop, &c->also->watch);
	if (++c->calls < c->stop_after)
		return;
	tpi_watch_stop(loop, watch);
	tpi_loop_stop(loop);
}

static void watch_ready(struct counted *c, int stop_after)
{
	memset(c, 0, sizeof(*c));
	c->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	c->watch.ready = count;
	c->stop_after = stop_after;
	ck_assert_int_eq(tpi_watch_start(loop, &c->watch, c->fd), 0);
}

START_TEST(a_descriptor_that_stays_ready_is_called_again_and_again)
{
	struct counted c;

	watch_ready(&c, 5);
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), 0);
	ck_assert_int_eq(c.calls, 5);
	close(c.fd);
}
END_TEST

/* A run without io_uring has epoll, and says why. The other one has what the host
 * allows. */
START_TEST(the_backend_is_the_one_that_this_run_is_for)
{
	const char *why, *name = tpi_loop_backend(loop, &why);

	if (getenv("TAPIO_TEST_WITHOUT"))
		ck_assert_str_eq(name, "epoll");
	if (!strcmp(name, "epoll"))
		ck_assert_ptr_nonnull(strstr(why, "io_uring"));
	else
		ck_assert_str_eq(why, "");
}
END_TEST

static unsigned int seen;

/* First the file is closed behind the loop's back, then the watch is stopped. */
static void close_then_stop(struct tpi_watch *watch, unsigned int events)
{
	struct counted *c = (struct counted *)watch;

	seen = events;
	if (++c->calls == 1) {
		close(c->fd);
		return;
	}
	tpi_watch_stop(loop, watch);
	tpi_loop_stop(loop);
}

START_TEST(a_descriptor_that_was_closed_behind_the_loop_is_an_error)
{
	struct counted c;

	watch_ready(&c, 0);
	c.watch.ready = close_then_stop;
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), 0);
	ck_assert_int_eq(c.calls, 2);
	ck_assert_uint_eq(seen, POLLERR);
}
END_TEST

/* The child's copy keeps the file, so its events still come. They are no news. */
START_TEST(a_stopped_watch_is_quiet_though_a_child_has_its_file)
{
	struct counted c, last;
	int status, old, gate[2];
	char byte;
	pid_t pid;

	watch_ready(&c, 1);
	old = c.fd;
	ck_assert_int_eq(pipe(gate), 0);
	pid = fork();
	if (!pid) {
		close(gate[1]);
		_exit(read(gate[0], &byte, 1) != 0);
	}
	tpi_watch_stop(loop, &c.watch);
	close(old);
	/* Another file gets the number. */
	watch_ready(&last, 20);
	ck_assert_int_eq(last.fd, old);
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), 0);
	ck_assert_int_eq(c.calls, 0);
	ck_assert_int_eq(last.calls, 20);
	close(gate[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(gate[0]);
	close(last.fd);
}
END_TEST

/* The loop's descriptor, by what the kernel calls its file. */
static int own_number(void)
{
	char path[32], file[64];
	ssize_t n;

	for (int number = 3; number < 64; number++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
		n = readlink(path, file, sizeof(file) - 1);
		file[n < 0 ? 0 : n] = '\0';
		if (strstr(file, "io_uring") || strstr(file, "eventpoll"))
			return number;
	}
	return -1;
}

/* The program has closed all, and the number of the loop is a file of its own. */
START_TEST(a_loop_whose_descriptor_is_closed_ends)
{
	struct counted c;
	int number = own_number();

	watch_ready(&c, 3);
	ck_assert_int_ge(number, 3);
	ck_assert_int_eq(dup2(c.fd, number), number);
	ck_assert(!tpi_loop_owned(loop));
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), -EBADF);
	ck_assert_int_eq(c.calls, 0);
	tpi_loop_lose(loop);
	tpi_watch_stop(loop, &c.watch);
	tpi_loop_destroy(loop);
	loop = NULL;
	/* The program's file is still there. */
	ck_assert_int_ge(fcntl(number, F_GETFD), 0);
	close(number);
	close(c.fd);
}
END_TEST

START_TEST(a_watch_that_was_stopped_is_not_called_though_it_had_completed)
{
	struct counted first, second;

	/* Both complete in one round. Each stops the other when it is called. */
	watch_ready(&first, 3);
	watch_ready(&second, 3);
	first.also = &second;
	second.also = &first;
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), 0);
	ck_assert_int_eq(first.calls + second.calls, 3);
	ck_assert(!first.calls || !second.calls);
	close(first.fd);
	close(second.fd);
}
END_TEST

START_TEST(a_new_watch_in_an_old_ones_place_gets_only_its_own_events)
{
	struct counted old, fresh, last;
	int quiet = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	watch_ready(&old, 1);
	tpi_watch_stop(loop, &old.watch);
	memset(&fresh, 0, sizeof(fresh));
	fresh.watch.ready = count;
	fresh.stop_after = 1;
	ck_assert_int_eq(tpi_watch_start(loop, &fresh.watch, quiet), 0);
	watch_ready(&last, 20);
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), 0);
	ck_assert_int_eq(old.calls, 0);
	ck_assert_int_eq(fresh.calls, 0);
	ck_assert_int_eq(last.calls, 20);
	tpi_watch_stop(loop, &fresh.watch);
	close(quiet);
	close(old.fd);
	close(last.fd);
}
END_TEST

START_TEST(more_watches_than_the_ring_has_entries)
{
	enum {
		MANY = 1000
	};
	static struct counted c[MANY];
	int calls = 0;

	for (int i = 0; i < MANY; i++)
		watch_ready(&c[i], 1 << 20);
	c[MANY - 1].stop_after = 2;
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), 0);
	for (int i = 0; i < MANY; i++) {
		calls += c[i].calls > 0;
		tpi_watch_stop(loop, &c[i].watch);
		close(c[i].fd);
	}
	ck_assert_int_eq(calls, MANY);
}
END_TEST

static int fired[8], fired_count;
static struct tpi_timer timers[4];

static void fire(struct tpi_timer *timer)
{
	fired[fired_count++] = (int)(timer - timers);
	if (fired_count == 3)
		tpi_loop_stop(loop);
}

START_TEST(timers_fire_once_and_in_order)
{
	fired_count = 0;
	for (int i = 0; i < 4; i++)
		timers[i] = (struct tpi_timer){.fire = fire};
	tpi_timer_start(loop, &timers[0], 3000000);
	tpi_timer_start(loop, &timers[1], 1000000);
	tpi_timer_start(loop, &timers[2], 2000000);
	tpi_timer_start(loop, &timers[3], 500000);
	tpi_timer_stop(loop, &timers[3]);
	tpi_timer_start(loop, &timers[1], 5000000); /* moved */
	ck_assert_int_eq(tpi_loop_run(loop, NULL, NULL), 0);
	ck_assert_int_eq(fired[0], 2);
	ck_assert_int_eq(fired[1], 0);
	ck_assert_int_eq(fired[2], 1);
}
END_TEST

/* ---- names ------------------------------------------------------------------------------ */

/* Three generations of two records, instead of 262,142 of 16,381. */
static struct tpi_broker *start_with_few_names(struct tpi_process *process)
{
	struct tpi_broker_setup setup = {
		.config_text =
			"channel e { class c { block = 64 blocks = 4 } }",
	};
	struct tpi_broker *broker;
	enum tpi_stage stage;
	char why[256] = "";

	ck_assert_msg(
		!tpi_broker_create(&broker, &setup, &stage, why, sizeof(why)),
		"%s", why);
	*process = (struct tpi_process){.pidfd = -1, .refs = 1, .pid = 4711};
	TAILQ_INIT(&process->attachments);
	broker->registry.fresh_index =
		broker->registry.catalog.attachment_count - 2;
	broker->registry.generation_max = 3;
	return broker;
}

static struct tpi_attachment *attach(struct tpi_broker *broker,
				     struct tpi_process *process)
{
	return tpi_attachment_new(&broker->registry, broker->registry.hosts,
				  TAPIO_ROLE_PRODUCE, process);
}

START_TEST(ids_come_back_when_no_process_can_remember_them)
{
	struct tpi_attachment *attachment;
	struct tpi_process process;
	struct tpi_broker *broker = start_with_few_names(&process);
	uint32_t ids[6];

	for (int i = 0; i < 6; i++) {
		attachment = attach(broker, &process);
		ck_assert_ptr_nonnull(attachment);
		ids[i] = attachment->id;
		for (int k = 0; k < i; k++)
			ck_assert_uint_ne(ids[k], ids[i]);
		tpi_attachment_free(&broker->registry, attachment);
	}
	/* All six are used, and no attachment is older. Round and round. */
	for (int i = 0; i < 60; i++) {
		attachment = attach(broker, &process);
		ck_assert_ptr_nonnull(attachment);
		ck_assert_uint_ne(attachment->id, TAPIO_NOBODY);
		tpi_attachment_free(&broker->registry, attachment);
	}
	tpi_broker_destroy(broker);
}
END_TEST

/* Fails if the step N3 of attachments.c is left out. */
START_TEST(ids_that_an_old_process_may_remember_do_not_come_back)
{
	struct tpi_attachment *old, *attachment;
	struct tpi_process process;
	struct tpi_broker *broker = start_with_few_names(&process);
	char why[256] = "";

	attachment = attach(broker, &process);
	old = attach(broker, &process);
	tpi_attachment_free(&broker->registry, attachment);
	for (int i = 0; i < 2; i++) {
		attachment = attach(broker, &process);
		ck_assert_ptr_nonnull(attachment);
		tpi_attachment_free(&broker->registry, attachment);
	}
	ck_assert_ptr_null(attach(broker, &process));
	ck_assert_int_eq(
		tpi_attachment_explain(&broker->registry, why, sizeof(why)),
		-EUSERS);
	ck_assert_ptr_nonnull(strstr(why, "4711"));
	/* Its own record has generations left, and then both may begin anew. */
	tpi_attachment_free(&broker->registry, old);
	for (int i = 0; i < 20; i++) {
		attachment = attach(broker, &process);
		ck_assert_ptr_nonnull(attachment);
		tpi_attachment_free(&broker->registry, attachment);
	}
	tpi_broker_destroy(broker);
}
END_TEST

/* With as many ids as there are, those of the last generation are no reserved words. */
START_TEST(the_last_id_of_a_record_is_no_reserved_word)
{
	struct tpi_attachment *attachment;
	struct tpi_process process;
	struct tpi_broker *broker = start_with_few_names(&process);

	broker->registry.generation_max = TAPIO_GENERATION_MAX;
	attachment = attach(broker, &process);
	tpi_attachment_free(&broker->registry, attachment);
	attachment->generation = TAPIO_GENERATION_MAX - 1;
	tpi_attachment_free(&broker->registry, attach(broker, &process));
	attachment = attach(broker, &process);
	ck_assert_uint_ne(attachment->id, TAPIO_ABANDONED);
	ck_assert_uint_eq(TAPIO_ATTACHMENT_GENERATION(attachment->id),
			  TAPIO_GENERATION_MAX);
	tpi_attachment_free(&broker->registry, attachment);
	tpi_broker_destroy(broker);
}
END_TEST

/* ---- the log ------------------------------------------------------------------------------ */

static int lines;
static char last_line[256];

static void keep(void *arg, int level, const char *message)
{
	(void)arg;
	(void)level;
	lines++;
	snprintf(last_line, sizeof(last_line), "%s", message);
}

START_TEST(clients_cannot_flood_the_log)
{
	struct tpi_log log = {.level = TAPIO_LOG_NOTICE, .sink = keep};

	lines = 0;
	tpi_log_refill(&log);
	for (int i = 0; i < 1000; i++)
		tpi_log_client(&log, TAPIO_LOG_NOTICE, "refused %d", i);
	ck_assert_int_eq(lines, TPI_LOG_BURST);
	tpi_log_refill(&log);
	ck_assert_ptr_nonnull(strstr(last_line, "980"));
	tpi_log_client(&log, TAPIO_LOG_DEBUG, "not at this level");
	tpi_log(&log, TAPIO_LOG_INFO, "nor this");
	ck_assert_int_eq(lines, TPI_LOG_BURST + 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("broker_inner");
	TCase *l = tcase_create("loop"), *c = tcase_create("rest");

	tcase_add_checked_fixture(l, loop_up, loop_down);
	tcase_add_test(l, the_backend_is_the_one_that_this_run_is_for);
	tcase_add_test(
		l, a_descriptor_that_was_closed_behind_the_loop_is_an_error);
	tcase_add_test(l, a_stopped_watch_is_quiet_though_a_child_has_its_file);
	tcase_add_test(l, a_loop_whose_descriptor_is_closed_ends);
	tcase_add_test(l,
		       a_descriptor_that_stays_ready_is_called_again_and_again);
	tcase_add_test(
		l,
		a_watch_that_was_stopped_is_not_called_though_it_had_completed);
	tcase_add_test(
		l, a_new_watch_in_an_old_ones_place_gets_only_its_own_events);
	tcase_add_test(l, more_watches_than_the_ring_has_entries);
	tcase_add_test(l, timers_fire_once_and_in_order);
	tcase_add_test(c, ids_come_back_when_no_process_can_remember_them);
	tcase_add_test(c,
		       ids_that_an_old_process_may_remember_do_not_come_back);
	tcase_add_test(c, the_last_id_of_a_record_is_no_reserved_word);
	tcase_add_test(c, clients_cannot_flood_the_log);
	suite_add_tcase(suite, l);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
