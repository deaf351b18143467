/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One resource, in one namespace or in all: lists it, then watches it, for ever.
 *
 *	          +------------- back-off <-------------+
 *	          v                                     | no answer, 401, 403, 5xx, garbage
 *	      (resolve) --> LIST --> WATCH -------------+
 *	                     ^  ^      |  | the server ends it (timeoutSeconds), or it is cut:
 *	                     |  |      |  +--> WATCH from the version that came last
 *	                     |  +------+ 410 Gone: that version is forgotten
 *	                     +-- the next page, or 410 for its token: from the first one
 *
 * A list is compared with what is known: an object that is new or has changed is told, with
 * the flag `existing`, since it was found as a state and not seen as a change. An object that is
 * missing is told as deleted. A list cannot show objects that came and went between: that is a loss, and
 * is told as one, with its cause:
 *
 *	expired     410 Gone: the server no longer had the changes since `before`
 *	malformed   bytes that are no JSON: a list follows. Or an object that is none
 *	refused     the server lets us list, and not watch: lists take its place
 *
 * Nothing is lost when a connection ends, is cut anywhere, or hangs: the next watch begins
 * at the version of the last event that was taken.
 */
#ifndef TPI_KUBE_STREAM_H
#define TPI_KUBE_STREAM_H

#include "tools/collectors/kubernetes/backoff.h"
#include "tools/collectors/kubernetes/emit.h"
#include "tools/collectors/kubernetes/http.h"

/* Shared by all streams. */
struct tpi_kube_shared {
	struct tpi_kube_http *http;
	struct tpi_kube_access access;
	struct tpi_kube_access_options access_options;
	struct tpi_kube_emitter emitter;
	const char *selector; /* of labels. NULL: none */
	const char *field_selector;
	bool only_node;     /* of pods and nodes, those of this node */
	bool no_existing;   /* the first list is not told */
	uint64_t page;      /* objects in an answer. 0: all at once */
	uint64_t known_max; /* objects that one stream knows */
	size_t full_bytes;  /* 0: no full objects */
	int64_t answer_ns;
	int64_t watch_ns;
	int64_t retry_min_ns;
	int64_t retry_max_ns;
};

struct tpi_kube_stream_counts {
	uint64_t lists; /* that came to their end */
	uint64_t watches;
	uint64_t bookmarks;
	uint64_t
		unchanged; /* objects that a list had, and that were told before */
	uint64_t unknown;  /* objects that there was no room to know */
	uint64_t failures; /* requests */
	uint64_t repaired; /* characters that were no UTF-8 */
};

struct tpi_kube_stream;

/* `resource` and `name_space` (NULL: all) stay. -ENOMEM */
int tpi_kube_stream_open(struct tpi_kube_stream **out,
			 struct tpi_kube_shared *shared,
			 const struct tpi_kube_resource *resource,
			 const char *name_space);
void tpi_kube_stream_close(struct tpi_kube_stream *stream);

/* Begins what is due. Call it at the deadline. */
void tpi_kube_stream_tend(struct tpi_kube_stream *stream);
/* INT64_MAX: it waits for the server. */
int64_t tpi_kube_stream_deadline(const struct tpi_kube_stream *stream);

const struct tpi_kube_stream_counts *
tpi_kube_stream_counts(const struct tpi_kube_stream *stream);

#endif
