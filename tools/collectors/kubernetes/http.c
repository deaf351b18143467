/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl on one thread. See the header.
 *
 * libcurl says which descriptors it wants watched and until when, and an epoll descriptor
 * watches them, so that the collector sleeps in one place for all its reasons.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <curl/curl.h>

#include <tapio/version.h>

#include "tools/collectors/kubernetes/http.h"
#include "tools/common/tool.h"

struct tpi_kube_http {
	CURLM *multi;
	int fd;
	int64_t timer_ns; /* INT64_MAX: none */
	struct tpi_kube_request *running;
};

/* ---- what libcurl calls --------------------------------------------------- */

static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *arg,
			void *known)
{
	struct tpi_kube_http *http = arg;
	struct epoll_event event = {.data.fd = socket};

	(void)easy;
	(void)known;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(http->fd, EPOLL_CTL_DEL, socket, NULL);
		return 0;
	}
	if (what != CURL_POLL_OUT)
		event.events |= EPOLLIN;
	if (what != CURL_POLL_IN)
		event.events |= EPOLLOUT;
	if (epoll_ctl(http->fd, EPOLL_CTL_MOD, socket, &event) &&
	    epoll_ctl(http->fd, EPOLL_CTL_ADD, socket, &event))
		return -1;
	return 0;
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct tpi_kube_http *http = arg;

	(void)multi;
	http->timer_ns =
		ms < 0 ? INT64_MAX : tpi_monotonic_ns() + ms * INT64_C(1000000);
	return 0;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *arg)
{
	struct tpi_kube_request *request = arg;

	/* The empty line ends the headers. */
	if (size * count == 2 && bytes[0] == '\r') {
		request->answered = true;
		request->heard_ns = tpi_monotonic_ns();
	}
	return size * count;
}

static size_t keep_refusal(struct tpi_kube_request *request, const char *bytes,
			   size_t length)
{
	size_t room = sizeof(request->refusal) - 1 - request->refusal_bytes;

	memcpy(request->refusal + request->refusal_bytes, bytes,
	       length < room ? length : room);
	request->refusal_bytes += length < room ? length : room;
	/* More of it tells nothing new. */
	return room ? length : 0;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct tpi_kube_request *request = arg;
	size_t length = size * count;
	long status = 0;

	request->heard_ns = tpi_monotonic_ns();
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return keep_refusal(request, bytes, length);
	request->body_bytes += length;
	request->body_error = request->body(request->arg, bytes, length);
	/* `body` may have waited for long. */
	request->heard_ns = tpi_monotonic_ns();
	return request->body_error ? 0 : length;
}

/* ---- open and close ------------------------------------------------------- */

int tpi_kube_http_open(struct tpi_kube_http **out)
{
	struct tpi_kube_http *http = calloc(1, sizeof(*http));

	*out = NULL;
	if (!http)
		return -ENOMEM;
	http->timer_ns = INT64_MAX;
	http->fd = epoll_create1(EPOLL_CLOEXEC);
	if (http->fd < 0) {
		int err = -errno;
		free(http);
		return err;
	}
	if (!curl_global_init(CURL_GLOBAL_DEFAULT))
		http->multi = curl_multi_init();
	if (!http->multi) {
		close(http->fd);
		free(http);
		return -ENOMEM;
	}
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	*out = http;
	return 0;
}

void tpi_kube_http_close(struct tpi_kube_http *http)
{
	if (!http)
		return;
	curl_multi_cleanup(http->multi);
	curl_global_cleanup();
	close(http->fd);
	free(http);
}

/* ---- start and stop ------------------------------------------------------- */

static int add_header(struct tpi_kube_request *request, const char *header)
{
	struct curl_slist *list = curl_slist_append(request->headers, header);

	if (!list)
		return -ENOMEM;
	request->headers = list;
	return 0;
}

static int add_token(struct tpi_kube_request *request, const char *token)
{
	char *header;
	int err;

	if (asprintf(&header, "Authorization: Bearer %s", token) < 0)
		return -ENOMEM;
	err = add_header(request, header);
	explicit_bzero(header, strlen(header));
	free(header);
	return err;
}

static void set_pem(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {.data = (void *)pem,
				 .len = pem ? strlen(pem) : 0,
				 .flags = CURL_BLOB_COPY};

	if (pem)
		curl_easy_setopt(easy, option, &blob);
}

static void set_text(CURL *easy, CURLoption option, const char *text)
{
	if (text)
		curl_easy_setopt(easy, option, text);
}

/* The server's certificate is checked against this, and ours is sent. */
static void set_tls(CURL *easy, const struct tpi_kube_access *access)
{
	if (access->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (access->ca_pem)
		set_pem(easy, CURLOPT_CAINFO_BLOB, access->ca_pem);
	else
		set_text(easy, CURLOPT_CAINFO, access->ca_file);
	if (access->certificate_pem)
		set_pem(easy, CURLOPT_SSLCERT_BLOB, access->certificate_pem);
	else
		set_text(easy, CURLOPT_SSLCERT, access->certificate_file);
	if (access->key_pem)
		set_pem(easy, CURLOPT_SSLKEY_BLOB, access->key_pem);
	else
		set_text(easy, CURLOPT_SSLKEY, access->key_file);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A CA that was replaced counts from the next connection on. */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
}

static int set_credentials(struct tpi_kube_request *request,
			   const struct tpi_kube_access *access)
{
	/* As kubectl does: nothing that is secret over a connection in the clear. */
	if (!tpi_kube_access_is_tls(access))
		return 0;
	set_tls(request->easy, access);
	if (access->token)
		return add_token(request, access->token);
	set_text(request->easy, CURLOPT_USERNAME, access->user);
	set_text(request->easy, CURLOPT_PASSWORD, access->password);
	return 0;
}

static void set_limits(CURL *easy, const struct tpi_kube_request *request)
{
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(request->answer_ns / 1000000));
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS,
			 CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

static int set_up(struct tpi_kube_request *request,
		  const struct tpi_kube_access *access, const char *url)
{
	CURL *easy = request->easy;

	curl_easy_setopt(easy, CURLOPT_URL, url);
	set_text(easy, CURLOPT_PROXY, access->proxy);
	set_limits(easy, request);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	curl_easy_setopt(easy, CURLOPT_USERAGENT,
			 "tapio-collect-kubernetes/" TAPIO_VERSION);
	int err = add_header(request, "Accept: application/json");
	if (!err)
		err = set_credentials(request, access);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	return err;
}

/* Gives the memory of libcurl back. */
static void release(struct tpi_kube_request *request)
{
	if (request->easy)
		curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->headers);
	request->easy = request->headers = NULL;
}

static void begin(struct tpi_kube_request *request, struct tpi_kube_http *http)
{
	request->http = http;
	request->status = 0;
	request->body_error = 0;
	request->silent = request->whole = request->answered = false;
	request->why[0] = request->error[0] = '\0';
	request->retry_after_ns = 0;
	request->body_bytes = request->refusal_bytes = 0;
	request->began_ns = request->heard_ns = tpi_monotonic_ns();
}

int tpi_kube_http_start(struct tpi_kube_http *http,
			struct tpi_kube_request *request,
			const struct tpi_kube_access *access, const char *path)
{
	char *url;

	begin(request, http);
	if (asprintf(&url, "%s%s", access->server, path) < 0)
		return -ENOMEM;
	request->easy = curl_easy_init();
	int err = request->easy ? set_up(request, access, url) : -ENOMEM;
	free(url);
	if (!err && curl_multi_add_handle(http->multi, request->easy))
		err = -ENOMEM;
	if (err) {
		release(request);
		return err;
	}
	request->next = http->running;
	http->running = request;
	return 0;
}

static void take_out(struct tpi_kube_request *request)
{
	struct tpi_kube_request **at = &request->http->running;

	while (*at != request)
		at = &(*at)->next;
	*at = request->next;
	curl_multi_remove_handle(request->http->multi, request->easy);
	release(request);
}

void tpi_kube_http_stop(struct tpi_kube_request *request)
{
	if (request->easy)
		take_out(request);
}

/* ---- the end of one ------------------------------------------------------- */

static void say_why(struct tpi_kube_request *request, CURLcode code)
{
	if (request->silent) {
		snprintf(request->why, sizeof(request->why),
			 request->answered ? "it sends nothing any more"
					   : "it does not answer");
	} else if (request->status && request->status != 200) {
		request->refusal[request->refusal_bytes] = '\0';
		snprintf(request->why, sizeof(request->why), "status %ld",
			 request->status);
	} else if (request->body_error == -EBADMSG) {
		snprintf(request->why, sizeof(request->why),
			 "malformed answer");
	} else if (code) {
		snprintf(request->why, sizeof(request->why), "%s",
			 request->error[0] ? request->error
					   : curl_easy_strerror(code));
	}
}

static void finish(struct tpi_kube_request *request, CURLcode code)
{
	curl_off_t seconds = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE,
			  &request->status);
	curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds > 0 && seconds < 3600)
		request->retry_after_ns = seconds * INT64_C(1000000000);
	request->whole = !code;
	say_why(request, code);
	take_out(request);
	request->done(request->arg, request);
}

static void finish_all(struct tpi_kube_http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
		char *request = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
				  &request);
		finish((struct tpi_kube_request *)(void *)request, code);
	}
}

/* ---- work ----------------------------------------------------------------- */

static int64_t limit_of(const struct tpi_kube_request *request)
{
	if (!request->answered)
		return tpi_deadline_ns(request->began_ns, request->answer_ns);
	return tpi_deadline_ns(request->heard_ns, request->silence_ns);
}

int tpi_kube_http_fd(const struct tpi_kube_http *http)
{
	return http->fd;
}

int64_t tpi_kube_http_deadline(const struct tpi_kube_http *http)
{
	int64_t deadline_ns = http->timer_ns;

	for (const struct tpi_kube_request *request = http->running; request;
	     request = request->next)
		if (limit_of(request) < deadline_ns)
			deadline_ns = limit_of(request);
	return deadline_ns;
}

static void work_sockets(struct tpi_kube_http *http)
{
	struct epoll_event events[32];
	int running, count = epoll_wait(http->fd, events, 32, 0);

	for (int i = 0; i < count; i++) {
		int what = 0;

		if (events[i].events & (EPOLLIN | EPOLLHUP))
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			what |= CURL_CSELECT_ERR;
		curl_multi_socket_action(http->multi, events[i].data.fd, what,
					 &running);
	}
}

/* After the sockets: bytes that wait there have come, however late we look. */
static void give_up_silent(struct tpi_kube_http *http)
{
	int64_t now_ns = tpi_monotonic_ns();
	struct tpi_kube_request *request = http->running;

	while (request) {
		if (limit_of(request) > now_ns) {
			request = request->next;
			continue;
		}
		request->silent = true;
		finish(request, CURLE_OPERATION_TIMEDOUT);
		request = http->running; /* `done` may have changed the list */
		now_ns = tpi_monotonic_ns();
	}
}

void tpi_kube_http_work(struct tpi_kube_http *http)
{
	int running;

	work_sockets(http);
	if (http->timer_ns <= tpi_monotonic_ns()) {
		http->timer_ns = INT64_MAX;
		curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0,
					 &running);
	}
	finish_all(http);
	give_up_silent(http);
}
