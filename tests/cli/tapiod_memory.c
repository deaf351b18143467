/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod in a control group that is too small for it, with real groups. On commit
 * fddcec1 the OOM killer ends it without a word.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/memory/cgroup.h"
#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/cli/daemon.h"

#define MIB (UINT64_C(1) << 20)
/* For the processes of a test themselves. A sanitizer takes much more. */
#define SLACK ((CHECK_SANITIZED ? 256 : 8) * MIB)

#define LARGE                                \
	"budget = 512M\nhugepages = never\n" \
	"channel events { class c { block = 4096 blocks = 32768 } }"

/* A group of ours, for one controller. */
struct group {
	char directory[256]; /* "": there can be none, for this reason: */
	char reason[400];
	char enabled
		[160]; /* where the controller has been switched on for it */
	int version;
};

static struct group memory, hugetlb;
static struct command command;

static bool put(const char *directory, const char *file, const char *text)
{
	char path[320];
	int fd;
	bool done;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, text, strlen(text)) > 0;
	if (fd >= 0)
		close(fd);
	return done;
}

/* Do groups below have this controller? */
static bool has(const char *directory, const char *controller)
{
	char path[320], text[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", directory);
	file = fopen(path, "re");
	if (file && !fgets(text, sizeof(text), file))
		text[0] = '\0';
	if (file)
		fclose(file);
	return strstr(text, controller) != NULL;
}

/* Below the root that can be seen, so that no limit of ours is above it. */
static void make_group(struct group *group,
		       const struct tpi_cgroup_place *place,
		       const char *controller, const char *limit_file)
{
	char top[160], enable[32], file[320];

	if (!place->directory) {
		snprintf(group->reason, sizeof(group->reason),
			 "no cgroup of %s: %s", controller,
			 place->unknown ? place->unknown
					: "no such controller");
		return;
	}
	group->version = place->version;
	snprintf(top, sizeof(top), "%.*s", (int)place->top, place->directory);
	snprintf(enable, sizeof(enable), "+%s", controller);
	if (place->version == 2 && !has(top, controller) &&
	    put(top, "cgroup.subtree_control", enable))
		strcpy(group->enabled, top);
	snprintf(group->directory, sizeof(group->directory), "%s/tapio-%s-%d",
		 top, controller, getpid());
	snprintf(file, sizeof(file), "%s/%s", group->directory, limit_file);
	if (!mkdir(group->directory, 0755) && !access(file, W_OK))
		return;
	snprintf(group->reason, sizeof(group->reason), "%s: %s", file,
		 strerror(errno));
	rmdir(group->directory);
	group->directory[0] = '\0';
}

/* In the parent of all tests. */
static void make_groups(void)
{
	struct tpi_cgroups found;

	if (tpi_cgroups_find(&found, ""))
		abort();
	make_group(&memory, &found.memory, "memory",
		   found.memory.version == 1 ? "memory.limit_in_bytes"
					     : "memory.max");
	make_group(&hugetlb, &found.hugetlb, "hugetlb",
		   found.hugetlb.version == 1 ? "hugetlb.2MB.limit_in_bytes"
					      : "hugetlb.2MB.max");
	tpi_cgroups_free(&found);
}

/* A process that died leaves its group a little later. */
static void remove_group(struct group *group, const char *disable)
{
	for (int i = 0; i < 200 && *group->directory; i++) {
		if (!rmdir(group->directory) || errno != EBUSY)
			break;
		usleep(10000);
	}
	if (*group->enabled)
		put(group->enabled, "cgroup.subtree_control", disable);
}

static void remove_groups(void)
{
	remove_group(&memory, "-memory");
	remove_group(&hugetlb, "-hugetlb");
}

/* Into the group, with this limit. False: this machine has no such group. */
static bool enter(const struct group *group, const char *file, uint64_t bytes)
{
	char text[32];

	if (!*group->directory) {
		printf("not tried: %s\n", group->reason);
		return false;
	}
	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	ck_assert_msg(put(group->directory, file, text), "%s: %s", file,
		      strerror(errno));
	/* The process that writes, and all that it starts. */
	ck_assert(put(group->directory, "cgroup.procs", "0"));
	return true;
}

static bool enter_memory(uint64_t bytes)
{
	return enter(&memory,
		     memory.version == 1 ? "memory.limit_in_bytes"
					 : "memory.max",
		     bytes);
}

static void config(const char *text)
{
	FILE *out = fopen(daemon_config, "w");

	fputs(text, out);
	fclose(out);
}

static void says(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %s", part,
		      text);
}

/* tapiod with the configuration. `log` is a file. */
static pid_t start(const char *log)
{
	pid_t pid = fork();

	if (!pid) {
		dup2(open(log, O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
		execl(TAPIO_BIN "/tapiod", "tapiod", "--socket", daemon_socket,
		      "--config", daemon_config, "--log-level=info",
		      "--no-keeper", (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* ---- memory ------------------------------------------------------------------------ */

START_TEST(more_than_the_group_may_have_is_refused_with_the_numbers)
{
	if (!enter_memory(100 * MIB))
		return;
	config(LARGE);
	command_run(&command, "tapiod", "--socket", daemon_socket, "--config",
		    daemon_config, NULL);
	ck_assert_int_eq(command.status, 3);
	says(command.err, "channel \"events\" takes most, 275");
	says(command.err, "of 104857600 are left in the cgroup");
	says(command.err, memory.directory);
	says(command.err, "raise that limit");
	ck_assert(!daemon_answers());
	command_free(&command);
}
END_TEST

START_TEST(the_check_says_it_before)
{
	if (!enter_memory(100 * MIB))
		return;
	config(LARGE);
	command_run(&command, "tapiod", "--check", daemon_config, NULL);
	ck_assert_int_eq(command.status, 3);
	says(command.out, "DOES NOT FIT");
	says(command.out, memory.directory);
	says(command.err, "of 104857600 are left in the cgroup");
	command_free(&command);
	/* Of another machine these limits say nothing. */
	command_run(&command, "tapiod", "--check", daemon_config,
		    "--simulate=2", NULL);
	ck_assert_int_eq(command.status, 0);
	command_free(&command);
}
END_TEST

/* The limit is that of the table, and what the processes of this test have besides. */
START_TEST(what_is_said_to_fit_starts)
{
	static char row[] = "cgroup: memory, page tables too";
	uint64_t takes = 0;
	const char *at;
	pid_t pid;

	config(LARGE);
	command_run(&command, "tapiod", "--check", daemon_config, NULL);
	ck_assert_int_eq(command.status, 0);
	at = strstr(command.out, row);
	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(sscanf(at + strlen(row), " - %" SCNu64, &takes), 1);
	ck_assert_uint_gt(takes, 275 * 1000 * 1000);
	command_free(&command);
	if (!enter_memory(takes + SLACK))
		return;
	pid = start("/dev/null");
	ck_assert(daemon_comes());
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
}
END_TEST

/*
 * Around the size of the large segment, and of the whole: a start succeeds or is refused.
 * It is never killed for page tables that were not counted.
 */
START_TEST(a_start_that_just_fits_is_not_killed)
{
	if (!enter_memory(283 * MIB))
		return;
	config(LARGE);
	for (uint64_t kib = 259 * 1024; kib < 272 * 1024; kib += 256) {
		pid_t pid;
		char text[32];
		int status;

		snprintf(text, sizeof(text), "%" PRIu64, kib * 1024);
		put(memory.directory,
		    memory.version == 1 ? "memory.limit_in_bytes"
					: "memory.max",
		    text);
		pid = start("/dev/null");
		while (!daemon_answers() && !waitpid(pid, &status, WNOHANG))
			usleep(1000);
		if (daemon_answers())
			ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
		else
			ck_assert_msg(WIFEXITED(status) &&
					      WEXITSTATUS(status) == 3,
				      "%" PRIu64 " KiB: %d", kib, status);
	}
}
END_TEST

/* ---- huge pages --------------------------------------------------------------------- */

/* The limit when pages are in use, and when they are mapped. */
static const char *const huge_files[2][2] = {
	{"hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.rsvd.limit_in_bytes"},
	{"hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"},
};

static bool enter_huge(int which)
{
	const char *other = huge_files[hugetlb.version == 2][!which];

	put(hugetlb.directory, other, hugetlb.version == 2 ? "max" : "-1");
	return enter(&hugetlb, huge_files[hugetlb.version == 2][which],
		     4 * MIB);
}

START_TEST(huge_pages_beyond_the_limit_are_done_without)
{
	char log[80], text[4096] = "";
	pid_t pid;
	int fd;

	if (!enter_huge(_i))
		return;
	config("channel events { class c { block = 4096 blocks = 1024 } }");
	snprintf(log, sizeof(log), "%s/log", daemon_directory);
	pid = start(log);
	ck_assert(daemon_comes());
	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "--json", "segments", NULL);
	says(command.out, "\"hugetlb\": \"EDQUOT\"");
	command_free(&command);
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
	fd = open(log, O_RDONLY);
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	unlink(log);
	says(text, "of 4194304 bytes are left in the cgroup");
	says(text, huge_files[hugetlb.version == 2][_i]);
}
END_TEST

START_TEST(huge_pages_that_are_required_are_refused)
{
	if (!enter_huge(_i))
		return;
	config("hugepages = require\n"
	       "channel events { class c { block = 4096 blocks = 1024 } }");
	command_run(&command, "tapiod", "--socket", daemon_socket, "--config",
		    daemon_config, NULL);
	ck_assert_int_eq(command.status, 3);
	says(command.err, "of 4194304 are left in the cgroup");
	says(command.err, huge_files[hugetlb.version == 2][_i]);
	command_free(&command);
	command_run(&command, "tapiod", "--check", daemon_config, NULL);
	ck_assert_int_eq(command.status, 3);
	says(command.out, "DOES NOT FIT");
	command_free(&command);
}
END_TEST

int main(void)
{
	TCase *c;

	make_groups();
	if (!*memory.directory && !*hugetlb.directory) {
		printf("no cgroup can be made: %s\n", memory.reason);
		return 77;
	}
	c = tcase_create("memory");
	tcase_set_timeout(c, 60);
	tcase_add_unchecked_fixture(c, NULL, remove_groups);
	tcase_add_checked_fixture(c, daemon_set_up, daemon_tear_down);
	tcase_add_test(
		c, more_than_the_group_may_have_is_refused_with_the_numbers);
	tcase_add_test(c, the_check_says_it_before);
	tcase_add_test(c, what_is_said_to_fit_starts);
	tcase_add_test(c, a_start_that_just_fits_is_not_killed);
	tcase_add_loop_test(c, huge_pages_beyond_the_limit_are_done_without, 0,
			    2);
	tcase_add_loop_test(c, huge_pages_that_are_required_are_refused, 0, 2);
	return check_run_case("tapiod_memory", c);
}
