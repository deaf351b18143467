/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to each request. See http.h. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/common/tool.h"
#include "tools/shmstat/serve/http_internal.h"

static const char index_path[] = "/index.html";

/*
 * Nothing that the page was not built with runs, is loaded or is sent elsewhere, and no page
 * of another origin reads or frames this one.
 */
static const struct {
	const char *name, *value;
} headers[] = {
	{"Content-Security-Policy",
	 "default-src 'none'; script-src 'self'; style-src 'self'; "
	 "connect-src 'self'; base-uri 'none'; form-action 'none'; "
	 "frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Cache-Control", "no-store"},
};

static enum MHD_Result send_it(struct MHD_Connection *connection,
			       unsigned int status, const char *type,
			       struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		MHD_add_response_header(response, headers[i].name,
					headers[i].value);
	MHD_add_response_header(response, "Content-Type", type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection,
			      unsigned int status, const char *text)
{
	return send_it(connection, status, "text/plain; charset=utf-8",
		       MHD_create_response_from_buffer(strlen(text),
						       (void *)(uintptr_t)text,
						       MHD_RESPMEM_PERSISTENT));
}

struct heads {
	unsigned int hosts, lengths;
};

static enum MHD_Result count_head(void *context, enum MHD_ValueKind kind,
				  const char *name, size_t name_bytes,
				  const char *value, size_t value_bytes)
{
	struct heads *heads = context;

	(void)kind;
	(void)name_bytes;
	(void)value;
	(void)value_bytes;
	heads->hosts += !strcasecmp(name, MHD_HTTP_HEADER_HOST);
	heads->lengths += !strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH);
	return MHD_YES;
}

/*
 * Whether each part of the way would read the same in its head. Of two hosts or lengths a proxy
 * may take one and we the other (RFC 9112, 3.2 and 6.3).
 */
static bool is_clear(struct MHD_Connection *connection)
{
	struct heads heads = {0};

	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, count_head,
				    &heads);
	return heads.hosts <= 1 && heads.lengths <= 1;
}

/* Behind the name of a host: nothing, or any port, since a tunnel has its own. */
static bool is_port(const char *text)
{
	size_t digits;

	if (!*text)
		return true;
	digits = strspn(text + 1, "0123456789");
	return *text == ':' && !text[1 + digits] && digits <= 5 &&
	       atoi(text + 1) <= UINT16_MAX;
}

/*
 * Whether the request is for this host by a name that no other host can have. A page of
 * another origin whose name was made to point here (DNS rebinding) has that name in it. A client
 * of HTTP/1.0 without one is no browser.
 */
static bool is_for_us(struct MHD_Connection *connection)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
	const char *host = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	size_t length;

	if (!host)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		length = strlen(names[i]);
		if (!strncasecmp(host, names[i], length) &&
		    is_port(host + length))
			return true;
	}
	return false;
}

static void put_body(void *context)
{
	http_body_put(context);
}

static const char *const types[HTTP_TEXTS] = {
	[HTTP_METRICS_OPEN] =
		"application/openmetrics-text; version=1.0.0; charset=utf-8",
	[HTTP_METRICS_PLAIN] = "text/plain; version=0.0.4; charset=utf-8",
	[HTTP_JSON] = "application/json",
};

/* The text of the last look. If that is too old, the request waits for the next. */
static enum MHD_Result send_text(struct http *http,
				 struct MHD_Connection *connection,
				 enum http_text which)
{
	struct body *body = NULL;
	bool wait, found;

	pthread_mutex_lock(&http->lock);
	http_want_locked(http);
	wait = !http->stop &&
	       (!http->number ||
		tpi_monotonic_ns() - http->at_ns > http->fresh_ns);
	if (wait) {
		http_wait_locked(http, connection);
	} else {
		body = http->bodies[which];
		if (body)
			body->references++;
		http_peer_does(http_peer(connection), PEER_IS_SENT);
	}
	found = http->found;
	pthread_mutex_unlock(&http->lock);
	if (wait)
		return MHD_YES;
	if (!body)
		return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			      "no memory for an answer\n");
	return send_it(connection,
		       which == HTTP_JSON && !found
			       ? MHD_HTTP_SERVICE_UNAVAILABLE
			       : MHD_HTTP_OK,
		       types[which],
		       MHD_create_response_from_buffer_with_free_callback_cls(
			       body->length, body->text, put_body, body));
}

/* The older format is for those who ask for it alone. */
static enum http_text metrics_format(struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);

	return accept && strstr(accept, "text/plain") &&
			       !strstr(accept, "application/openmetrics-text")
		       ? HTTP_METRICS_PLAIN
		       : HTTP_METRICS_OPEN;
}

static enum MHD_Result send_asset(struct MHD_Connection *connection,
				  const char *path)
{
	for (size_t i = 0; i < http_asset_count; i++) {
		const struct http_asset *a = &http_assets[i];

		if (!strcmp(path, a->path))
			return send_it(connection, MHD_HTTP_OK, a->type,
				       MHD_create_response_from_buffer(
					       a->length,
					       (void *)(uintptr_t)a->data,
					       MHD_RESPMEM_PERSISTENT));
	}
	return refuse(connection, MHD_HTTP_NOT_FOUND,
		      "not found: there are /, /metrics, /json and /events\n");
}

static enum MHD_Result
route(struct http *http, struct MHD_Connection *connection, const char *path)
{
	if (!strcmp(path, "/metrics"))
		return send_text(http, connection, metrics_format(connection));
	if (!strcmp(path, "/json"))
		return send_text(http, connection, HTTP_JSON);
	if (!strcmp(path, "/events"))
		return send_it(connection, MHD_HTTP_OK, "text/event-stream",
			       http_stream(http, connection));
	return send_asset(connection,
			  strcmp(path, "/") != 0 ? path : index_path);
}

static bool has_body(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return (length && strcmp(length, "0") != 0) ||
	       MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
					   MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

/*
 * Called first without what follows the head, and then again. An answer to the first call ends
 * the connection, without reading on.
 */
enum MHD_Result http_answer(void *context, struct MHD_Connection *connection,
			    const char *url, const char *method,
			    const char *version, const char *data,
			    size_t *data_bytes, void **state)
{
	struct http *http = context;

	(void)version;
	(void)data;
	(void)data_bytes;
	pthread_mutex_lock(&http->lock);
	http_peer_does(http_peer(connection), PEER_IS_SENT);
	pthread_mutex_unlock(&http->lock);
	if (!is_clear(connection))
		return refuse(connection, MHD_HTTP_BAD_REQUEST,
			      "its head has a host or a length twice\n");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
			      "only GET and HEAD: nothing can be changed\n");
	if (has_body(connection))
		return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE,
			      "no request has a body here\n");
	if (!*state) {
		*state = http;
		return MHD_YES;
	}
	if (http->loopback && !is_for_us(connection))
		return refuse(
			connection, MHD_HTTP_MISDIRECTED_REQUEST,
			"this server answers for localhost, 127.0.0.1 and "
			"[::1] alone\n");
	return route(http, connection, url);
}
