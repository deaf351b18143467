/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Side lanes: for threads without rseq, on a CPU without a lane, in a process
 * that no membarrier reaches, or whose sections are aborted over and over. And for
 * each producer of an ISOLATED channel, which has no other lanes.
 *
 * A process whose self-test could not be made is here for as long as that lasts: each
 * entry looks whether a later test of the process, or the broker's, has a verdict, and
 * then the handle goes over to CPUs' lanes. Reservations stay where they are.
 *
 * A handle takes at most one per class, when it is first needed, and keeps it
 * until it is closed. Between processes the lane is exclusive by its `owner` word
 * alone. Inside the process a private mutex keeps its threads apart. No lock is
 * shared: a process that dies while it is inside leaves a lane that the broker
 * sweeps and frees, and no other process waits for it.
 *
 * The mutex is taken with every signal blocked, and held for a bounded number of
 * instructions, so a handler that emits never finds its own thread inside. SIGSTOP
 * inside stops the whole process, so no other thread wants the mutex. SIGKILL: the
 * mutex is gone with the process.
 *
 * A real-time thread may wait for one of a lower priority that was preempted inside.
 * With a plain mutex it would wait as long as threads of priorities between the two
 * run, which nothing bounds. So the mutex inherits the priority of its waiters: the
 * holder runs with it until it leaves. To try for a while and refuse the event is no
 * way out, since the lane has room.
 */
#include <errno.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"

int tpi_side_lanes_init(struct tpi_side_lanes *sides)
{
	pthread_mutexattr_t attr;
	int err = pthread_mutexattr_init(&attr);

	if (err)
		return -err;
	err = pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	if (!err)
		err = pthread_mutex_init(&sides->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	/* A kernel without inheritance has no real-time threads to speak of. */
	return err == ENOTSUP ? -pthread_mutex_init(&sides->mutex, NULL) : -err;
}

/*
 * One lane of the class that has no owner becomes ours. SIGKILL after the
 * swap: it belongs to a dead attachment, which the broker frees.
 */
static const struct tpi_lane *take_lane(struct tpi_producer *p, uint32_t klass)
{
	const struct tpi_channel *channel = &p->client.channel;
	uint32_t i, count = channel->side_count[klass];

	/* The broker has stored our name there before it let us in. The word is in
	 * memory that only this attachment writes, so it need not be asked. */
	if (tpi_producer_isolated(p))
		return tpi_producer_own_lane(p, klass);
	for (i = 0; i < count; i++) {
		const struct tpi_lane *lane =
			&channel->lanes[channel->side_first[klass] + i];
		uint32_t nobody = TAPIO_NOBODY;

		if (tpi_load_relaxed(&lane->shm->owner) != TAPIO_NOBODY)
			continue;
		TPI_TESTPOINT("side.looked");
		/*
		 * ORDER lane.owner (acquire): all that the last owner did to
		 * the lane. Pairs with the release in give_lane() and with the
		 * broker's after its sweep.
		 */
		if (tpi_cas_acq_rel(&lane->shm->owner, &nobody, p->emit.me)) {
			TPI_TESTPOINT("side.taken");
			return lane;
		}
	}
	return NULL;
}

static void give_lane(struct tpi_producer *p, const struct tpi_lane *lane)
{
	uint64_t state = tpi_load_relaxed(&lane->shm->state);
	uint32_t me = p->emit.me;

	if (TAPIO_STATE_HELD(state))
		return; /* open reservations: the broker takes them back */
	/* ORDER lane.owner (release): all that we did to the lane, before
	 * somebody else may take it. Pairs with the swap in take_lane(). */
	tpi_cas_acq_rel(&lane->shm->owner, &me, TAPIO_NOBODY);
	TPI_TESTPOINT("side.given");
}

/* Has the verdict come that was missing at the open? Any thread, any time. */
static void look_for_verdict(struct tpi_producer *p)
{
	uint32_t known = tpi_rseq_known();

	/* Relaxed: a word that says all by itself. */
	if (known != TAPIO_RSEQ_UNKNOWN)
		tpi_store_relaxed(&p->verdict, known);
	tpi_producer_choose_lanes(p);
}

int tpi_side_lane_enter(struct tpi_producer *p, uint32_t klass,
			sigset_t *signals, const struct tpi_lane **lane)
{
	const struct tpi_lane **mine = &p->sides.lane[klass];
	uint32_t left;
	sigset_t all;

	if (tpi_load_relaxed(&p->verdict) == TAPIO_RSEQ_INCONCLUSIVE)
		look_for_verdict(p);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, signals);
	pthread_mutex_lock(&p->sides.mutex);
	/* Relaxed: the mutex orders it (P5 of move.c). */
	left = tpi_load_relaxed(&p->left);
	if (!*mine && !left)
		*mine = take_lane(p, klass);
	*lane = *mine;
	if (*lane) {
		/* Relaxed: a flag for the statistics. */
		tpi_store_relaxed(&p->sides.used, 1);
		return 0;
	}
	tpi_side_lane_leave(p, signals);
	return left ? TPI_GONE : -ENOBUFS;
}

void tpi_side_lane_leave(struct tpi_producer *p, const sigset_t *signals)
{
	TPI_TESTPOINT("side.inside");
	/*
	 * ORDER wake.barrier (full): our commit, before we look for sleepers and
	 * before the next look at the groups' generation. Pairs with
	 * tpi_barrier(), whose interrupt does not reach this process.
	 */
	if (p->fence)
		tpi_fence_full();
	pthread_mutex_unlock(&p->sides.mutex);
	pthread_sigmask(SIG_SETMASK, signals, NULL);
}

void tpi_side_lanes_fini(struct tpi_producer *p)
{
	uint32_t k;

	for (k = 0; k < TAPIO_CLASSES_MAX; k++)
		if (p->sides.lane[k])
			give_lane(p, p->sides.lane[k]);
}

const char *tpi_side_lane_reason(const struct tpi_producer *p)
{
	if (tpi_producer_isolated(p))
		return "its channel gives each producer lanes of its own";
	if (p->fence)
		return "it or the broker may not use membarrier";
	switch (tpi_load_relaxed(&p->verdict)) {
	case TAPIO_RSEQ_ABSENT:
		return "rseq is absent";
	case TAPIO_RSEQ_BROKEN:
		return "rseq is broken";
	case TAPIO_RSEQ_INCONCLUSIVE:
		return "rseq could not be tested";
	default:
		return "this thread cannot use the lane of its CPU";
	}
}
