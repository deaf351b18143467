/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See points.h: processes, and the check. The test is a member of the group "h" that never
 * looks (the anchor), so that the group does not end with an actor. It opens another one to
 * read when an actor is dead, or where an act needs a reader.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tests/fault/points.h"
#include "tests/unit/client_fixture.h"
#include "tools/inspect/check.h"

#define TICK_NS  UINT64_C(20000000)
#define LIMIT_NS INT64_C(60000000000)
#define CHILDREN 8
#define BACKLOG  20
/* A fifth of a second, or more. */
#define GRACE_TURNS 1000
#define LAP         48 /* three laps of a lane of "a" */
#define CLASSES                                                         \
	"class small { block = 64\n blocks = 16\n side_blocks = 16\n"   \
	"side_lanes = 12 }\n"                                           \
	"class large { block = 8192\n blocks = 16\n side_blocks = 16\n" \
	"side_lanes = 12 }\n"
#define CLASS                                                        \
	"class main { block = 64\n blocks = 64\n side_blocks = 64\n" \
	"side_lanes = 4 }\n"
#define CONFIG                                                                 \
	"channel a { stamp = tsc\n full = \"wait\"\n wait = \"50s\"\n" CLASSES \
	"}\nchannel b { stamp = none\n" CLASS                                  \
	"}\nchannel v { stamp = none\n" CLASS                                  \
	"}\nchannel i { stamp = none\n isolation = process\n"                  \
	"producers_max = 4\n class main { block = 64\n blocks = 64 }}\n"       \
	"channel t { stamp = none\n full = \"wait\"\n wait = \"50s\"\n"        \
	"class main { block = 64\n blocks = 256\n side_blocks = 256\n"         \
	"side_lanes = 4 }}\n"                                                  \
	"allow anybody { any = true role = {produce, consume, inspect,\n"      \
	"lossless, durable} }\n"

/* ---- children ---------------------------------------------------------------------------- */

static struct child {
	pid_t pid;
	int status;
	bool ended;
} children[CHILDREN];

static struct child *child_of(pid_t pid)
{
	for (int i = 0; i < CHILDREN; i++)
		if (children[i].pid == pid)
			return &children[i];
	return NULL;
}

/* Also brokers whose keeper has died: they are ours then. */
static void reap(void)
{
	struct child *child;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		child = child_of(pid);
		if (!child)
			continue;
		child->status = status;
		child->ended = true;
	}
}

static struct child *start(void (*body)(void), int part)
{
	struct child *child = child_of(0);

	ck_assert_ptr_nonnull(child);
	child->ended = false;
	child->pid = fork();
	ck_assert_int_ge(child->pid, 0);
	if (child->pid)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (part >= 0)
		points_be((enum points_part)part);
	body();
	_exit(0);
}

static bool is_alive(pid_t pid)
{
	return pid > 0 && (!kill(pid, 0) || errno != ESRCH);
}

const char *points_cell = "";

__attribute__((format(printf, 1, 2))) static void give_up(const char *format,
							  ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ck_abort_msg("%s: %s", points_cell, text);
}

/* Waits for a condition of another process. */
#define WAIT(x, ...)                                      \
	do {                                              \
		int64_t limit_ = tpi_now_ns() + LIMIT_NS; \
		while (!(x)) {                            \
			if (tpi_now_ns() > limit_)        \
				give_up(__VA_ARGS__);     \
			tend();                           \
		}                                         \
	} while (0)

/* ---- the test's own handles ----------------------------------------------------------- */

static struct tapio_consumer *anchor, *reader;
static struct tapio_producer *writer;
static uint32_t reader_life;
static struct tpi_inspect *inspect;

static void read_some(void)
{
	struct tapio_view views[32];
	int n = tapio_poll(reader, views, 32, 500000);

	ck_assert_msg(n >= 0, "poll: %s", strerror(-n));
	points_note(reader_life, views, n);
	ck_assert_int_ge(tapio_release(reader), 0);
	points_note_released(views, n);
}

/* A moment of waiting, in which all that must go on goes on. */
static void tend(void)
{
	reap();
	if (reader)
		read_some();
	else
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static void open_reader(void)
{
	if (reader)
		return;
	reader = points_member();
	reader_life = points_life();
}

static void close_reader(void)
{
	if (reader)
		tapio_consumer_close(reader);
	reader = NULL;
}

/* ---- beginning and end -------------------------------------------------------------------- */

static pid_t first_keeper;

/* A broker that starts meanwhile finds all of a file, the former or the new one. */
bool points_configure(const char *more)
{
	char name[sizeof(board->config) + 8];
	FILE *file;
	bool written;

	snprintf(name, sizeof(name), "%s.new", board->config);
	file = fopen(name, "w");
	if (!file)
		return false;
	written = fputs(more, file) >= 0 && fputs(CONFIG, file) >= 0;
	written = !fclose(file) && written;
	return written && !rename(name, board->config);
}

/* Ends tapiod when the test has ended, however that was. */
static void start_guard(void)
{
	int pipe_fds[2];
	char byte;

	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	if (fork())
		return; /* and pipe_fds[1] stays open */
	setpgid(0, 0);
	close(pipe_fds[1]);
	(void)!read(pipe_fds[0], &byte, 1);
	for (int i = 0; i < 5; i++) {
		if (board->keeper)
			kill((pid_t)board->keeper, SIGKILL);
		if (board->broker)
			kill((pid_t)board->broker, SIGKILL);
		nap_ms(20);
	}
	points_board_unlink();
	_exit(0);
}

static bool start_tapiod(void)
{
	char *argv[] = {(char *)"tapiod",  (char *)"--config",
			board->config,     (char *)"--socket",
			board->socket,     (char *)"--log-level",
			(char *)"error",   (char *)"--keeper",
			(char *)"process", NULL};
	int64_t limit = tpi_now_ns() + LIMIT_NS;

	first_keeper = fork();
	ck_assert_int_ge(first_keeper, 0);
	if (!first_keeper) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	while (!tpi_load_acquire(&board->serves) && tpi_now_ns() < limit &&
	       is_alive(first_keeper))
		tend();
	return board->serves;
}

bool points_start(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ck_assert(points_configure(""));
	start_guard();
	return start_tapiod();
}

bool points_start_again(void)
{
	board->serves = 0;
	board->victim = 0;
	return start_tapiod();
}

void points_stop(void)
{
	pid_t keeper = (pid_t)board->keeper;

	kill(keeper, SIGTERM);
	WAIT(!is_alive((pid_t)board->broker) && !is_alive(keeper),
	     "tapiod does not stop");
	board->broker = board->keeper = 0;
}

/* The broker stands still, so it makes no other keeper. */
void points_end_instance(void)
{
	pid_t keeper = (pid_t)board->keeper, broker = (pid_t)board->broker;

	kill(broker, SIGSTOP);
	kill(keeper, SIGKILL);
	kill(broker, SIGKILL);
	WAIT(!is_alive(broker) && !is_alive(keeper), "tapiod does not die");
	board->broker = board->keeper = 0;
}

static void fill_durable(void)
{
	struct tapio_options options = points_options();
	struct tapio_consumer_options durable = {
		.size = sizeof(durable),
		.broker = options,
		.group = "d",
		.policy = TAPIO_GROUP_LOSSLESS,
		.durable = 1,
	};
	struct tapio_consumer *c;
	struct tapio_producer *p;

	ck_assert_int_eq(tapio_consumer_open(&c, "b", &durable), 0);
	tapio_consumer_close(c);
	ck_assert_int_eq(tapio_producer_open(&p, "b", &options), 0);
	pin(0);
	for (uint32_t n = 0; n < BACKLOG; n++)
		ck_assert_int_eq(tapio_output(p, POINTS_TAG, &n, sizeof(n)), 0);
	tapio_producer_close(p);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(rig_cpus), &rig_cpus), 0);
}

static struct child *living_reader, *living_writer;

void points_live(void)
{
	const struct tpi_inspect_options look = {
		.socket = board->socket,
		.timeout_ns = LIMIT_NS,
	};
	struct tapio_options options = points_options();
	char error[512] = "";

	board->living_received = 1;
	living_reader = start(points_read_living, -1);
	WAIT(!tpi_load_acquire(&board->living_received),
	     "the living consumer does not begin");
	living_writer = start(points_emit_living, -1);
	/* Its opening is not to be an act's. */
	WAIT(tpi_load_acquire(&board->living_accepted),
	     "the living producer does not begin");
	anchor = points_member();
	ck_assert_int_eq(tapio_producer_open(&writer, "a", &options), 0);
	fill_durable();
	ck_assert_msg(!tpi_inspect_open(&inspect, &look, error, sizeof(error)),
		      "%s", error);
}

static void end_child(struct child *child, const char *who)
{
	WAIT(child->ended, "%s does not end", who);
	ck_assert_msg(WIFEXITED(child->status) && !WEXITSTATUS(child->status),
		      "%s ends with the status 0x%x", who, child->status);
	child->pid = 0;
}

void points_die(void)
{
	tpi_store_release(&board->living_stop, 1);
	end_child(living_writer, "the living producer");
	tpi_store_release(&board->living_stop, 2);
	end_child(living_reader, "the living consumer");
	ck_assert_uint_eq(board->living_received, board->living_accepted);
	for (uint32_t i = 0; i < board->living_accepted; i++)
		ck_assert_msg(board->living_seen[i] == 1,
			      "event %u of the living came %u times", i,
			      board->living_seen[i]);
	tapio_consumer_close(anchor);
	tapio_producer_close(writer);
	tpi_inspect_close(inspect);
}

/* No record of a process that is dead. */
static bool is_swept(void)
{
	const struct tpi_catalog *catalog = &inspect->catalog;

	for (uint32_t i = 2; i < catalog->attachment_count; i++) {
		const struct tapio_shm_attachment *a = &catalog->attachments[i];
		uint32_t state = tpi_load_acquire(&a->state);

		if (state == TAPIO_ATTACHMENT_DEAD ||
		    (state == TAPIO_ATTACHMENT_ALIVE &&
		     !is_alive((pid_t)tpi_load_relaxed(&a->pid))))
			return false;
	}
	return true;
}

/* ---- acts --------------------------------------------------------------------------------- */

static struct running {
	const struct points_act *act;
	struct child *child;
	uint32_t first_life;
	bool killed;
} running[2];
static struct child *feeder;

void points_act_start(const struct points_act *act)
{
	struct running *r = running[0].act ? &running[1] : &running[0];

	board->stop = 0;
	if (act->need == POINTS_READER)
		open_reader();
	else if (act->need == POINTS_FEEDER)
		close_reader(); /* it has leases that the act wants */
	if (act->need == POINTS_FEEDER && !feeder)
		feeder = start(points_feed, -1);
	*r = (struct running){act, NULL, board->lives, false};
	r->child = start(act->body, (int)act->part);
}

static struct running *run_of(const struct points_act *act)
{
	return running[1].act == act ? &running[1] : &running[0];
}

/* Its consumers are no more. Or are stopped, and will not go on. */
static void bury_lives(const struct running *r)
{
	for (uint32_t i = r->first_life; i < board->lives; i++)
		if (!reader || i % POINTS_LIVES != reader_life)
			board->dead[i % POINTS_LIVES] = 1;
}

/* The actor has died at its aim, or stands there. */
static bool has_hit(const struct running *r)
{
	return tpi_load_acquire(&board->aims[r->act->part].hit) ==
	       (uint32_t)r->child->pid;
}

bool points_act_wait(const struct points_act *act, enum points_part part,
		     uint32_t limit_ms)
{
	struct running *r = run_of(act);
	int64_t begun = tpi_now_ns();

	while (!points_hit(part) && !r->child->ended) {
		int64_t ms = (tpi_now_ns() - begun) / 1000000;

		ck_assert_msg(ms < LIMIT_NS / 1000000,
			      "%s: the act does not end, %u numbers", act->name,
			      board->next);
		if (limit_ms && ms > limit_ms)
			board->stop = 1;
		tend();
	}
	/* A broker has work after the end of its client. */
	for (int i = 0; i < GRACE_TURNS && part >= PART_BEGINS; i++) {
		if (points_hit(part) || board->aims[part].point == POINTS_MAX)
			break;
		tend();
	}
	if (!has_hit(r))
		return points_hit(part);
	if (!board->aims[part].holds)
		WAIT(r->child->ended, "%s: killed, and does not end",
		     act->name);
	bury_lives(r);
	return true;
}

bool points_await_moves(const struct points_act *mover, uint32_t count)
{
	const struct running *r = run_of(mover);

	WAIT(points_hit(mover->part) || r->child->ended ||
		     tpi_load_acquire(&board->moved) >= count,
	     "%s: does not move", mover->name);
	return points_hit(mover->part);
}

void points_act_kill(const struct points_act *act)
{
	struct running *r = run_of(act);

	kill(r->child->pid, SIGKILL);
	r->killed = true;
	bury_lives(r);
}

static void end_act(struct running *r)
{
	const char *name = r->act->name;
	bool hit = has_hit(r);

	if (hit)
		kill(r->child->pid, SIGKILL);
	WAIT(r->child->ended, "%s: the act does not end", name);
	if (!hit && !r->killed)
		ck_assert_msg(WIFEXITED(r->child->status) &&
				      !WEXITSTATUS(r->child->status),
			      "%s ends with the status 0x%x", name,
			      r->child->status);
	r->child->pid = 0;
	r->act = NULL;
}

static void end_held_tapiod(void)
{
	for (enum points_part p = PART_BROKER; p <= PART_KEEPER; p++) {
		pid_t pid = (pid_t)board->aims[p].hit;

		if (!pid || !board->aims[p].holds)
			continue;
		if (p != PART_KEEPER)
			board->victim = (uint32_t)pid;
		kill(pid, SIGKILL);
	}
}

void points_acts_end(void)
{
	board->stop = 1;
	end_held_tapiod();
	/* Held actors first: nobody waits for their leases. */
	for (int i = 0; i < 2; i++)
		if (running[i].act && has_hit(&running[i]))
			end_act(&running[i]);
	points_restored();
	/* Those that emit need one. */
	if (feeder)
		open_reader();
	for (int i = 0; i < 2; i++)
		if (running[i].act)
			end_act(&running[i]);
	if (feeder)
		end_child(feeder, "the feeder");
	feeder = NULL;
	WAIT(is_swept(), "the dead are not swept");
}

static bool is_restored(void)
{
	pid_t broker = (pid_t)tpi_load_acquire(&board->broker);
	pid_t keeper = (pid_t)tpi_load_acquire(&board->keeper);

	return broker != (pid_t)board->victim && is_alive(broker) &&
	       keeper != (pid_t)board->aims[PART_KEEPER].hit &&
	       is_alive(keeper);
}

void points_restored(void)
{
	WAIT(is_restored(),
	     "no broker with a keeper: broker %u (%d), keeper %u (%d), the "
	     "victims %u and %u",
	     board->broker, is_alive((pid_t)board->broker), board->keeper,
	     is_alive((pid_t)board->keeper), board->victim,
	     board->aims[PART_KEEPER].hit);
}

/* ---- the check ---------------------------------------------------------------------------- */

static bool is_drained(void)
{
	return !group_stats(anchor).in_flight && !channel_stats(writer).held;
}

/* Three laps of each CPU's lane, so each block comes round. */
static void emit_laps(const char *what)
{
	int64_t limit = tpi_now_ns() + LIMIT_NS;

	for (int cpu = 0; cpu < cpu_count() && cpu < 2; cpu++) {
		pin(cpu);
		for (int i = 0; i < LAP;) {
			uint32_t number = points_begin(1);

			if (tapio_output(writer, POINTS_TAG | TAPIO_NO_WAIT,
					 &number, sizeof(number))) {
				read_some();
				ck_assert_msg(tpi_now_ns() < limit,
					      "%s: a lane is wedged", what);
				continue;
			}
			points_sure(number, 1);
			i++;
		}
	}
	ck_assert_int_eq(sched_setaffinity(0, sizeof(rig_cpus), &rig_cpus), 0);
}

static void check_ledger(const char *what)
{
	for (uint32_t i = 0; i < board->next; i++) {
		const struct points_fate *fate = &board->fates[i];

		ck_assert_msg(fate->seen || fate->state != POINTS_SURE,
			      "%s: %u was accepted and is lost", what, i);
	}
	ck_assert_msg(!board->doubled,
		      "%s: %u came again, and no death allows it", what,
		      board->doubled_number);
	ck_assert_uint_eq(group_stats(anchor).lost, 0);
	memset(board->fates, 0, board->next * sizeof(board->fates[0]));
	board->next = 0;
}

static void check_memory(const char *what)
{
	const struct tpi_check_options options = {
		.patience_ns = TPI_CHECK_PATIENCE_NS,
		.gap_ns = TPI_CHECK_GAP_NS,
	};
	struct tpi_check_report report;
	char line[1024];

	ck_assert_int_eq(tpi_check(inspect, &options, &report), 0);
	for (uint32_t i = 0; i < report.count; i++) {
		if (report.findings[i].rule == TPI_RULE_SLOT_MISSING)
			continue; /* replaced since it was mapped */
		tpi_finding_print(inspect, &report.findings[i], line,
				  sizeof(line));
		ck_abort_msg("%s: %s", what, line);
	}
	ck_assert_uint_eq(report.of[TPI_BROKEN] + report.of[TPI_SUSPICIOUS], 0);
	tpi_check_free(&report);
}

/* The unread events of the durable group are there, in their order. */
static void check_backlog(const char *what)
{
	struct tapio_consumer_options durable = {
		.size = sizeof(durable),
		.broker = points_options(),
		.group = "d",
		.policy = TAPIO_GROUP_LOSSLESS,
		.durable = 1,
	};
	struct tapio_view views[64];
	unsigned int n = 0, got;
	struct tapio_consumer *c;
	uint32_t number;
	int err = tapio_consumer_open(&c, "b", &durable);

	ck_assert_msg(!err, "%s: \"d\": %s", what, strerror(-err));
	while (n < BACKLOG && (got = look(c, views + n, 64 - n)))
		n += got;
	ck_assert_msg(n == BACKLOG, "%s: %u of %u events", what, n, BACKLOG);
	for (uint32_t i = 0; i < n; i++) {
		memcpy(&number, views[i].data, sizeof(number));
		ck_assert_msg(number == i, "%s: %u in place of %u", what,
			      number, i);
	}
	tapio_consumer_close(c);
}

void points_check(const char *what)
{
	uint32_t accepted = tpi_load_acquire(&board->living_accepted);

	points_acts_end();
	/* The check passes testpoints, too. */
	points_disarm();
	points_restored();
	open_reader();
	WAIT(is_drained(), "%s: %llu events do not come, %llu blocks are held",
	     what, (unsigned long long)group_stats(anchor).in_flight,
	     (unsigned long long)channel_stats(writer).held);
	emit_laps(what);
	WAIT(is_drained(), "%s: the laps do not end", what);
	check_ledger(what);
	check_backlog(what);
	close_reader();
	check_memory(what);
	WAIT(tpi_load_acquire(&board->living_received) > accepted,
	     "%s: the living do not go on", what);
	points_restored();
	points_aim_nowhere();
}
