/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an object to a typed event. Called by the streams.
 *
 * Strings are stored in the order in which they would be missed: where a channel's events are
 * short, the last ones are cut or left out, and the event has the flag `truncated`.
 */
#ifndef TPI_KUBE_EMIT_H
#define TPI_KUBE_EMIT_H

#include "tools/collectors/common/sink.h"
#include "tools/collectors/kubernetes/known.h"
#include "tools/collectors/kubernetes/object.h"
#include "tools/collectors/kubernetes/resource.h"

/* Of an event, what is not the full object: the least room that --full-object leaves. */
#define TPI_KUBE_EVENT_BYTES 8192

struct tpi_kube_emitter {
	struct tpi_sink *sink;
	const char *collector; /* of loss events */
	const char *cluster;   /* NULL: unset */
	const char *node;      /* this one */
	int cgroups;           /* the directory with kubepods. -1: none */
	bool left; /* asked to stop: an event was not taken any more */
};

struct tpi_kube_change_of {
	const struct tpi_kube_resource *resource;
	uint8_t operation; /* TAPIO_OBJECT_* */
	bool existing;     /* found in a list */
	const struct tpi_kube_object *object;
	const struct tpi_kube_document *document; /* NULL: there is none */
};

/*
 * Waits for room in the channel. -EINTR: asked to stop before there was some. Events that the
 * channel can never take are counted, and no error.
 */
int tpi_kube_emit(struct tpi_kube_emitter *emitter,
		  const struct tpi_kube_change_of *change);

/* An object that a comparison did not find any more. */
int tpi_kube_emit_gone(struct tpi_kube_emitter *emitter,
		       const struct tpi_kube_resource *resource,
		       const struct tpi_kube_known_one *one);

/* Changes that the server had, and that we did not get. */
void tpi_kube_emit_loss(struct tpi_kube_emitter *emitter,
			const struct tpi_kube_resource *resource,
			uint64_t count, const char *cause, const char *message,
			const char *before, const char *after);

#endif
