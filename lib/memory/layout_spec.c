/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a channel can be laid out at all: the configuration's numbers against
 * the layout's limits.
 *
 * Called before any size is computed: a spec that passes here cannot overflow a
 * sum in layout_build.c, and any reader accepts the record that is made of it.
 * Each refusal names the channel, the value and what is allowed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/memory/layout_inner.h"

/* The order that readers count on: by priority falling, then by size rising. */
static int check_class_order(const struct tpi_channel_spec *spec, uint32_t k,
			     const struct tpi_report *report)
{
	const struct tapio_shm_class *klass = &spec->classes[k];
	const struct tapio_shm_class *before = klass - 1;

	for (uint32_t i = 0; i < k; i++)
		if (!strncmp(spec->classes[i].name, klass->name,
			     sizeof(klass->name)))
			return tpi_report(report, -EINVAL,
					  "two classes `%.15s`", klass->name);
	if (k == 0 || before->priority > klass->priority ||
	    (before->priority == klass->priority &&
	     before->block_bytes <= klass->block_bytes))
		return 0;
	return tpi_report(report, -EINVAL,
			  "class `%.15s` (priority %" PRIu32 ", %" PRIu32
			  " bytes) must stand before `%.15s` (priority %" PRIu32
			  ", %" PRIu32 " bytes)",
			  klass->name, klass->priority, klass->block_bytes,
			  before->name, before->priority, before->block_bytes);
}

static int check_policies(const struct tpi_channel_spec *spec,
			  const struct tpi_report *report)
{
	if (!spec->class_count || spec->class_count > TAPIO_CLASSES_MAX)
		return tpi_report(report, -EINVAL,
				  "%" PRIu32 " classes, allowed are 1..%d",
				  spec->class_count, TAPIO_CLASSES_MAX);
	if (spec->full_policy > TAPIO_FULL_WAIT)
		return tpi_report(report, -EINVAL,
				  "full policy %" PRIu32 ", allowed are 0..%d",
				  spec->full_policy, TAPIO_FULL_WAIT);
	if (spec->stamp > TAPIO_STAMP_CLOCK)
		return tpi_report(report, -EINVAL,
				  "stamp %" PRIu32 ", allowed are 0..%d",
				  spec->stamp, TAPIO_STAMP_CLOCK);
	return 0;
}

/* Each producer's segment has one side lane of each class, and no CPU has a lane. */
static int check_isolation(const struct tpi_channel_spec *spec,
			   const struct tpi_report *report)
{
	bool isolated = tpi_spec_isolated(spec);

	if (spec->flags & ~TAPIO_CHANNEL_FLAGS)
		return tpi_report(report, -EINVAL,
				  "flags 0x%" PRIx32 ", known are 0x%" PRIx32,
				  spec->flags, TAPIO_CHANNEL_FLAGS);
	if (spec->producers_max > TPI_PRODUCERS_MAX ||
	    isolated != (spec->producers_max != 0))
		return tpi_report(report, -EINVAL,
				  "%" PRIu32 " isolated producers, allowed are "
				  "1..%d, or 0 without isolation",
				  spec->producers_max, TPI_PRODUCERS_MAX);
	for (uint32_t k = 0; isolated && k < spec->class_count; k++)
		if (spec->classes[k].side_lanes != spec->producers_max)
			return tpi_report(
				report, -EINVAL,
				"class `%.15s` has %" PRIu32 " side lanes, "
				"and there are %" PRIu32 " isolated producers",
				spec->classes[k].name,
				spec->classes[k].side_lanes,
				spec->producers_max);
	return 0;
}

int tpi_channel_spec_check(const struct tpi_channel_spec *spec, char *error,
			   size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, "channel"};
	int err = tpi_name_check(spec->name, sizeof(spec->name), &report,
				 "its name");

	if (err)
		return err;
	snprintf(report.subject, sizeof(report.subject), "channel `%s`",
		 spec->name);
	err = check_policies(spec, &report);
	if (!err)
		err = check_isolation(spec, &report);
	for (uint32_t k = 0; !err && k < spec->class_count; k++) {
		err = tpi_class_check(&spec->classes[k], &report);
		if (!err)
			err = check_class_order(spec, k, &report);
	}
	return err;
}
