/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-ebpf against a real tapiod: its settings, its end, and a broker that dies
 * and is replaced by another one.
 */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/cli/running.h"
#include "tools/common/tool.h"

#define COLLECTOR    "tapio-collect-ebpf"
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char config[] =
	"channel events {\n"
	"	class critical { block = 1024 blocks = 1024 priority = 1 }\n"
	"	class main { block = 1024 blocks = 4096 }\n"
	"}\n";

static struct test_broker broker;

static const struct {
	const char *arguments[3];
	const char *message;
} wrong_usages[] = {
	{{"--sources", "process,exits"}, "not a list of process"},
	{{"--sources", "open"}, "the source open needs open-prefix"},
	{{"--open-prefix", "etc"}, "'etc' is not an absolute path"},
	{{"--ring", "5000"}, "not a power of two"},
	{{"--ring", "1K"}, "--ring"},
	{{"--interval", "1ms"}, "--interval"},
};

START_TEST(wrong_usage_is_named_and_ends_with_2)
{
	command_refuses(COLLECTOR, wrong_usages[_i].arguments,
			wrong_usages[_i].message);
}
END_TEST

START_TEST(check_loads_the_programs_and_says_what_it_can)
{
	struct command c;

	command_run(&c, COLLECTOR, "--check", "--sources=process,tcp,oom",
		    NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_ptr_nonnull(
		strstr(c.err, "this kernel can tell of: process, oom, tcp"));
	command_free(&c);
}
END_TEST

/* ---- with a broker ---------------------------------------------------------------- */

#define AGAIN_NS INT64_C(100000000)
#define LIMIT_NS INT64_C(60000000000)

/* A connection to a port where no process listens. */
static void connect_in_vain(uint16_t port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = {htonl(INADDR_LOOPBACK)},
	};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(
		connect(s, (const struct sockaddr *)&address, sizeof(address)),
		-1);
	close(s);
}

/* Bound, so that no other process takes it, and with `listens` an existing socket. */
static uint16_t take_port(bool listens)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = {htonl(INADDR_LOOPBACK)},
	};
	socklen_t length = sizeof(address);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(s, (struct sockaddr *)&address, length), 0);
	ck_assert_int_eq(getsockname(s, (struct sockaddr *)&address, &length),
			 0);
	if (listens)
		ck_assert_int_eq(listen(s, 1), 0);
	return ntohs(address.sin_port);
}

/*
 * Connects, again and again since the collector may only begin, until the tail shows it. The
 * host may have many other connections, so lines are read all the time.
 */
static void see_connect(struct running *tail)
{
	const int64_t end_ns = tpi_monotonic_ns() + LIMIT_NS;
	int64_t again_ns = 0, now_ns;
	const uint16_t port = take_port(false);
	char wanted[32];

	snprintf(wanted, sizeof(wanted), " peer_port=%u ", port);
	while ((now_ns = tpi_monotonic_ns()) < end_ns) {
		const char *line;

		if (now_ns >= again_ns) {
			again_ns = now_ns + AGAIN_NS;
			connect_in_vain(port);
		}
		if (!running_ready(tail, 20))
			continue;
		line = running_line(tail);
		ck_assert_ptr_nonnull(line);
		if (strstr(line, "operation=connect") && strstr(line, wanted))
			return;
	}
	ck_abort_msg("no event of a connect to port %u", port);
}

/* It is killed at the end: with its output unread it may hang in a write. */
static void start_tail(struct running *tail)
{
	running_start(tail, "tapio-tail", "--wait", "-t", "network.connection",
		      "events", NULL);
}

/*
 * "emitted N (kind n, ...), dropped 0": N is the sum. The host may have more connections at once
 * than there is room for, so others may be lost.
 */
static bool adds_up(const char *summary)
{
	unsigned long sum, count = 0, part;
	const char *at;
	int length;

	if (!summary || sscanf(summary, "emitted %lu%n", &sum, &length) != 1)
		return false;
	at = summary + length;
	while (sscanf(at, "%*[ (,] %*[a-z-] %lu%n", &part, &length) == 1) {
		count += part;
		at += length;
	}
	return sum > 0 && sum == count && !strncmp(at, "), dropped 0", 12);
}

START_TEST(it_ends_on_a_signal_with_a_summary_that_adds_up)
{
	struct running collector, tail;
	char said[1024];

	test_broker_start(&broker, config);
	start_tail(&tail);
	take_port(true);
	running_start(&collector, COLLECTOR, "--wait", "-S", "tcp,existing",
		      NULL);
	see_connect(&tail);
	ck_assert_int_eq(running_stop(&collector, SIGTERM), 0);
	running_errors(&collector, said, sizeof(said));
	ck_assert_msg(adds_up(strstr(said, "emitted ")), "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "existing-socket "));
	running_stop(&tail, SIGKILL);
	test_broker_stop(&broker);
}
END_TEST

START_TEST(it_outlives_its_broker_and_goes_on_with_the_next_one)
{
	struct running collector, tail;

	test_broker_start(&broker, config);
	start_tail(&tail);
	running_start(&collector, COLLECTOR, "--wait", "-S", "tcp", NULL);
	see_connect(&tail);
	running_stop(&tail, SIGKILL);
	test_broker_kill(&broker);
	test_broker_restart(&broker);
	start_tail(&tail);
	see_connect(&tail);
	ck_assert_int_eq(running_stop(&collector, SIGTERM), 0);
	running_stop(&tail, SIGKILL);
	test_broker_stop(&broker);
}
END_TEST

START_TEST(an_end_of_the_broker_is_named_and_ends_with_5)
{
	struct running collector, tail;
	char said[1024];

	test_broker_start(&broker, config);
	start_tail(&tail);
	running_start(&collector, COLLECTOR, "-S", "tcp", NULL);
	see_connect(&tail);
	test_broker_kill(&broker);
	ck_assert_int_eq(running_wait(&collector), 5);
	running_errors(&collector, said, sizeof(said));
	ck_assert_ptr_nonnull(strstr(said, "has gone"));
	running_stop(&tail, SIGKILL);
	test_broker_stop(&broker);
}
END_TEST

int main(void)
{
	TCase *tests;

	/* Its last line says why not. */
	if (system(TAPIO_BIN "/" COLLECTOR " --check -S tcp 2>&1"))
		return 77;
	tests = tcase_create("collect_ebpf");
	tcase_add_loop_test(tests, wrong_usage_is_named_and_ends_with_2, 0,
			    COUNT(wrong_usages));
	tcase_add_test(tests, check_loads_the_programs_and_says_what_it_can);
	tcase_add_test(tests, it_ends_on_a_signal_with_a_summary_that_adds_up);
	tcase_add_test(tests,
		       it_outlives_its_broker_and_goes_on_with_the_next_one);
	tcase_add_test(tests, an_end_of_the_broker_is_named_and_ends_with_5);
	return check_run_case("collect_ebpf", tests);
}
