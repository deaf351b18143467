/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which a stream asks, and what it does when an answer is none. See the header.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/kubernetes/stream_inner.h"
#include "tools/common/tool.h"

/* Of what is kept of one object. */
#define TEXT_BYTES   (128 * 1024)
#define STRING_BYTES 8192
/* A watch that ends sooner is not followed by the next one at once: that might go on for ever. */
#define SHORT_NS INT64_C(1000000000)

/* ---- failures ------------------------------------------------------------- */

/* The words of a server, for a line of a log. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

/* Adds the message of a refusal. Its body is a Status in JSON from an API server. */
static void add_refusal(struct tpi_kube_request *request)
{
	size_t used = strlen(request->why);
	json_t *json = json_loads(request->refusal, 0, NULL);
	struct tpi_kube_span message = tpi_kube_string_at(json, "message");

	if (message.at && used < sizeof(request->why))
		snprintf(request->why + used, sizeof(request->why) - used,
			 ": %s", message.at);
	json_decref(json);
	make_printable(request->why);
}

static void say_failure(struct tpi_kube_stream *stream, const char *why)
{
	if (stream->told_failure && !strcmp(stream->failure, why))
		return;
	snprintf(stream->failure, sizeof(stream->failure), "%s", why);
	stream->told_failure = true;
	tpi_say("%s: %s: %s", stream->where, stream->shared->access.server,
		why);
}

static void wait_a_little(struct tpi_kube_stream *stream)
{
	int64_t wait_ns =
		tpi_kube_backoff_fail(&stream->backoff, tpi_kube_random());

	if (wait_ns < stream->request.retry_after_ns)
		wait_ns = stream->request.retry_after_ns;
	stream->next_ns = tpi_deadline_ns(tpi_monotonic_ns(), wait_ns);
}

static void fail(struct tpi_kube_stream *stream, const char *why)
{
	stream->counts.failures++;
	say_failure(stream, why);
	wait_a_little(stream);
}

void tpi_kube_works(struct tpi_kube_stream *stream)
{
	tpi_kube_backoff_reset(&stream->backoff);
	if (stream->told_failure)
		tpi_say("%s: the server answers again", stream->where);
	stream->told_failure = false;
}

/* The certificate, the token or the kubeconfig may have been replaced. */
static void renew_access(struct tpi_kube_stream *stream)
{
	struct tpi_kube_shared *shared = stream->shared;
	struct tpi_kube_access access;
	char why[TPI_KUBE_WHY_BYTES];

	if (tpi_kube_access_load(&access, &shared->access_options, why,
				 sizeof(why))) {
		say_failure(stream, why);
		return;
	}
	tpi_kube_access_fini(&shared->access);
	shared->access = access;
}

/* A request that did not give what was asked for. Where to go on is set already. */
static void request_failed(struct tpi_kube_stream *stream)
{
	struct tpi_kube_request *request = &stream->request;
	const char *why = request->why;
	char text[TPI_KUBE_WHY_BYTES];

	if (stream->said.error) {
		snprintf(text, sizeof(text), "error %ld: %s",
			 stream->said.error, stream->said.message);
		make_printable(text);
		why = text;
	} else if (request->status == 200 && request->whole) {
		why = "the answer is not what was asked for";
	}
	fail(stream, why);
	if (request->status == 401 || stream->said.error == 401)
		renew_access(stream);
}

static void go_to(struct tpi_kube_stream *stream, enum tpi_kube_state state)
{
	stream->state = state;
	stream->next_ns = tpi_monotonic_ns();
	stream->paging = false;
	stream->next[0] = '\0';
}

/* The bytes were no JSON. */
static void garbled(struct tpi_kube_stream *stream, struct tpi_kube_scan *scan)
{
	char why[TPI_KUBE_WHY_BYTES];

	snprintf(why, sizeof(why), "malformed answer: %s at byte %llu",
		 tpi_kube_scan_reason(scan),
		 (unsigned long long)tpi_kube_scan_offset(scan));
	if (stream->state == TPI_KUBE_WATCH)
		tpi_kube_note_loss(stream, "malformed", TPI_LOSS_UNKNOWN, why);
	go_to(stream, TPI_KUBE_LIST);
	fail(stream, why);
}

static bool is_gone(const struct tpi_kube_stream *stream)
{
	return stream->request.status == 410 || stream->said.error == 410;
}

/* ---- resolve -------------------------------------------------------------- */

static int feed_discovery(void *arg, const char *bytes, size_t length)
{
	struct tpi_kube_stream *stream = arg;

	return tpi_kube_discovery_feed(stream->discovery, bytes, length);
}

static void give_up_name(struct tpi_kube_stream *stream)
{
	char why[TPI_KUBE_WHY_BYTES];

	snprintf(why, sizeof(why), "it has no resource '%.200s'%s",
		 stream->resource.asked,
		 tpi_kube_discovery_partial(stream->discovery)
			 ? ", but did not tell of all groups"
			 : "");
	tpi_kube_discovery_close(stream->discovery);
	stream->discovery = NULL; /* from the beginning, after a while */
	fail(stream, why);
}

static void resolve_done(struct tpi_kube_stream *stream)
{
	const struct tpi_kube_request *request = &stream->request;
	bool answered = request->status == 200 && request->whole;
	/* Some groups are served elsewhere, or not to us. */
	bool passed = request->status >= 400 && request->status != 401 &&
		      request->status != 429;

	if (!answered && !passed) { /* from the beginning */
		tpi_kube_discovery_close(stream->discovery);
		stream->discovery = NULL;
		request_failed(stream);
		return;
	}
	if (tpi_kube_discovery_next(stream->discovery, answered)) {
		tpi_kube_discovery_close(stream->discovery);
		stream->discovery = NULL;
		go_to(stream, TPI_KUBE_LIST);
	} else if (tpi_kube_discovery_path(stream->discovery)) {
		stream->next_ns = tpi_monotonic_ns();
	} else {
		give_up_name(stream);
	}
}

/* ---- list ----------------------------------------------------------------- */

static int feed_list(void *arg, const char *bytes, size_t length)
{
	struct tpi_kube_stream *stream = arg;

	return tpi_kube_scan_feed(stream->list_scan, bytes, length);
}

static void end_list(struct tpi_kube_stream *stream)
{
	/* An item that could not be read may be one that is known. */
	if (!stream->unsure && tpi_kube_take_gone(stream))
		return; /* asked to stop */
	tpi_kube_tell_loss(stream);
	stream->listed = true;
	stream->counts.lists++;
	tpi_kube_works(stream);
	go_to(stream, TPI_KUBE_WATCH);
}

static void list_done(struct tpi_kube_stream *stream)
{
	const struct tpi_kube_request *request = &stream->request;
	bool whole = request->status == 200 && request->whole &&
		     !tpi_kube_scan_inside(stream->list_scan);

	if (request->body_error == -EBADMSG) {
		garbled(stream, stream->list_scan);
	} else if (whole && stream->said.list_ended) {
		if (!stream->next[0]) {
			end_list(stream);
			return;
		}
		stream->paging = true;
		stream->next_ns = tpi_monotonic_ns();
	} else {
		go_to(stream, TPI_KUBE_LIST); /* from the first page */
		request_failed(stream);
	}
}

/* ---- watch ---------------------------------------------------------------- */

static int feed_watch(void *arg, const char *bytes, size_t length)
{
	struct tpi_kube_stream *stream = arg;

	return tpi_kube_scan_feed(stream->watch_scan, bytes, length);
}

/* The server has forgotten the version that we would go on from. */
static void watch_expired(struct tpi_kube_stream *stream)
{
	bool worked = stream->said.events > 0;

	tpi_kube_note_loss(stream, "expired", TPI_LOSS_UNKNOWN,
			   stream->said.message);
	go_to(stream, TPI_KUBE_LIST);
	if (!worked)
		wait_a_little(stream);
}

/* The server does not let us watch from there, and will not next time. */
static bool is_refused(const struct tpi_kube_stream *stream)
{
	long status = stream->said.error ? stream->said.error
					 : stream->request.status;

	return status >= 400 && status < 500 && status != 401 &&
	       status != 408 && status != 429;
}

static void watch_failed(struct tpi_kube_stream *stream)
{
	if (is_refused(stream)) {
		tpi_kube_note_loss(stream, "refused", TPI_LOSS_UNKNOWN,
				   "the server refuses to watch");
		go_to(stream, TPI_KUBE_LIST);
	}
	request_failed(stream);
}

/* The server has ended it, as was asked for, or much sooner. */
static void watch_ended(struct tpi_kube_stream *stream)
{
	int64_t now_ns = tpi_monotonic_ns();
	bool is_short = now_ns - stream->request.began_ns < SHORT_NS;

	if (!is_short || stream->said.events)
		tpi_kube_works(stream);
	if (is_short)
		wait_a_little(stream);
	else
		stream->next_ns = now_ns;
}

static void watch_done(struct tpi_kube_stream *stream)
{
	const struct tpi_kube_request *request = &stream->request;
	bool ended = request->status == 200 && request->whole &&
		     !stream->said.error &&
		     !tpi_kube_scan_inside(stream->watch_scan);

	if (request->body_error == -EBADMSG) {
		garbled(stream, stream->watch_scan);
	} else if (is_gone(stream)) {
		watch_expired(stream);
	} else if (!ended) {
		watch_failed(stream);
	} else {
		watch_ended(stream);
	}
}

/* ---- requests ------------------------------------------------------------- */

static void request_done(void *arg, struct tpi_kube_request *request)
{
	struct tpi_kube_stream *stream = arg;

	stream->running = false;
	stream->next_ns = INT64_MAX;
	if (stream->shared->emitter.left)
		return; /* asked to stop */
	if (request->status && request->status != 200)
		add_refusal(request);
	switch (stream->state) {
	case TPI_KUBE_RESOLVE:
		resolve_done(stream);
		break;
	case TPI_KUBE_LIST:
		list_done(stream);
		break;
	default:
		watch_done(stream);
	}
}

/* Sets the reader of the answer. The path, to be freed. NULL: no memory. */
static char *prepare(struct tpi_kube_stream *stream)
{
	struct tpi_kube_request *request = &stream->request;
	struct tpi_kube_shared *shared = stream->shared;

	memset(&stream->said, 0, sizeof(stream->said));
	request->answer_ns = request->silence_ns = shared->answer_ns;
	switch (stream->state) {
	case TPI_KUBE_RESOLVE:
		if (!stream->discovery &&
		    tpi_kube_discovery_open(&stream->discovery,
					    &stream->resource))
			return NULL;
		request->body = feed_discovery;
		return strdup(tpi_kube_discovery_path(stream->discovery));
	case TPI_KUBE_LIST:
		tpi_kube_scan_reset(stream->list_scan);
		if (!stream->paging) {
			tpi_kube_known_begin_round(&stream->known);
			stream->unsure = false;
		}
		request->body = feed_list;
		break;
	default:
		tpi_kube_scan_reset(stream->watch_scan);
		/* Nothing has to come before the server ends it. */
		request->silence_ns = shared->answer_ns + shared->watch_ns +
				      shared->watch_ns / 5;
		request->body = feed_watch;
		stream->counts.watches++;
	}
	return tpi_kube_stream_path(stream);
}

static void ask(struct tpi_kube_stream *stream)
{
	struct tpi_kube_shared *shared = stream->shared;
	char why[TPI_KUBE_WHY_BYTES];

	stream->request.retry_after_ns = 0;
	if (tpi_kube_access_refresh(&shared->access, why, sizeof(why)))
		say_failure(stream, why); /* the former token may do */
	char *path = prepare(stream);
	if (!path || tpi_kube_http_start(shared->http, &stream->request,
					 &shared->access, path))
		fail(stream, "out of memory");
	else
		stream->running = true;
	free(path);
}

void tpi_kube_stream_tend(struct tpi_kube_stream *stream)
{
	if (!stream->running && stream->next_ns <= tpi_monotonic_ns())
		ask(stream);
}

int64_t tpi_kube_stream_deadline(const struct tpi_kube_stream *stream)
{
	return stream->running ? INT64_MAX : stream->next_ns;
}

const struct tpi_kube_stream_counts *
tpi_kube_stream_counts(const struct tpi_kube_stream *stream)
{
	return &stream->counts;
}

/* ---- open and close ------------------------------------------------------- */

static int open_scans(struct tpi_kube_stream *stream)
{
	struct tpi_kube_scan_options options = {
		.keep = tpi_kube_list_keep,
		.text_bytes = TEXT_BYTES,
		.string_bytes = STRING_BYTES,
		.full_bytes = stream->shared->full_bytes,
		.document = tpi_kube_take_list,
		.arg = stream,
	};
	int err = tpi_kube_scan_open(&stream->list_scan, &options);

	options.keep = tpi_kube_watch_keep;
	options.document = tpi_kube_take_watch;
	return err ? err : tpi_kube_scan_open(&stream->watch_scan, &options);
}

static void set_where(struct tpi_kube_stream *stream)
{
	const char *in = stream->name_space;

	if (!stream->resource.namespaced)
		in = NULL;
	snprintf(stream->where, sizeof(stream->where), "%.200s%s%.64s",
		 stream->resource.asked, in ? " in " : "", in ? in : "");
}

int tpi_kube_stream_open(struct tpi_kube_stream **out,
			 struct tpi_kube_shared *shared,
			 const struct tpi_kube_resource *resource,
			 const char *name_space)
{
	struct tpi_kube_stream *stream = calloc(1, sizeof(*stream));

	*out = NULL;
	if (!stream)
		return -ENOMEM;
	stream->shared = shared;
	stream->resource = *resource;
	stream->name_space = name_space;
	stream->state = *resource->path ? TPI_KUBE_LIST : TPI_KUBE_RESOLVE;
	stream->backoff.min_ns = shared->retry_min_ns;
	stream->backoff.max_ns = shared->retry_max_ns;
	stream->request.done = request_done;
	stream->request.arg = stream;
	set_where(stream);
	tpi_kube_known_init(&stream->known, shared->known_max);
	if (open_scans(stream)) {
		tpi_kube_stream_close(stream);
		return -ENOMEM;
	}
	*out = stream;
	return 0;
}

void tpi_kube_stream_close(struct tpi_kube_stream *stream)
{
	if (!stream)
		return;
	tpi_kube_http_stop(&stream->request);
	tpi_kube_discovery_close(stream->discovery);
	tpi_kube_scan_close(stream->list_scan);
	tpi_kube_scan_close(stream->watch_scan);
	tpi_kube_known_fini(&stream->known);
	free(stream);
}
