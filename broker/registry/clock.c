/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration of the processor's counter: looks at the clocks, on the broker's
 * timer, and publishes what the model makes of them (clock_model.c) as pieces that
 * readers convert stamps by (lib/memory/calibration.h).
 *
 * A look is the best of several attempts, in which the clocks are read between two
 * reads of the ticks, and the distance of those two bounds its error. So a
 * conversion is off by some tens of nanoseconds at a look, and by what the clock's
 * rate has changed since the last one. Looks are a second apart while the clock runs
 * as predicted, and begin again at short intervals when it does not: at the start,
 * when the time was set, when a slew begins or ends.
 *
 * A piece begins LEAD_NS after the look, so that no stamp has been made that it
 * covers (C1 of calibration.h). A publication that comes too late for that is left
 * out, and the next look makes another one.
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
#include "lib/base/atomic.h"
#include "lib/base/own_fd.h"
#include "lib/base/testpoint.h"
#include "lib/base/tsc.h"

#define TRIES      24
#define FIRST_NS   UINT64_C(3000000) /* between the first looks */
#define SHORT_NS   UINT64_C(50000000)
#define LONGEST_NS UINT64_C(1000000000)
#define LEAD_NS    UINT64_C(20000000)
/* A look that is less sharp is not used; twice that after each that was in vain. */
#define WIDEST_NS UINT64_C(5000)
#define VAIN_MAX  16
#define NS_PER_S  UINT64_C(1000000000)

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

static uint64_t clock_now_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void take_sample(struct tpi_clock_sample *sample)
{
	sample->width_ticks = UINT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		uint64_t before = tpi_tsc();
		uint64_t real = clock_now_ns(CLOCK_REALTIME);
		uint64_t steady = clock_now_ns(CLOCK_MONOTONIC);
		uint64_t width = tpi_tsc() - before;

		if (width >= sample->width_ticks)
			continue;
		sample->width_ticks = width;
		sample->ticks = before + width / 2;
		sample->real_ns = real;
		sample->monotonic_ns = steady;
	}
}

static void show(const struct tpi_clock *clock)
{
	struct tapio_shm_broker *shm = clock->broker->registry.catalog.broker;

	/* Relaxed: shown only. */
	tpi_store_relaxed(&shm->clock_error_ns, clock->model.error_ns);
	tpi_store_relaxed(&shm->clock_steps, clock->model.steps);
}

/*
 * The counter has begun anew. Stamps of before have no time any more: who finds one
 * takes it for one of the future. There is no lead, since no piece holds until then.
 */
static void restart(struct tpi_clock *clock,
		    const struct tpi_clock_sample *sample)
{
	struct tapio_shm_calibration piece;

	tpi_clock_model_restart(&clock->model, sample, &piece);
	tpi_calibration_restart(&clock->broker->registry.catalog, &piece);
	tpi_log(&clock->broker->log, TAPIO_LOG_NOTICE,
		"the processor's counter has begun anew: calibrating again");
	clock->was_set = false;
	show(clock);
}

/* No piece of a running counter begins later than that: a slew of the largest error. */
#define AHEAD_MOST_NS UINT64_C(10000000000)

/* The counter began anew while no broker ran. */
static bool is_new(const struct tpi_clock_model *model, uint64_t ticks)
{
	uint64_t busy = tpi_clock_model_busy(model, ticks);

	return tpi_clock_model_ns(model, busy) > AHEAD_MOST_NS;
}

/*
 * Goes on behind the pieces of a former broker. SIGKILL of the former broker between a
 * piece and its count: no reader has seen the piece, and it is overwritten.
 */
static bool resume(struct tpi_clock *clock,
		   const struct tpi_clock_sample samples[TPI_CLOCK_FIRST])
{
	struct tapio_shm_calibration last[1 + TPI_CALIBRATION_PIECES];
	const struct tpi_catalog *catalog = &clock->broker->registry.catalog;

	tpi_calibration_last(catalog, last, 1 + TPI_CALIBRATION_PIECES);
	if (!tpi_clock_model_resume(&clock->model, samples, last))
		return false;
	clock->model.steps = catalog->broker->clock_steps;
	if (is_new(&clock->model, samples[TPI_CLOCK_FIRST - 1].ticks))
		restart(clock, &samples[TPI_CLOCK_FIRST - 1]);
	return true;
}

/* The first looks, some milliseconds apart, and the piece that they give. False: there
 * is none, and stamps have no time. */
static bool begin(struct tpi_clock *clock)
{
	const struct tpi_catalog *catalog = &clock->broker->registry.catalog;
	const struct timespec nap = {.tv_nsec = FIRST_NS};
	struct tpi_clock_sample samples[TPI_CLOCK_FIRST];
	struct tapio_shm_calibration piece;

	for (int i = 0; i < TPI_CLOCK_FIRST; i++) {
		if (i)
			nanosleep(&nap, NULL);
		take_sample(&samples[i]);
	}
	if (tpi_calibration_newest(catalog, &piece))
		return resume(clock, samples);
	if (!tpi_clock_model_begin(&clock->model, samples, &piece))
		return false;
	tpi_calibration_publish(catalog, &piece, 1);
	TPI_TESTPOINT("clock.begun");
	return true;
}

/*
 * One look. False when it was good for nothing: the broker was not on its CPU while
 * it looked, or until it could publish.
 */
static bool look(struct tpi_clock *clock)
{
	struct tapio_shm_calibration pieces[TPI_CALIBRATION_PIECES];
	struct tpi_clock_model next = clock->model;
	struct tpi_clock_sample sample;
	uint64_t lead = tpi_clock_model_ticks(&next, LEAD_NS), from;
	uint32_t count;

	take_sample(&sample);
	if (tpi_clock_model_ns(&next, sample.width_ticks) >
	    WIDEST_NS << clock->vain)
		return false;
	if (tpi_clock_model_is_new(&next, sample.ticks)) {
		restart(clock, &sample);
		return true;
	}
	from = sample.ticks + lead;
	count = tpi_clock_model_look(&next, &sample, clock->was_set, from,
				     pieces);
	TPI_TESTPOINT("clock.looked");
	/* C1: half of the lead is left for the store. */
	if (count && (int64_t)(from - tpi_tsc()) < (int64_t)(lead / 2))
		return false;
	if (count)
		tpi_calibration_publish(&clock->broker->registry.catalog,
					pieces, count);
	clock->model = next;
	clock->was_set = false;
	show(clock);
	return true;
}

/* When the next look is, after one that was good or not. */
static void plan(struct tpi_clock *clock, bool good)
{
	if (good)
		clock->vain = 0;
	else if (clock->vain < VAIN_MAX)
		clock->vain++;
	if (!good || clock->model.surprised)
		clock->interval_ns = SHORT_NS;
	else if (clock->interval_ns < LONGEST_NS)
		clock->interval_ns *= 2;
	if (clock->interval_ns > LONGEST_NS)
		clock->interval_ns = LONGEST_NS;
	tpi_timer_start(clock->broker->loop, &clock->timer, clock->interval_ns);
}

/* A look, or a wait until the last piece has begun and there may be one. */
static void refresh(struct tpi_clock *clock)
{
	uint64_t now = tpi_tsc();
	uint64_t busy = tpi_clock_model_busy(&clock->model, now);

	if (busy && !tpi_clock_model_is_new(&clock->model, now))
		tpi_timer_start(clock->broker->loop, &clock->timer,
				tpi_clock_model_ns(&clock->model, busy) + 1);
	else
		plan(clock, look(clock));
}

static void on_timer(struct tpi_timer *timer)
{
	refresh((struct tpi_clock *)timer);
}

/*
 * A timer that never fires, but is cancelled when the clock is set. Whether it was set
 * again since the cancellation that was read last: the timer is armed all the same.
 */
static bool arm_step(int fd)
{
	struct itimerspec far = {.it_value.tv_sec = INT32_MAX};

	far.it_value.tv_sec +=
		(time_t)(clock_now_ns(CLOCK_REALTIME) / NS_PER_S);
	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
			       &far, NULL) &&
	       errno == ECANCELED;
}

static void on_step(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_clock *clock =
		(struct tpi_clock *)((char *)watch -
				     offsetof(struct tpi_clock, watch));
	uint64_t count;
	bool was_set;

	(void)events;
	was_set = read(watch->fd, &count, sizeof(count)) < 0 &&
		  errno == ECANCELED;
	if (!arm_step(watch->fd) && !was_set)
		return;
	tpi_log(&clock->broker->log, TAPIO_LOG_NOTICE,
		"the system's time was set: calibrating again");
	clock->was_set = true;
	refresh(clock);
}

void tpi_clock_start(struct tpi_broker *broker)
{
	struct tpi_clock *clock = &broker->clock;
	int fd;

	clock->broker = broker;
	clock->timer.fire = on_timer;
	clock->watch.ready = on_step;
	clock->watch.fd = -1;
	if (!tpi_tsc_invariant() || !begin(clock))
		return;
	plan(clock, true);
	/* Without it a step is noticed by the next look. */
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
