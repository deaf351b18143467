/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time stamps as CLOCK_REALTIME. Stamps by the TSC are converted by the piece of the
 * broker's calibration that covers them (lib/memory/calibration.h), so that one
 * event has one time, however late and however often it is looked at.
 */
#include "client/connection/client.h"
#include "lib/memory/calibration.h"

void tpi_client_calibration(const struct tpi_client *client,
			    struct tapio_shm_calibration *copy)
{
	if (!tpi_calibration_newest(&client->catalog, copy))
		*copy = (struct tapio_shm_calibration){0};
}

uint64_t tpi_client_time_ns(const struct tpi_client *client, uint64_t time)
{
	struct tapio_shm_calibration piece;

	switch (client->channel.info.stamp) {
	case TAPIO_STAMP_CLOCK:
		return time;
	case TAPIO_STAMP_TSC:
		break;
	default:
		return 0;
	}
	if (!time || !tpi_calibration_find(&client->catalog, time, &piece))
		return 0;
	return tpi_calibration_ns(&piece, time);
}

bool tpi_client_time_known(const struct tpi_client *client, uint64_t time)
{
	struct tapio_shm_calibration piece;

	if (client->channel.info.stamp != TAPIO_STAMP_TSC)
		return true;
	return tpi_calibration_find(&client->catalog, time, &piece) &&
	       (int64_t)(time - piece.base_tsc) >= 0;
}
