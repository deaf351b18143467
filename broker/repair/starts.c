/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See starts.h. All on the loop.
 *
 *  T1	A client comes. If there is no child, one begins LATER_NS later, for all that
 *	have come until then.
 *  T2	The child reads and answers, in order, by a pipe that is as long as all answers. So
 *	it never waits for the broker.
 *  T3	It has ended: the broker takes the answers. One is believed if the process lives
 *	now: then it has lived all the time, and the number was its own.
 *  T4	A child that is asleep at a look is held by the client that it has not answered for.
 *	It is killed, and that client is never asked about again. Those after it are, by
 *	the next child.
 *
 * SIGKILL of the broker: the child ends with it, and the successor asks. SIGSTOP of a client
 * holds nothing up. An execve keeps the start. fork: the child of an embedding program
 * closes its copies.
 */
#include "broker/repair/starts.h"

#include <errno.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/loop/child.h"
#include "lib/base/atomic.h"
#include "lib/base/own_fd.h"

#define LATER_NS UINT64_C(50000000)
#define LOOK_NS  UINT64_C(100000000)

_Static_assert(TPI_STARTS_MAX * sizeof(uint64_t) <= 4096,
	       "any pipe has room for all answers");

/* ---- T2 ----------------------------------------------------------------------------------- */

static void be_child(const struct tpi_starts *starts, pid_t broker, int out)
{
	tpi_child_begin(broker);
	for (uint32_t i = 0; i < starts->count; i++) {
		uint64_t ticks = tpi_start_ticks(starts->asked[i]->pid);

		if (write(out, &ticks, sizeof(ticks)) != sizeof(ticks))
			break;
	}
	_exit(0);
}

static bool is_wanted(const struct tpi_process *process)
{
	return process->pid && process->inode_valid && !process->start_ticks &&
	       !process->start_asked && !process->dead;
}

static void choose(struct tpi_broker *broker)
{
	struct tpi_starts *starts = &broker->starts;
	struct tpi_process *process;

	starts->count = starts->answered = 0;
	TAILQ_FOREACH (process, &broker->processes, link) {
		if (starts->count == TPI_STARTS_MAX)
			break;
		if (!is_wanted(process))
			continue;
		tpi_process_get(process);
		starts->asked[starts->count++] = process;
	}
}

static void put_all(struct tpi_starts *starts)
{
	while (starts->count)
		tpi_process_put(starts->asked[--starts->count]);
}

/* 0, or -errno: the next client that comes begins again. */
static int begin_child(struct tpi_broker *broker)
{
	struct tpi_starts *starts = &broker->starts;
	pid_t parent = getpid(), pid = -1;
	int ends[2], pidfd = -1, err;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	ends[0] = tpi_fd_above_stdio(ends[0]);
	ends[1] = tpi_fd_above_stdio(ends[1]);
	if (ends[0] >= 0 && ends[1] >= 0)
		pid = tpi_child_fork(&pidfd);
	if (!pid)
		be_child(starts, parent, ends[1]);
	close(ends[1]);
	err = pid < 0 ? -EAGAIN
		      : tpi_watch_start(broker->loop, &starts->died, pidfd);
	if (!err) {
		starts->answers = ends[0];
		return 0;
	}
	close(ends[0]);
	if (pid > 0) {
		tpi_child_end(pidfd);
		close(pidfd);
	}
	return err;
}

static void ask(struct tpi_broker *broker)
{
	choose(broker);
	if (!broker->starts.count)
		return;
	if (begin_child(broker))
		put_all(&broker->starts);
	else
		tpi_timer_start(broker->loop, &broker->starts.timer, LOOK_NS);
}

/* ---- T3 ----------------------------------------------------------------------------------- */

static void note(struct tpi_broker *broker, struct tpi_process *process,
		 uint64_t ticks)
{
	const struct tpi_attachment *attachment;

	process->start_asked = true;
	if (tpi_process_is_dead(process))
		return;
	process->start_ticks = ticks;
	TAILQ_FOREACH (attachment, &process->attachments, of_process)
		/* Relaxed: one word, right before and after. */
		tpi_store_relaxed(
			&broker->registry.catalog.attachments[attachment->index]
				 .start_time_ticks,
			ticks);
}

static void take_answers(struct tpi_starts *starts, uint64_t *ticks)
{
	while (starts->answered < starts->count &&
	       read(starts->answers, &ticks[starts->answered],
		    sizeof(*ticks)) == sizeof(*ticks))
		starts->answered++;
}

static void end_child(struct tpi_broker *broker)
{
	struct tpi_starts *starts = &broker->starts;
	int pidfd = starts->died.fd;

	tpi_watch_stop(broker->loop, &starts->died);
	close(pidfd);
	close(starts->answers);
	starts->answers = -1;
}

static void on_died(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_starts *starts =
		(struct tpi_starts *)(void *)((char *)watch -
					      offsetof(struct tpi_starts,
						       died));
	struct tpi_broker *broker =
		(struct tpi_broker *)((char *)starts -
				      offsetof(struct tpi_broker, starts));
	uint64_t ticks[TPI_STARTS_MAX];

	(void)events;
	take_answers(starts, ticks);
	/* T4. */
	if (starts->answered < starts->count)
		starts->asked[starts->answered]->start_asked = true;
	tpi_child_reap(watch->fd);
	/* Before the answers are seen, so that no descriptor is open then which is not a
	 * client's. */
	end_child(broker);
	for (uint32_t i = 0; i < starts->answered; i++)
		note(broker, starts->asked[i], ticks[i]);
	put_all(starts);
	tpi_timer_stop(broker->loop, &starts->timer);
	tpi_starts_want(broker);
}

/* ---- the timer ---------------------------------------------------------------------------- */

static void on_timer(struct tpi_timer *timer)
{
	struct tpi_starts *starts = (struct tpi_starts *)timer;
	struct tpi_broker *broker =
		(struct tpi_broker *)((char *)starts -
				      offsetof(struct tpi_broker, starts));

	if (!starts->died.ticket) {
		ask(broker);
		return;
	}
	if (tpi_is_asleep(starts->died.fd))
		tpi_child_kill(starts->died.fd);
	tpi_timer_start(broker->loop, timer, LOOK_NS);
}

void tpi_starts_want(struct tpi_broker *broker)
{
	struct tpi_starts *starts = &broker->starts;

	if (!starts->died.ticket && !starts->timer.at_ns)
		tpi_timer_start(broker->loop, &starts->timer, LATER_NS);
}

void tpi_starts_begin(struct tpi_broker *broker)
{
	struct tpi_starts *starts = &broker->starts;

	_Static_assert(offsetof(struct tpi_starts, timer) == 0, "first");
	starts->answers = -1;
	starts->died.ready = on_died;
	starts->timer.fire = on_timer;
	tpi_starts_want(broker);
}

void tpi_starts_end(struct tpi_broker *broker)
{
	struct tpi_starts *starts = &broker->starts;

	tpi_timer_stop(broker->loop, &starts->timer);
	if (starts->died.ticket) {
		if (starts->died.fd >= 0)
			tpi_child_end(starts->died.fd);
		end_child(broker);
	}
	put_all(starts);
}

void tpi_starts_close_copies(struct tpi_starts *starts)
{
	if (!starts->died.ticket)
		return;
	close(starts->died.fd);
	close(starts->answers);
}

void tpi_starts_lose(struct tpi_starts *starts)
{
	starts->died.fd = -1;
	starts->answers = -1;
}
