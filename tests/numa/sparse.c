/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CPU that comes when the broker is there already, and numbers of CPUs with a gap. The
 * last program of the virtual machine of tests/numa/vm, which may have one CPU more. On
 * the words "add a CPU" on the output it is put in, and another one is taken out by the
 * program itself.
 */
#include "tests/numa/machine.h"
#include "tests/unit/client_fixture.h"

#define CPUS      4 /* at first */
#define LATE      4 /* the number of the next one */
#define GONE      1
#define EVENTS    50
#define NONE      ~0u /* every CPU has a lane */
#define GIVE_UP_S 60

static struct tapio_producer *p;
static struct tapio_consumer *c;

static void write_to(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	ck_assert_msg(file && fputs(text, file) >= 0 && !fclose(file), "%s",
		      path);
}

/* Out of the machine: it is possible, and not present. */
static void eject(unsigned int cpu)
{
	char path[96];

	snprintf(path, sizeof(path),
		 "/sys/devices/system/cpu/cpu%u/firmware_node/eject", cpu);
	write_to(path, "1");
}

static bool is_present(unsigned int cpu)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u", cpu);
	return !access(path, F_OK);
}

static void wait_until_present(unsigned int cpu, bool present)
{
	time_t until = time(NULL) + GIVE_UP_S;

	while (is_present(cpu) != present) {
		ck_assert_msg(time(NULL) < until, "CPU %u is %s", cpu,
			      present ? "not there" : "still there");
		nap_ms(10);
	}
}

static void emit_on(unsigned int cpu)
{
	machine_go_to(cpu);
	for (int i = 0; i < EVENTS; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &cpu, sizeof(cpu)), 0);
}

/* Each event comes from the lane of its CPU, or, without one, from a side lane. */
static void receive(uint32_t count, unsigned int without)
{
	struct tapio_view views[16];
	unsigned int cpu;
	uint32_t sum = 0;

	while (sum < count) {
		int n = tapio_poll(c, views, 16, 10000000);

		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++) {
			memcpy(&cpu, views[i].data, sizeof(cpu));
			ck_assert_uint_eq(
				c->now->tracks[views[i].lane].lane->cpu,
				cpu == without ? TAPIO_CPU_SIDE : cpu);
		}
		sum += (uint32_t)n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(sum, count);
}

static void assert_shown(unsigned int lanes)
{
	json_t *shown = machine_shmstat(rig.options.socket);
	unsigned int found = 0;
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(shown, "lanes"), i, row)
	{
		if (json_is_true(json_object_get(row, "side")))
			continue;
		found++;
	}
	ck_assert_uint_eq(found, lanes);
	json_decref(shown);
}

static void start(unsigned int lanes)
{
	rig_start(RIG_CONFIG);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	assert_shown(lanes);
}

static void stop(void)
{
	tapio_producer_close(p);
	tapio_consumer_close(c);
	rig_stop();
}

/* One step after the other: the machine is another one after each. */
START_TEST(cpus_may_come_later_and_leave_gaps)
{
	/* Possible, and not present. */
	start(CPUS);
	printf("\nadd a CPU\n");
	fflush(stdout);
	wait_until_present(LATE, true);
	machine_cpu_set(LATE, true);
	/* It has no lane of this broker's. */
	emit_on(LATE);
	emit_on(0);
	receive(2 * EVENTS, LATE);
	assert_ledger(c, 2 * EVENTS, 0, 0);
	stop();

	/* It has one of the next broker's. */
	start(CPUS + 1);
	emit_on(LATE);
	receive(EVENTS, NONE);
	stop();

	eject(GONE);
	wait_until_present(GONE, false);
	start(CPUS);
	for (unsigned int cpu = 0; cpu <= LATE; cpu++)
		if (cpu != GONE)
			emit_on(cpu);
	receive(CPUS * EVENTS, NONE);
	assert_ledger(c, CPUS * EVENTS, 0, 0);
	stop();
}
END_TEST

int main(void)
{
	struct machine machine;
	const char *reason = machine_read(&machine);
	TCase *t;

	if (!reason && (geteuid() || machine.cpus != CPUS))
		reason = "needs root and four CPUs";
	if (reason) {
		puts(reason);
		return 77;
	}
	t = tcase_create("sparse");
	tcase_add_test(t, cpus_may_come_later_and_leave_gaps);
	return check_run_case("numa sparse", t);
}
