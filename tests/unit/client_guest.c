/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library in a program that closes all descriptors and opens its own, that was started
 * with 0 to 2 closed, cancels a thread in an open, has much static TLS, or must not wait
 * for a stopped broker.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/unit/broker_child.h"

/* More than the 64 KiB of stack that fddcec1 gave to its threads: they never began. */
static __thread char big[200 * 1024];

static struct tapio_producer *p;
static struct tapio_consumer *c;
static int event_fd;

static void open_handles(void)
{
	struct tapio_view v;

	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_UNTIL);
	event_fd = tapio_fd(c);
	ck_assert_int_ge(event_fd, 0);
	ck_assert_uint_eq(look(c, &v, 1), 0); /* arms the helper */
}

static void close_handles(void)
{
	tapio_consumer_close(c);
	tapio_producer_close(p);
}

/* ---- the program closes everything and opens its own ----------------------- */

#define OWN 16
static int own[OWN];

static bool readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 10000) == 1;
}

static bool is_own(int fd)
{
	int i;

	for (i = 0; i < OWN; i++)
		if (own[i] == fd)
			return true;
	return false;
}

/* Everything that the library does with descriptors, with the program's in their place. */
static void use_handles(void)
{
	struct tapio_view v[4];
	int i, fd;

	ck_assert(is_own(p->now->client.handle.sock.number));
	ck_assert(is_own(c->now->client.handle.sock.number));
	ck_assert(is_own(event_fd));
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	nap_ms(150); /* the helper would raise its descriptor */
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_int_eq(tapio_consumer_connected(c), 0);
	ck_assert_uint_eq(look(c, v, 4), 4);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(look(c, v, 4), 0);
	/* Another one, that works. */
	fd = tapio_fd(c);
	ck_assert_int_ge(fd, 0);
	ck_assert(!is_own(fd));
	look(c, v, 4);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert(readable(fd));
	ck_assert_uint_eq(look(c, v, 4), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	close_handles();
}

/* As closefrom(3) does it, but for the descriptors of Check. */
static void close_all(void)
{
	const int ours[] = {p->now->client.handle.sock.number,
			    c->now->client.handle.sock.number, event_fd};
	int i;

	for (i = 0; i < 3; i++)
		ck_assert_int_eq(close(ours[i]), 0);
}

/* On fddcec1 the helper's 8 bytes and a DETACH are in the program's file. */
START_TEST(files_of_the_program_at_our_numbers_stay_empty)
{
	char path[] = "/tmp/tapio-guest.XXXXXX";
	struct stat st;
	int i;

	broker_child_start(RIG_CONFIG, NULL);
	open_handles();
	close_all();
	for (i = 0; i < OWN; i++) {
		own[i] = i ? open(path, O_RDWR | O_APPEND) : mkstemp(path);
		ck_assert_int_ge(own[i], 0);
	}
	use_handles();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	for (i = 0; i < OWN; i++)
		ck_assert_int_ge(fcntl(own[i], F_GETFD), 0);
	unlink(path);
	broker_child_kill();
}
END_TEST

START_TEST(sockets_of_the_program_at_our_numbers_are_left_alone)
{
	char byte;
	int i;

	broker_child_start(RIG_CONFIG, NULL);
	open_handles();
	close_all();
	for (i = 0; i < OWN; i += 2)
		ck_assert_int_eq(socketpair(AF_UNIX,
					    SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
					    own + i),
				 0);
	for (i = 0; i < OWN; i++)
		ck_assert_int_eq(send(own[i], "m", 1, 0), 1);
	use_handles();
	/* The message of the peer is there, and nothing else. */
	for (i = 0; i < OWN; i++) {
		ck_assert_int_eq(recv(own[i], &byte, 1, 0), 1);
		ck_assert_int_eq(byte, 'm');
		ck_assert_int_eq(recv(own[i], &byte, 1, 0), -1);
		ck_assert_int_eq(errno, EAGAIN);
	}
	broker_child_kill();
}
END_TEST

/* They have the device and inode of ours. */
START_TEST(eventfds_of_the_program_at_our_numbers_keep_their_count)
{
	uint64_t count;
	int i;

	broker_child_start(RIG_CONFIG, NULL);
	open_handles();
	close_all();
	for (i = 0; i < OWN; i++) {
		own[i] = eventfd(7, EFD_NONBLOCK);
		ck_assert_int_ge(own[i], 0);
	}
	use_handles();
	for (i = 0; i < OWN; i++) {
		ck_assert_int_eq(read(own[i], &count, sizeof(count)),
				 sizeof(count));
		ck_assert_uint_eq(count, 7);
	}
	broker_child_kill();
}
END_TEST

/* The atfork handler closes the child's copies, which may not be ours any more. */
START_TEST(a_child_keeps_what_the_program_has_at_our_numbers)
{
	pid_t pid;
	int i;

	broker_child_start(RIG_CONFIG, NULL);
	open_handles();
	close_all();
	for (i = 0; i < OWN; i++)
		own[i] = eventfd(7, EFD_NONBLOCK);
	pid = fork();
	if (!pid) {
		for (i = 0; i < OWN; i++)
			if (fcntl(own[i], F_GETFD) < 0)
				_exit(1);
		_exit(0);
	}
	ck_assert(child_ok(pid));
	use_handles();
	broker_child_kill();
}
END_TEST

#define MANY 400

/* What is left of the program's descriptors. */
static int still_open(const int *fds)
{
	int i, count = 0;

	for (i = 0; i < MANY; i++)
		count += fcntl(fds[i], F_GETFD) >= 0;
	return count;
}

/* The broker finds at its next tick that it has ended. */
static int await_no_broker(void)
{
	struct tapio_options options = rig.options;
	int i, err = 0;

	options.answer_ns = 100000000;
	for (i = 0; i < 600 && err != -ECONNREFUSED; i++) {
		nap_ms(100);
		err = tapio_producer_open(&p, "t", &options);
		if (!err)
			tapio_producer_close(p);
	}
	return err;
}

/* Its broker is embedded. 0, or where it went wrong. */
static int close_range_with_a_broker(const char *path)
{
	struct rusage before, after;
	int fds[MANY], i, status;
	struct stat st;
	pid_t pid;

	rig_start(RIG_CONFIG);
	p = rig_producer();
	if (close_range(3, ~0U, 0))
		return 10;
	for (i = 0; i < MANY; i++)
		fds[i] = open(path, O_RDWR | O_APPEND);
	pid = fork();
	if (!pid)
		_exit(still_open(fds) != MANY);
	if (waitpid(pid, &status, 0) != pid || status)
		return 11;
	if (tapio_producer_connected(p) || tapio_output(p, TAG, "x", 1))
		return 13;
	tapio_producer_close(p);
	if (await_no_broker() != -ECONNREFUSED)
		return 16;
	getrusage(RUSAGE_SELF, &before);
	nap_ms(300);
	getrusage(RUSAGE_SELF, &after);
	if (after.ru_nvcsw - before.ru_nvcsw > 100 ||
	    after.ru_stime.tv_sec * 1000000 + after.ru_stime.tv_usec >
		    before.ru_stime.tv_sec * 1000000 + before.ru_stime.tv_usec +
			    100000)
		return 12; /* it turns round and round */
	rig_stop();
	if (still_open(fds) != MANY)
		return 14;
	return stat(path, &st) || st.st_size ? 15 : 0;
}

/* On fddcec1, 8 bytes are in the file, and 137 of the descriptors are closed. */
START_TEST(an_embedded_broker_leaves_the_programs_files_alone)
{
	char path[] = "/tmp/tapio-guest.XXXXXX";
	int status, fd = mkstemp(path);
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	pid = fork();
	if (!pid)
		_exit(close_range_with_a_broker(path));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	unlink(path);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status 0x%x",
		      status);
}
END_TEST

/* ---- the program has no stdin, stdout or stderr ------------------------------- */

/* 0: none of ours has such a number, and printed text goes nowhere. */
static int without_stdio(void)
{
	struct tapio_view v;
	int fd;

	for (fd = 0; fd < 3; fd++)
		close(fd);
	if (tapio_producer_open(&p, "t", &rig.options))
		return 10;
	c = rig_consumer("g", TAPIO_GROUP_UNTIL);
	if (tapio_fd(c) < 3)
		return 11;
	for (fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			return 12;
		if (write(fd, "a message of the program", 24) >= 0)
			return 13;
	}
	if (!tapio_producer_connected(p) || !tapio_consumer_connected(c))
		return 14;
	if (tapio_output(p, TAG, "x", 1) || look(c, &v, 1) != 1)
		return 15;
	close_handles();
	return 0;
}

START_TEST(no_descriptor_of_ours_is_stdin_stdout_or_stderr)
{
	int status;
	pid_t pid;

	broker_child_start(RIG_CONFIG, NULL);
	pid = fork();
	if (!pid)
		_exit(without_stdio());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status 0x%x",
		      status);
	broker_child_kill();
}
END_TEST

/* On fddcec1 the program's text goes into the memory of its channels. */
static int broker_without_stdio(void)
{
	struct stat st;
	int fd;

	for (fd = 0; fd < 3; fd++)
		close(fd);
	rig_start(RIG_CONFIG);
	for (fd = 0; fd < 3; fd++) {
		/* The ring of io_uring may be there: it cannot be written. */
		if (!fstat(fd, &st) && st.st_mode & S_IFMT)
			return 20;
		if (write(fd, "a message of the program", 24) >= 0)
			return 21;
	}
	p = rig_producer();
	if (tapio_output(p, TAG, "x", 1))
		return 22;
	tapio_producer_close(p);
	rig_stop();
	return 0;
}

START_TEST(nor_is_one_of_a_broker_in_the_program)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(broker_without_stdio());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status 0x%x",
		      status);
}
END_TEST

/* As tapiod and the tools do it first. */
static int occupied(void)
{
	char byte;
	int fd;

	for (fd = 0; fd < 3; fd += 2)
		close(fd);
	tpi_fd_occupy_stdio();
	if (fcntl(0, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
		return 30;
	if (read(0, &byte, 1) >= 0 || write(2, "x", 1) >= 0)
		return 31;
	/* One that is open stays as it is. */
	if (write(1, "", 0) != 0)
		return 32;
	return open("/dev/null", O_RDONLY) > 2 ? 0 : 33;
}

START_TEST(a_program_can_occupy_them_first)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(occupied());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status 0x%x",
		      status);
}
END_TEST

/* ---- threads ------------------------------------------------------------------ */

static int open_fds(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void *open_and_close(void *arg)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
	};
	struct tapio_observer_options watching = {
		.size = sizeof(watching),
		.broker = rig.options,
	};
	struct tapio_producer *mine;
	struct tapio_consumer *other;
	struct tapio_observer *watcher;
	struct tapio_view v;

	pthread_cancel(pthread_self());
	/* The cancellation waits: each of these runs to its end. */
	if (tapio_producer_open(&mine, "t", &rig.options) ||
	    tapio_consumer_open(&other, "t", &options))
		return NULL;
	if (tapio_observer_open(&watcher, "t", &watching))
		return NULL;
	if (tapio_fd(other) >= 0 && tapio_poll(other, &v, 1, 0) == 0 &&
	    tapio_observe(watcher, &v, 1, 2000000) == 0 &&
	    tapio_consumer_connected(other))
		*(int *)arg += 1;
	tapio_observer_close(watcher);
	tapio_consumer_close(other);
	tapio_producer_close(mine);
	return NULL;
}

/* fddcec1 leaks 25 descriptors and the lock of the list of handles. */
START_TEST(a_cancelled_thread_leaks_nothing)
{
	int before, i, done = 0;
	pthread_t thread;

	broker_child_start(RIG_CONFIG, NULL);
	open_handles();
	before = open_fds();
	for (i = 0; i < 25; i++) {
		ck_assert_int_eq(
			pthread_create(&thread, NULL, open_and_close, &done),
			0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
	ck_assert_int_eq(done, 25);
	ck_assert_int_eq(open_fds(), before);
	close_handles();
	broker_child_kill();
}
END_TEST

START_TEST(much_static_tls_leaves_room_for_our_threads)
{
	struct tapio_view v;

	memset(big, 1, sizeof(big));
	rig_start(RIG_CONFIG);
	open_handles();
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert(readable(event_fd));
	ck_assert_uint_eq(look(c, &v, 1), 1);
	ck_assert_uint_eq(channel_stats(p).side_lane, side_flavour());
	close_handles();
	rig_stop();
}
END_TEST

/* ---- a broker that is stopped ----------------------------------------------------- */

START_TEST(who_does_not_wait_for_a_broker_does_not_wait_for_its_answer)
{
	/* As little as one likes, and the default, which is 5 seconds. */
	static const int64_t answer_ns[] = {1, 20000000, 0};
	static const char *const says[] = {"within 0 ms", "within 20 ms",
					   "within 5000 ms"};
	int i, status;

	broker_child_start(RIG_CONFIG, NULL);
	kill(broker_child, SIGSTOP);
	ck_assert_int_eq(waitpid(broker_child, &status, WUNTRACED),
			 broker_child);
	for (i = 0; i < 3; i++) {
		rig.options.connect_ns = 0;
		rig.options.answer_ns = answer_ns[i];
		ck_assert_int_eq(tapio_producer_open(&p, "t", &rig.options),
				 -ETIMEDOUT);
		ck_assert_msg(strstr(rig.error, says[i]), "%s", rig.error);
	}
	kill(broker_child, SIGCONT);
	rig.options.answer_ns = TAPIO_FOREVER;
	p = rig_producer();
	tapio_producer_close(p);
	rig.options.answer_ns = -2;
	ck_assert_int_eq(tapio_producer_open(&p, "t", &rig.options), -EINVAL);
	ck_assert_ptr_nonnull(strstr(rig.error, "answer_ns is -2"));
	broker_child_kill();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client guest");
	TCase *t = tcase_create("guest");

	tcase_add_test(t, files_of_the_program_at_our_numbers_stay_empty);
	tcase_add_test(t, sockets_of_the_program_at_our_numbers_are_left_alone);
	tcase_add_test(t,
		       eventfds_of_the_program_at_our_numbers_keep_their_count);
	tcase_add_test(t, a_child_keeps_what_the_program_has_at_our_numbers);
	tcase_add_test(t, no_descriptor_of_ours_is_stdin_stdout_or_stderr);
	tcase_add_test(t, nor_is_one_of_a_broker_in_the_program);
	tcase_add_test(t, a_program_can_occupy_them_first);
	tcase_add_test(t, an_embedded_broker_leaves_the_programs_files_alone);
	tcase_add_test(t, a_cancelled_thread_leaks_nothing);
	tcase_add_test(t, much_static_tls_leaves_room_for_our_threads);
	tcase_add_test(
		t, who_does_not_wait_for_a_broker_does_not_wait_for_its_answer);
	suite_add_tcase(suite, t);
	return check_run(suite);
}
