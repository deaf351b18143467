/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat serve`. */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include "tools/shmstat/command.h"

#define SERVE_ADDRESS "127.0.0.1"
/*
 * OpenTelemetry's default for exporters of Prometheus metrics, so the configuration of a
 * scraper is likely to have it.
 */
#define SERVE_PORT "9464"

struct serve_options {
	const char *listen; /* ADDR[:PORT]. NULL: the default */
	bool remote;        /* it may be one that other hosts reach */
};

/* Until a signal. Not built without libmicrohttpd. Its exit status. */
int serve_run(struct stat_args *args, const struct serve_options *options);

#endif
