/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat serve`: the address, and looks as texts for the server. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/shmstat/live.h"
#include "tools/shmstat/rates.h"
#include "tools/shmstat/serve/http.h"
#include "tools/shmstat/serve/metrics.h"
#include "tools/shmstat/serve/serve.h"

#define INTERVAL_NS     INT64_C(1000000000)
#define INTERVAL_MIN_NS INT64_C(100000000)
#define BACKLOG         64

/* ---- the address ------------------------------------------------------------------- */

/* ADDR, ADDR:PORT, [ADDR6] or [ADDR6]:PORT. False: it is none of them. */
static bool split(const char *text, char *host, size_t host_bytes, char *port,
		  size_t port_bytes)
{
	const char *end, *begin = text;
	size_t length;

	if (*text == '[') {
		begin = text + 1;
		end = strchr(begin, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		text = end + 1;
	} else {
		end = strrchr(text, ':');
		if (end && strchr(text, ':') != end)
			return false; /* an IPv6 address needs brackets */
		if (!end)
			end = text + strlen(text);
		text = end;
	}
	length = (size_t)(end - begin);
	if (!length || length >= host_bytes)
		return false;
	memcpy(host, begin, length);
	host[length] = 0;
	snprintf(port, port_bytes, "%s", *text ? text + 1 : SERVE_PORT);
	return *port && strspn(port, "0123456789") == strlen(port);
}

static bool is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;

	if (address->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return address->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int listen_at(const struct addrinfo *a)
{
	int fd = socket(a->ai_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	close(fd);
	return -1;
}

/* As a URL of the address that it was bound to. */
static void name_url(int fd, char *url, size_t size)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char host[64] = "?", port[16] = "?";

	getsockname(fd, (struct sockaddr *)&address, &length);
	getnameinfo((struct sockaddr *)&address, length, host, sizeof(host),
		    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(url, size,
		 address.ss_family == AF_INET6 ? "http://[%s]:%s/"
					       : "http://%s:%s/",
		 host, port);
}

/* The address of --listen. Freed by freeaddrinfo(). NULL, with a message. */
static struct addrinfo *resolve(const char *listen)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	char host[256], port[16];
	struct addrinfo *found = NULL;
	int err;

	if (!split(listen, host, sizeof(host), port, sizeof(port)) ||
	    strtoul(port, NULL, 10) > 65535) {
		tpi_say("serve: --listen: '%s' is not ADDR or ADDR:PORT with a "
			"port of 0 to 65535, as 127.0.0.1:9464 or [::1]:9464",
			listen);
		return NULL;
	}
	err = getaddrinfo(host, port, &hints, &found);
	if (err) {
		tpi_say("serve: --listen: '%s': %s", host, gai_strerror(err));
		return NULL;
	}
	return found;
}

/* A socket that listens. Its exit status if there is none. */
static int open_listener(const struct serve_options *own, int *fd,
			 bool *loopback, char *url, size_t size)
{
	const char *listen = own->listen ? own->listen : SERVE_ADDRESS;
	struct addrinfo *address = resolve(listen);

	if (!address)
		return TPI_EXIT_USAGE;
	*loopback = is_loopback(address->ai_addr);
	if (!*loopback && !own->remote) {
		tpi_say("serve: --listen: other hosts may reach %s, and all who "
			"reach it can read names and counts: say --remote to "
			"allow it, or listen at 127.0.0.1",
			listen);
		freeaddrinfo(address);
		return TPI_EXIT_USAGE;
	}
	*fd = listen_at(address);
	freeaddrinfo(address);
	if (*fd < 0) {
		tpi_say("serve: cannot listen at %s: %s%s", listen,
			strerror(errno),
			errno == EADDRINUSE
				? ": another port by --listen ADDR:PORT"
				: "");
		return TPI_EXIT_FAILURE;
	}
	name_url(*fd, url, size);
	if (!*loopback)
		tpi_say("warning: other hosts can reach %s: there is no "
			"encryption, and no password",
			url);
	return TPI_EXIT_OK;
}

/* ---- looks --------------------------------------------------------------------------- */

static char *dump(json_t *value, size_t *length)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(6));

	*length = text ? strlen(text) : 0;
	return text;
}

static void publish(struct http *http, struct rates *rates,
		    struct live_news *news)
{
	struct http_look look = {.found = news->look != NULL};
	json_t *page, *json = json_incref(news->look);

	if (news->look)
		rates_add(rates, news->look, news->at_ns);
	else
		json = json_pack("{s:s}", "waiting", news->why);
	page = metrics_page(news->look, news->why);
	look.texts[HTTP_METRICS_OPEN] = metrics_text(
		news->look, true, &look.lengths[HTTP_METRICS_OPEN]);
	look.texts[HTTP_METRICS_PLAIN] = metrics_text(
		news->look, false, &look.lengths[HTTP_METRICS_PLAIN]);
	look.texts[HTTP_JSON] = dump(json, &look.lengths[HTTP_JSON]);
	look.texts[HTTP_EVENT] = dump(page, &look.lengths[HTTP_EVENT]);
	json_decref(page);
	json_decref(json);
	json_decref(news->look);
	http_publish(http, &look);
}

/* Looks rest while no client wants them, so an idle server costs nothing. */
static void serve(struct http *http, struct live *live, struct rates *rates,
		  const sigset_t *open)
{
	struct live_news news;

	while (!tpi_stop_signal()) {
		struct pollfd fds[2] = {
			{.fd = live_fd(live), .events = POLLIN},
			{.fd = http_fd(http), .events = POLLIN},
		};
		struct timespec second = {.tv_sec = 1};
		uint64_t count;

		live_run(live, http_is_wanted(http));
		if (live_take(live, &news))
			publish(http, rates, &news);
		http_tick(http);
		ppoll(fds, 2, &second, open);
		if (fds[1].revents &&
		    read(http_fd(http), &count, sizeof(count)) < 0)
			continue;
	}
}

/* They come during a wait of this thread alone, and threads that it starts have none. */
static void block_signals(sigset_t *open)
{
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &block, open);
}

static int run(struct stat_args *args, int fd, bool loopback, const char *url)
{
	int64_t interval = args->repeat_ns ? args->repeat_ns : INTERVAL_NS;
	struct rates *rates = rates_new();
	struct http *http = NULL;
	struct live *live = NULL;
	sigset_t open;
	int err =
		rates ? live_start(&live, args, PARTS_ALL, interval) : -ENOMEM;

	block_signals(&open);
	if (!err) {
		http = http_start(fd, loopback, 2 * interval);
		err = http ? 0 : -errno;
	}
	if (!err) {
		printf("%s\n", url);
		fflush(stdout);
		serve(http, live, rates, &open);
		http_stop(http);
	} else {
		close(fd);
		tpi_say("serve: %s", strerror(-err));
	}
	pthread_sigmask(SIG_SETMASK, &open, NULL);
	live_stop(live);
	rates_free(rates);
	return err ? TPI_EXIT_FAILURE : TPI_EXIT_OK;
}

int serve_run(struct stat_args *args, const struct serve_options *own)
{
	char url[128];
	bool loopback;
	int fd, status;

	if (args->repeat_ns && args->repeat_ns < INTERVAL_MIN_NS) {
		tpi_say("serve: --interval: less than 100ms: a page is not "
			"drawn more often");
		return TPI_EXIT_USAGE;
	}
	tpi_signals_init();
	status = open_listener(own, &fd, &loopback, url, sizeof(url));
	return status ? status : run(args, fd, loopback, url);
}
