/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thousand reloads while events flow: each event that was accepted arrives once, and
 * the broker has as many descriptors afterwards as before. The configurations differ in
 * rules, limits and groups, and each fourth is refused. Channels that come and go are
 * reconcile.c's.
 */
#include <pthread.h>

#include "lib/base/atomic.h"
#include "tests/unit/client_fixture.h"

#define RELOADS         1000
#define CHANNEL(groups) "channel t { stamp = \"none\"\n" RIG_CLASS groups "}\n"

static const char *const texts[] = {
	CHANNEL("group kept { policy = lossless }"),
	CHANNEL("group kept { policy = lossless } group b {}") "clients_max = 9 "
							       "allow a { any = true role = {produce} }",
	CHANNEL("group kept { policy = lossless } group b { policy = lossy }"),
	CHANNEL("full = wait"),
};
#define TEXTS 4

static uint32_t done;

/* Until the reloads are over. How many were accepted. */
static void *produce(void *arg)
{
	struct tapio_producer *p = arg;
	uint64_t accepted = 0;

	/* Relaxed: it ends a loop. */
	while (!tpi_load_relaxed(&done))
		accepted += !tapio_output(p, TAG, &accepted, sizeof(accepted));
	return (void *)(uintptr_t)accepted;
}

static void reload_all(struct tapio_consumer *c, uint64_t *read)
{
	char said[512];

	for (int i = 0; i < RELOADS; i++) {
		int err = tapio_broker_reload(rig.broker, texts[i % TEXTS],
					      said, sizeof(said));

		ck_assert_msg(err == (i % TEXTS == 3 ? -EBUSY : 0), "%d: %s", i,
			      said);
		*read += drain(c);
	}
}

START_TEST(a_thousand_reloads_lose_no_event_and_no_descriptor)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;
	pthread_t thread;
	uint64_t read = 0;
	void *accepted;
	int fds;

	rig_start(texts[0]);
	c = rig_consumer("kept", TAPIO_GROUP_LOSSLESS);
	p = rig_producer();
	fds = rig_open_fds();
	ck_assert_int_eq(pthread_create(&thread, NULL, produce, p), 0);
	reload_all(c, &read);
	/* Relaxed: the join orders the rest. */
	tpi_store_relaxed(&done, 1);
	ck_assert_int_eq(pthread_join(thread, &accepted), 0);
	read += drain(c);
	ck_assert_uint_gt(read, 0);
	ck_assert_uint_eq(read, (uintptr_t)accepted);
	rig_assert_fds(fds);
	tapio_producer_close(p);
	tapio_consumer_close(c);
	rig_stop();
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("reload_load");
	Suite *suite = suite_create("reload_load");

	tcase_set_timeout(c, 240);
	tcase_add_test(c, a_thousand_reloads_lose_no_event_and_no_descriptor);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
