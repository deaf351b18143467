/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration of the processor's clock. Run by the broker's timer. Read by all
 * that show a time stamp.
 *
 * A pair (ticks, CLOCK_REALTIME) is taken as the best of several attempts, in
 * which the clock is read between two reads of the ticks. The distance of those
 * two bounds the error. The rate comes from this pair and the one before it. So
 * the error of a conversion is that of a pair, some tens of nanoseconds, as long
 * as it reaches no further than the distance of the pairs, which is why intervals
 * begin short and double up to a second. NTP slews at most by 500 ppm and usually
 * by less than 1: a rate that is a second old is right to less than a microsecond.
 *
 * Readers never wait: the copy that is not in use is written, then the index.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "broker/broker.h"
#include "lib/base/own_fd.h"
#include "lib/base/atomic.h"
#include "lib/base/tsc.h"

#define TRIES      24
#define FIRST_NS   UINT64_C(10000000)
#define LONGEST_NS UINT64_C(1000000000)
#define MULT_SHIFT 32
#define STEP_PPM   1000 /* more than any slew: somebody set the time */
#define NS_PER_S   UINT64_C(1000000000)

bool tpi_tsc_invariant(void)
{
#if defined(__x86_64__)
	unsigned int a, b, c, d;

	if (!__get_cpuid(0x80000007, &a, &b, &c, &d))
		return false;
	return d >> 8 & 1;
#else
	return true; /* the architecture's counter is defined to be */
#endif
}

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Fills in base and, in ticks, the width of the attempt that was best. */
static uint64_t take_pair(struct tapio_shm_calibration *pair)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = tpi_tsc();
		uint64_t ns = realtime_ns();
		uint64_t width = tpi_tsc() - before;

		if (width >= best)
			continue;
		best = width;
		pair->base_tsc = before + width / 2;
		pair->base_ns = ns;
	}
	return best;
}

static uint64_t rate(const struct tapio_shm_calibration *from,
		     const struct tapio_shm_calibration *to)
{
	uint64_t ticks = to->base_tsc - from->base_tsc;
	uint64_t ns = to->base_ns - from->base_ns;

	if (!ticks || to->base_ns <= from->base_ns)
		return 0;
	return (uint64_t)(((unsigned __int128)ns << MULT_SHIFT) / ticks);
}

/* A rate that is far from the one before was not measured but set. */
static bool rate_jumped(uint64_t was, uint64_t is)
{
	uint64_t distance = was > is ? was - is : is - was;

	return !is || distance > was / 1000000 * STEP_PPM;
}

void tpi_calibrate(struct tapio_shm_calibration *next,
		   const struct tapio_shm_calibration *last)
{
	struct tapio_shm_calibration first = {0};
	uint64_t width, mult;

	memset(next, 0, sizeof(*next));
	if (!tpi_tsc_invariant())
		return;
	if (!last || !last->mult) {
		take_pair(&first);
		do
			width = take_pair(next);
		while (next->base_ns - first.base_ns < FIRST_NS);
		mult = rate(&first, next);
	} else {
		width = take_pair(next);
		mult = rate(last, next);
		if (rate_jumped(last->mult, mult))
			mult = last->mult;
	}
	next->shift = MULT_SHIFT;
	next->mult = mult;
	next->error_ns =
		(uint32_t)((unsigned __int128)width * mult >> MULT_SHIFT) / 2;
}

static void refresh(struct tpi_broker *broker)
{
	struct tapio_shm_broker *shm = broker->registry.catalog.broker;
	/* Relaxed: we are the only writer. */
	uint32_t index = tpi_load_relaxed(&shm->calibration_index) & 1;
	struct tapio_shm_calibration next;

	tpi_calibrate(&next, shm->calibration[index].mult
				     ? &shm->calibration[index]
				     : NULL);
	shm->calibration[index ^ 1] = next;
	/*
	 * ORDER broker.calibration (release): the copy before the index that
	 * names it. Pairs with the acquire in client/connection/time.c.
	 */
	tpi_store_release(&shm->calibration_index, index ^ 1);
}

static void on_timer(struct tpi_timer *timer)
{
	struct tpi_clock *clock = (struct tpi_clock *)timer;

	refresh(clock->broker);
	if (clock->interval_ns < LONGEST_NS)
		clock->interval_ns *= 2;
	if (clock->interval_ns > LONGEST_NS)
		clock->interval_ns = LONGEST_NS;
	tpi_timer_start(clock->broker->loop, timer, clock->interval_ns);
}

/* A timer that never fires, but is cancelled when the clock is set. */
static void arm_step(int fd)
{
	struct itimerspec far = {.it_value.tv_sec = INT32_MAX};

	far.it_value.tv_sec += (time_t)(realtime_ns() / NS_PER_S);
	timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far,
			NULL);
}

static void on_step(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_clock *clock =
		(struct tpi_clock *)((char *)watch -
				     offsetof(struct tpi_clock, watch));
	uint64_t count;

	(void)events;
	if (read(watch->fd, &count, sizeof(count)) < 0 && errno == ECANCELED) {
		tpi_log(&clock->broker->log, TAPIO_LOG_NOTICE,
			"the system's time was set: calibrating again");
		refresh(clock->broker);
	}
	arm_step(watch->fd);
}

void tpi_clock_start(struct tpi_broker *broker)
{
	struct tpi_clock *clock = &broker->clock;
	int fd;

	clock->broker = broker;
	clock->timer.fire = on_timer;
	clock->watch.ready = on_step;
	clock->watch.fd = -1;
	clock->interval_ns = FIRST_NS;
	refresh(broker);
	if (!tpi_tsc_invariant())
		return;
	tpi_timer_start(broker->loop, &clock->timer, clock->interval_ns);
	/* Without it a step is noticed by the next timer. */
	fd = tpi_fd_above_stdio(
		timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC));
	if (fd < 0)
		return;
	arm_step(fd);
	if (tpi_watch_start(broker->loop, &clock->watch, fd)) {
		close(fd);
		clock->watch.fd = -1;
	}
}

void tpi_clock_stop(struct tpi_broker *broker)
{
	struct tpi_clock *clock = &broker->clock;

	tpi_timer_stop(broker->loop, &clock->timer);
	if (!clock->watch.ticket)
		return;
	tpi_watch_stop(broker->loop, &clock->watch);
	close(clock->watch.fd);
}
