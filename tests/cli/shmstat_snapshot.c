/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat snapshot FILE`, and every look at --file FILE afterwards. */
#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_world.h"
#include "command.h"
#include "tests/check_main.h"
#include "tools/inspect/snapshot.h"

static struct check_world w;
static struct command run;
#define STRANGER 4321

static char folder[96], file[128], other[128], pid[16];

static void setup(void)
{
	check_world_open(&w);
	snprintf(folder, sizeof(folder), "%s/snapshots", w.broker.directory);
	snprintf(file, sizeof(file), "%s/a", folder);
	snprintf(other, sizeof(other), "%s/b", folder);
	snprintf(pid, sizeof(pid), "%d", (int)w.broker.daemon.pid);
	ck_assert_int_eq(mkdir(folder, 0755), 0);
}

static void teardown(void)
{
	command_free(&run);
	unlink(file);
	unlink(other);
	rmdir(folder);
	check_world_close(&w);
}

#define RUN(...)                                                               \
	({                                                                     \
		command_free(&run);                                            \
		command_run(&run, "tapio-shmstat", __VA_ARGS__, (char *)NULL); \
		run.status;                                                    \
	})

#define EXPECT(wanted, ...)                                                    \
	do {                                                                   \
		int status_ = RUN(__VA_ARGS__);                                \
		ck_assert_msg(status_ == (wanted), "status %d\n%s%s", status_, \
			      run.out, run.err);                               \
	} while (0)

/* The broker is stopped, so its memory stands still. */
static void take(void)
{
	EXPECT(0, "--pid", pid, "snapshot", file);
}

static json_t *parse(void)
{
	json_error_t why;
	json_t *look = json_loads(run.out, JSON_REJECT_DUPLICATES, &why);

	ck_assert_msg(look != NULL, "%s\n%s%s", why.text, run.out, run.err);
	return look;
}

/* No file but these in the folder, of which there are so many. */
static void expect_files(int wanted)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	ck_assert_int_eq(count, wanted);
}

/* The broker is stopped, which is a fault, so most of what is read has status 1. */

/* ---- what it shows ---------------------------------------------------------------- */

/* Of processes, only whether they are there is of another time. */
START_TEST(a_snapshot_shows_what_the_memory_shows)
{
	static const char *const parts[] = {"channels", "segments", "lanes",
					    "groups",   "clients",  "ledger",
					    "latency",  "layout",   "counters"};
	json_t *live, *then;

	take();
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		RUN("--json", "--pid", pid, parts[i]);
		live = parse();
		EXPECT(run.status, "--json", "--file", file, parts[i]);
		then = parse();
		ck_assert_ptr_nonnull(json_object_get(live, parts[i]));
		/* A member is watched for a moment, to see whether it polls. */
		if (strcmp(parts[i], "clients") != 0)
			ck_assert_msg(
				json_equal(json_object_get(live, parts[i]),
					   json_object_get(then, parts[i])),
				"%s: %s", parts[i], run.out);
		ck_assert_str_eq(
			json_string_value(json_object_get(
				json_object_get(then, "source"), "from")),
			"file");
		json_decref(live);
		json_decref(then);
	}
}
END_TEST

START_TEST(text_begins_with_the_time_and_the_host)
{
	char host[64] = "", begins[160];

	take();
	EXPECT(1, "--file", file);
	ck_assert_msg(!strncmp(run.out, "snapshot of 20", 14), "%s", run.out);
	gethostname(host, sizeof(host) - 1);
	snprintf(begins, sizeof(begins), " UTC, host %s (Linux ", host);
	ck_assert_msg(strstr(run.out, begins), "%s", run.out);
	ck_assert_str_eq(run.err, "");
}
END_TEST

/* Its number may be another's today. */
START_TEST(a_process_is_what_it_was_then)
{
	json_t *look, *row;
	size_t i, mine = 0;

	take();
	kill(w.broker.daemon.pid, SIGKILL);
	EXPECT(1, "--json", "--file", file, "broker", "clients");
	look = parse();
	ck_assert_str_eq(json_string_value(json_object_get(
				 json_object_get(look, "broker"), "process")),
			 "stopped");
	json_array_foreach(json_object_get(look, "clients"), i, row)
	{
		ck_assert_str_eq(
			json_string_value(json_object_get(row, "process")),
			"running");
		ck_assert(json_is_null(json_object_get(row, "polls")));
		mine += json_integer_value(json_object_get(row, "pid")) ==
			getpid();
	}
	ck_assert_uint_eq(mine, 3);
	json_decref(look);
}
END_TEST

START_TEST(a_check_of_it_finds_what_is_broken_and_nothing_else)
{
	struct tapio_shm_lane *lane =
		check_world_writable(&w, (const void *)w.idle->shm);

	take();
	EXPECT(1, "--file", file, "check");
	ck_assert_ptr_nonnull(
		strstr(run.out, "0 broken, 0 suspicious, 0 unsettled"));
	lane->state = TAPIO_STATE(64, 65);
	EXPECT(0, "--pid", pid, "snapshot", "--force", file);
	EXPECT(1, "--file", file, "check");
	ck_assert_ptr_nonnull(strstr(run.out, "lane.held broken"));
	ck_assert_ptr_nonnull(
		strstr(run.out, "1 broken, 0 suspicious, 0 unsettled"));
}
END_TEST

static void check_file(uint32_t clear, uint32_t broken, uint32_t unsettled)
{
	const struct tpi_inspect_options options = {.file = file};
	struct tpi_check_report report;
	struct tpi_inspect *inspect;
	uint32_t *mark;
	char why[512];

	ck_assert_msg(!tpi_inspect_open(&inspect, &options, why, sizeof(why)),
		      "%s", why);
	mark = &inspect->snapshot->marks[0][w.idle->id];
	ck_assert_uint_eq(*mark,
			  TPI_LANE_WHOLE | TPI_LANE_TICKETS | TPI_LANE_STILL);
	*mark &= ~clear;
	check_world_check(&(struct check_world){.inspect = inspect}, &report);
	ck_assert_uint_eq(report.of[TPI_BROKEN], broken);
	ck_assert_uint_eq(report.of[TPI_SUSPICIOUS], 0);
	ck_assert_uint_eq(report.of[TPI_UNSETTLED], unsettled);
	tpi_check_free(&report);
	tpi_inspect_close(inspect);
}

/* The same words, of a lane that moved while they were copied, are no fact. */
START_TEST(what_moved_is_unsettled)
{
	struct tapio_shm_lane *lane =
		check_world_writable(&w, (const void *)w.idle->shm);

	lane->state = TAPIO_STATE(64, 65);
	take();
	check_file(0, 1, 0);
	check_file(TPI_LANE_STILL, 1, 0);
	check_file(TPI_LANE_WHOLE, 0, 1);
}
END_TEST

/* ---- the file --------------------------------------------------------------------- */

static bool has_bytes(const char *path, const void *bytes, size_t count)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	bool found;
	char *all;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	all = malloc((size_t)st.st_size);
	ck_assert_uint_eq(fread(all, 1, (size_t)st.st_size, f),
			  (size_t)st.st_size);
	fclose(f);
	found = memmem(all, (size_t)st.st_size, bytes, count) != NULL;
	free(all);
	return found;
}

START_TEST(only_its_owner_may_read_it_and_it_is_sparse)
{
	struct stat st;

	umask(0);
	take();
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_lt(st.st_blocks * 512, st.st_size / 2);
	expect_files(1);
}
END_TEST

START_TEST(events_are_left_out_on_demand_and_counts_stay)
{
	static const char secret[] = "a secret in an event, of 32 bytes";
	json_t *with, *without;

	kill(w.broker.daemon.pid, SIGCONT);
	ck_assert_int_eq(tapio_output(w.producer, TAPIO_TAG(100, 5), secret,
				      sizeof(secret)),
			 0);
	kill(w.broker.daemon.pid, SIGSTOP);
	take();
	ck_assert(has_bytes(file, secret, sizeof(secret)));
	EXPECT(0, "--pid", pid, "snapshot", "--no-events", other);
	ck_assert_ptr_nonnull(strstr(run.out, "without events"));
	ck_assert(!has_bytes(other, secret, sizeof(secret)));
	EXPECT(1, "--json", "--file", file, "ledger");
	with = parse();
	EXPECT(1, "--json", "--file", other, "ledger");
	without = parse();
	ck_assert(json_equal(json_object_get(with, "ledger"),
			     json_object_get(without, "ledger")));
	json_decref(with);
	json_decref(without);
	EXPECT(1, "--file", other, "check");
	ck_assert_ptr_nonnull(strstr(run.out,
				     "0 broken, 0 suspicious, 0 unsettled, 1 "
				     "fault"));
}
END_TEST

START_TEST(a_file_is_overwritten_on_demand_only)
{
	take();
	EXPECT(1, "--pid", pid, "snapshot", file);
	ck_assert_ptr_nonnull(strstr(run.err, "--force overwrites it"));
	EXPECT(0, "--pid", pid, "snapshot", "--force", file);
	expect_files(1);
	EXPECT(1, "--file", file);
	/* Only a regular file is ever replaced. */
	ck_assert_int_eq(mkfifo(other, 0600), 0);
	EXPECT(1, "--pid", pid, "snapshot", "--force", other);
	ck_assert_ptr_nonnull(strstr(run.err, "no regular file"));
	EXPECT(1, "--pid", pid, "snapshot", "--force", folder);
	EXPECT(1, "--pid", pid, "snapshot", "/nowhere/at/all");
	EXPECT(2, "--pid", pid, "snapshot");
	EXPECT(2, "--file", file, "snapshot", other);
	EXPECT(2, "instances", "--file", file);
	ck_assert_ptr_nonnull(strstr(run.err, "needs live memory"));
	expect_files(2);
}
END_TEST

/* Runs a command of the shell, in which FOLDER, PID and TOOL are set. */
static int in_shell(const char *script)
{
	char text[1024];
	int status;

	snprintf(text, sizeof(text),
		 "TOOL=%s/tapio-shmstat FOLDER=%s PID=%s; %s", TAPIO_BIN,
		 folder, pid, script);
	status = system(text);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(without_room_nothing_is_left_behind)
{
	/* A limit of file sizes, in KiB or half of that. */
	ck_assert_int_eq(in_shell("ulimit -f 64; \"$TOOL\" --pid $PID snapshot "
				  "$FOLDER/a 2>&1 | grep -q 'File too large.*"
				  "nothing was left behind'"),
			 0);
	expect_files(0);
	/* And a file system that is full: root may make one of its own. */
	ck_assert_int_eq(
		in_shell("unshare -m true 2>/dev/null || exit 0; "
			 "unshare -m sh -c 'mount -t tmpfs -o size=64k none "
			 "'$FOLDER' || exit 0; '$TOOL' --pid '$PID' snapshot "
			 "'$FOLDER'/a 2>&1 | grep -q \"No space left.*nothing "
			 "was left behind\" && [ -z \"$(ls -A '$FOLDER')\" ]'"),
		0);
}
END_TEST

/* ---- what is none ----------------------------------------------------------------- */

static void write_file(const char *path, const void *bytes, size_t count)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, count, f), count);
	fclose(f);
}

/* On commit f2f04f3 the status of each was 1, as of memory with a fault. */
START_TEST(what_is_no_snapshot_is_said_at_once)
{
	static const char text[] = "not a snapshot, but long enough for one, "
				   "as far as its header goes";
	static const char *const commands[] = {"check", "why", "advise"};

	EXPECT(3, "--file", file);
	ck_assert_ptr_nonnull(strstr(run.err, "No such file"));
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		EXPECT(3, "--file", file, commands[i]);
	EXPECT(3, "--file", file, "--explain", "counters");
	EXPECT(3, "--file", "/dev/zero/a");
	EXPECT(6, "--file", folder);
	ck_assert_ptr_nonnull(strstr(run.err, "no regular file"));
	EXPECT(6, "--file", "/dev/zero");
	ck_assert_ptr_nonnull(strstr(run.err, "no regular file"));
	ck_assert_int_eq(mkfifo(other, 0600), 0);
	EXPECT(6, "--file", other); /* and nobody writes to it */
	ck_assert_ptr_nonnull(strstr(run.err, "no regular file"));
	write_file(file, "", 0);
	EXPECT(6, "--file", file);
	write_file(file, text, sizeof(text));
	EXPECT(6, "--file", file);
	ck_assert_ptr_nonnull(strstr(run.err, "it is no snapshot"));
}
END_TEST

START_TEST(a_snapshot_without_the_right_to_it_is_status_5)
{
	if (geteuid()) {
		puts("becoming another user needs root");
		exit(77);
	}
	take();
	ck_assert_int_eq(setresuid(STRANGER, STRANGER, 0), 0);
	EXPECT(5, "--file", file);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	ck_assert_ptr_nonnull(strstr(run.err, "Permission denied"));
}
END_TEST

static struct tpi_snapshot_header read_header(void)
{
	struct tpi_snapshot_header h;
	FILE *f = fopen(file, "re");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(&h, sizeof(h), 1, f), 1);
	fclose(f);
	return h;
}

static void write_at(long offset, const void *bytes, size_t count)
{
	FILE *f = fopen(file, "r+e");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, offset, SEEK_SET), 0);
	ck_assert_uint_eq(fwrite(bytes, count, 1, f), 1);
	fclose(f);
}

static void expect_refusal(int status, const char *why)
{
	EXPECT(status, "--file", file, "lanes");
	ck_assert_msg(strstr(run.err, why), "%s", run.err);
	ck_assert_str_eq(run.out, "");
}

START_TEST(a_damaged_file_is_refused_with_the_place)
{
	struct tpi_snapshot_header good, h;
	struct stat st;

	take();
	good = h = read_header();
	h.section_count++;
	write_at(0, &h, sizeof(h));
	expect_refusal(6, "its header is damaged");
	h = good;
	h.version = 77;
	write_at(0, &h, sizeof(h));
	expect_refusal(4, "version 77, this program knows 1");
	write_at(0, &good, sizeof(good));
	write_at(TPI_SNAPSHOT_PAGE + 24, "x", 1);
	expect_refusal(6, "its table is damaged");
	EXPECT(0, "--pid", pid, "snapshot", "--force", file);
	ck_assert_int_eq(stat(file, &st), 0);
	write_at((long)st.st_size - TPI_SNAPSHOT_PAGE + 8, "damage", 6);
	expect_refusal(6, "is damaged: digest");
	EXPECT(0, "--pid", pid, "snapshot", "--force", file);
	ck_assert_int_eq(truncate(file, st.st_size / 2), 0);
	expect_refusal(6, "it was cut, copy it again");
	ck_assert_int_eq(truncate(file, 20), 0);
	expect_refusal(6, "20 bytes are no snapshot");
}
END_TEST

/* A copy without holes is the same snapshot. */
START_TEST(a_copy_without_holes_is_read_too)
{
	struct stat st;

	take();
	ck_assert_int_eq(in_shell("cp --sparse=never $FOLDER/a $FOLDER/b"), 0);
	ck_assert_int_eq(stat(other, &st), 0);
	ck_assert_int_ge(st.st_blocks * 512, st.st_size);
	EXPECT(1, "--file", other, "check");
}
END_TEST

START_TEST(an_operator_may_ask_for_json)
{
	json_t *report;

	EXPECT(0, "--json", "--pid", pid, "snapshot", file);
	report = parse();
	ck_assert_str_eq(json_string_value(json_object_get(report, "file")),
			 file);
	ck_assert_int_eq(
		json_integer_value(json_object_get(report, "lanes_moved")), 0);
	ck_assert_int_gt(
		json_integer_value(json_object_get(report, "segments")),
		TAPIO_GROUP_SLOTS);
	json_decref(report);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("snapshot");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_snapshot_shows_what_the_memory_shows);
	tcase_add_test(t, text_begins_with_the_time_and_the_host);
	tcase_add_test(t, a_process_is_what_it_was_then);
	tcase_add_test(t, a_check_of_it_finds_what_is_broken_and_nothing_else);
	tcase_add_test(t, what_moved_is_unsettled);
	tcase_add_test(t, only_its_owner_may_read_it_and_it_is_sparse);
	tcase_add_test(t, events_are_left_out_on_demand_and_counts_stay);
	tcase_add_test(t, a_file_is_overwritten_on_demand_only);
	tcase_add_test(t, without_room_nothing_is_left_behind);
	tcase_add_test(t, what_is_no_snapshot_is_said_at_once);
	tcase_add_test(t, a_snapshot_without_the_right_to_it_is_status_5);
	tcase_add_test(t, a_damaged_file_is_refused_with_the_place);
	tcase_add_test(t, a_copy_without_holes_is_read_too);
	tcase_add_test(t, an_operator_may_ask_for_json);
	return check_run_case("shmstat_snapshot", t);
}
