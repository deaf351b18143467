/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the API server, any number at once, on one thread: libcurl's multi interface
 * behind one descriptor that polls readable when there is work.
 *
 * The body of an answer with status 200 goes to its reader in pieces, as it comes. Of any
 * other answer the first bytes are kept, since they say why. Redirections are not followed:
 * an API server sends none, and the token is for this server alone.
 *
 * A server that hangs is given up: one that has not begun to answer after `answer_ns`, and one
 * from which nothing has come for `silence_ns` after that.
 */
#ifndef TPI_KUBE_HTTP_H
#define TPI_KUBE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/collectors/kubernetes/access.h"

#define TPI_KUBE_WHY_BYTES 320

struct tpi_kube_http;
struct tpi_kube_request;

/* An error (-errno) ends the request, which has it as body_error then. */
typedef int tpi_kube_body_fn(void *arg, const char *bytes, size_t length);
/* The request is over, and its results are set. It may be started again from here. */
typedef void tpi_kube_done_fn(void *arg, struct tpi_kube_request *request);

struct tpi_kube_request {
	/* by the caller, before it starts */
	tpi_kube_body_fn *body;
	tpi_kube_done_fn *done;
	void *arg;
	int64_t answer_ns;
	int64_t silence_ns;
	/* results */
	long status;                  /* of HTTP. 0: there was no answer */
	int body_error;               /* of `body` */
	bool silent;                  /* it was given up */
	bool whole;                   /* the answer came to its end */
	char why[TPI_KUBE_WHY_BYTES]; /* of a failure, for people */
	int64_t retry_after_ns; /* as the server asks for. 0: it does not */
	int64_t began_ns;
	uint64_t body_bytes;
	/* private */
	struct tpi_kube_http *http;
	void *easy;
	void *headers;
	bool answered;
	int64_t heard_ns;
	char error[256];
	char refusal[2048]; /* the beginning of another answer than 200 */
	size_t refusal_bytes;
	struct tpi_kube_request *next; /* of those that run */
};

/* -errno. Once in a process, on its only thread. */
int tpi_kube_http_open(struct tpi_kube_http **out);
/* All requests must have ended. */
void tpi_kube_http_close(struct tpi_kube_http *http);

/* Begins GET `path`, which begins with a slash. -ENOMEM. `done` comes later. */
int tpi_kube_http_start(struct tpi_kube_http *http,
			struct tpi_kube_request *request,
			const struct tpi_kube_access *access, const char *path);
/* Ends it without `done`. Nothing happens to one that does not run. */
void tpi_kube_http_stop(struct tpi_kube_request *request);

/* Polls readable when there is work; there also is at the deadline. */
int tpi_kube_http_fd(const struct tpi_kube_http *http);
int64_t tpi_kube_http_deadline(const struct tpi_kube_http *http);
/* Does what is to be done now: calls body and done. */
void tpi_kube_http_work(struct tpi_kube_http *http);

#endif
