/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Done the same way by every command-line tool of Tapio: exit statuses,
 * messages, the options --socket and --wait, waiting for a broker, signals.
 *
 *	static const struct argp_child children[] = {
 *		{&tpi_connect_argp, 0, "Broker", 0}, {0}};
 *	static struct argp argp = {options, parse, "CHANNEL", doc, children};
 *	...
 *	tpi_tool_init("tapio-x");
 *	argp_parse(&argp, argc, argv, 0, NULL, &args);
 *	tpi_signals_init();
 *	err = tpi_connect(&args.connect, open_it, &args);
 *	if (err)
 *		return tpi_connect_failed(&args.connect, "channel", err);
 *
 * The parser of the tool hands the connection options to the child parser:
 * state->child_inputs[0] = &args->connect at ARGP_KEY_INIT.
 */
#ifndef TPI_TOOLS_TOOL_H
#define TPI_TOOLS_TOOL_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <tapio/common.h>

/* Exit statuses. The man pages promise them. */
enum tpi_exit {
	TPI_EXIT_OK = 0,
	TPI_EXIT_FAILURE = 1,
	TPI_EXIT_USAGE = 2,
	TPI_EXIT_NO_BROKER = 3, /* none answers at the socket */
	TPI_EXIT_REFUSED = 4,   /* no such channel, or no right to it */
	TPI_EXIT_BROKER_GONE = 5,
	TPI_EXIT_CORRUPT = 6, /* memory that cannot be followed */
};

/*
 * First in main(): occupies descriptors 0 to 2 if they are closed, and sets the tool's
 * name in messages, argp's usage status, and --version.
 */
void tpi_tool_init(const char *name);

/* "name: message\n" on stderr, in one write. */
void tpi_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t tpi_monotonic_ns(void);
/* Any clock of clock_gettime(2), in ns. */
uint64_t tpi_clock_read_ns(clockid_t clock);

/* begin_ns + duration_ns. INT64_MAX: never (TAPIO_FOREVER, or so far away). */
int64_t tpi_deadline_ns(int64_t begin_ns, int64_t duration_ns);

/* ---- arguments ---------------------------------------------------------- */

/*
 * Option values for argp parsers. A value that does not parse ends the program
 * with status TPI_EXIT_USAGE and a message that names the option, the value and
 * what is allowed.
 */
int64_t tpi_arg_duration(struct argp_state *state, const char *option,
			 const char *text);
uint64_t tpi_arg_size(struct argp_state *state, const char *option,
		      const char *text, uint64_t min, uint64_t max);
uint64_t tpi_arg_rate(struct argp_state *state, const char *option,
		      const char *text);
uint64_t tpi_arg_count(struct argp_state *state, const char *option,
		       const char *text, uint64_t min, uint64_t max);

/* ---- the broker --------------------------------------------------------- */

struct tpi_connect {
	const char *socket; /* --socket. NULL: TAPIO_SOCKET or the default */
	int64_t wait_ns;    /* --wait. 0: not at all */
	int64_t end_ns;     /* but no longer than to here. 0: no limit */
	char error[320];    /* why the last attempt failed */
	bool own_broker;    /* the tool starts one when no socket is named */
	int64_t away_ns; /* since when its broker does not answer. 0: it does */
	/* Called between two tries, some times a second. NULL: there is nothing to do then. */
	void (*idle)(void *arg);
	void *idle_arg;
};

/* The text of --help about --socket. */
#define TPI_SOCKET_HELP                                                        \
	"Socket of the broker, a path or @NAME (default: $TAPIO_SOCKET; else " \
	"$XDG_RUNTIME_DIR/tapio/tapiod.sock if it exists and the user is not " \
	"root; else " TAPIO_SOCKET_DEFAULT ")"

/* The options --socket and --wait. Input: struct tpi_connect. */
extern const struct argp tpi_connect_argp;

/*
 * Where the broker is looked for now, with the environment and the default. Valid
 * until the next call.
 */
const char *tpi_connect_socket(const struct tpi_connect *connect);

/*
 * Calls `open` until it does anything but find no broker, for at most wait_ns,
 * or until a signal asks to stop. 0, or the last error of `open`. -EINTR when
 * stopped. `open` opens its handle with the options it is given.
 */
typedef int tpi_open_fn(void *arg, const struct tapio_options *options);
int tpi_connect(struct tpi_connect *connect, tpi_open_fn *open, void *arg);

/* Whether a process listens at the socket, for a tool that has no handle yet. A full backlog
 * is a listener, too. */
bool tpi_has_listener(const char *name);

/*
 * Whether the broker of a handle has gone for good. `link` is what the handle says of it
 * (TAPIO_LINK_*). A broker that was killed is replaced by its keeper, which holds the socket
 * meanwhile: the handle comes back then, and there is nothing to do. For that it has 5 seconds.
 */
bool tpi_broker_gone(struct tpi_connect *connect, int link);

/* Says why tpi_connect failed and returns the exit status for it. */
enum tpi_exit tpi_connect_failed(const struct tpi_connect *connect,
				 const char *channel, int err);

/* ---- signals ------------------------------------------------------------ */

/*
 * From here on SIGINT, SIGTERM and SIGHUP ask to stop (a second one kills), and
 * SIGPIPE is ignored: a reader that left shows as EPIPE.
 */
void tpi_signals_init(void);

/* The signal that asked to stop, or 0. */
int tpi_stop_signal(void);

/*
 * Sleeps until tpi_monotonic_ns() reaches deadline_ns. True: it did. False: it was
 * asked to stop, at once even if the signal came just before the call.
 */
bool tpi_sleep_until(int64_t deadline_ns);

/* The same, and ends early when `fd` polls readable: 1 it does, 0 the deadline
 * has come, -EINTR asked to stop. */
int tpi_wait_until(int fd, int64_t deadline_ns);

#endif
