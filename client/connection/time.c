/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time stamps as CLOCK_REALTIME. The broker keeps the TSC's calibration in the
 * catalog as two copies and the index of the one that counts. It rewrites the
 * other one, then the index.
 */
#include "client/connection/client.h"

static uint64_t convert(const struct tapio_shm_calibration *c, uint64_t tsc)
{
	int64_t ticks = (int64_t)(tsc - c->base_tsc);
	uint64_t ns;

	if (!c->mult || c->shift > 63)
		return 0;
	if (ticks >= 0) {
		ns = (uint64_t)((unsigned __int128)ticks * c->mult >> c->shift);
		return c->base_ns + ns;
	}
	ns = (uint64_t)((unsigned __int128)(0 - (uint64_t)ticks) * c->mult >>
			c->shift);
	return c->base_ns - ns;
}

void tpi_client_calibration(const struct tpi_client *client,
			    struct tapio_shm_calibration *copy)
{
	const struct tapio_shm_broker *broker = client->catalog.broker;
	uint32_t index, tries;

	for (tries = 0; tries < 8; tries++) {
		/* ORDER broker.calibration (acquire): the copy it names is
		 * whole. Pairs with the broker's release of the index. */
		index = tpi_load_acquire(&broker->calibration_index);
		*copy = broker->calibration[index & 1];
		/* ORDER broker.calibration (load-load): the copy before the
		 * second look. Pairs with the same release: a copy that is
		 * rewritten while we read was given up before. */
		tpi_fence_load_load();
		if (tpi_load_relaxed(&broker->calibration_index) == index)
			break;
	}
}

uint64_t tpi_client_time_ns(const struct tpi_client *client, uint64_t time)
{
	struct tapio_shm_calibration copy;

	switch (client->channel.info.stamp) {
	case TAPIO_STAMP_CLOCK:
		return time;
	case TAPIO_STAMP_TSC:
		break;
	default:
		return 0;
	}
	if (!time)
		return 0;
	tpi_client_calibration(client, &copy);
	return convert(&copy, time);
}
