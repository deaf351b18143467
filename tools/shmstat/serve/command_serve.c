/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat serve`: its options. */
#include <argp.h>

#include "tools/shmstat/serve/serve.h"

enum {
	OPTION_LISTEN = 4096,
	OPTION_REMOTE,
};

static struct serve_options own;

static const struct argp_option options[] = {
	{0, 0, 0, 0, "Of serve", 20},
	{"listen", OPTION_LISTEN, "ADDR[:PORT]", 0,
	 "Listen there (default: " SERVE_ADDRESS ":" SERVE_PORT
	 "; port 0: any that is "
	 "free)",
	 20},
	{"remote", OPTION_REMOTE, NULL, 0,
	 "Allow an address that other hosts can reach: all who reach it can "
	 "read names and counts",
	 20},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	(void)state;
	switch (key) {
	case OPTION_LISTEN:
		own.listen = arg;
		return 0;
	case OPTION_REMOTE:
		own.remote = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp command_serve_argp = {.options = options, .parser = parse};

int command_serve(struct stat_args *args)
{
#ifdef TAPIO_HTTP
	return serve_run(args, &own);
#else
	(void)args;
	tpi_say("serve: this tapio-shmstat was built without libmicrohttpd: use "
		"`watch --json`");
	return TPI_EXIT_FAILURE;
#endif
}
