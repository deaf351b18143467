/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods, as the events of the Kubernetes collector tell of them: by the ids of their cgroups and
 * containers. A pod stays known after its deletion, since its last events may come later. When
 * there are too many, the one that was told of least recently is forgotten.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/hash.h"
#include "tools/correlate/pack.h"
#include "tools/correlate/state.h"

#define BUCKETS   4096
#define NAMES_MAX 256 /* of one pod */
#define TEXT_MAX  1024

/* A cgroup ('c' and 8 bytes), a container ('i' and its id), or the uid ('u'). */
struct tpi_pod_name {
	struct tpi_pod_name *chain, *next;
	struct tpi_pod *pod;
	uint64_t hash;
	uint32_t length;
	unsigned char bytes[];
};

struct tpi_pods {
	struct tpi_pod *oldest, *newest;
	struct tpi_ref container[TPI_SLOTS_MAX];
	struct tpi_pod_name *buckets[BUCKETS];
};

struct tpi_value tpi_pod_value(const struct tpi_pod *pod,
			       enum tpi_pod_field field)
{
	static const struct tpi_value none = {.kind = TPI_VALUE_UNSET};

	if (!pod)
		return none;
	return field == TPI_POD_NAME  ? pod->name
	       : field == TPI_POD_UID ? pod->uid
				      : pod->name_space;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void *get(struct tpi_corr *corr, size_t bytes)
{
	void *p =
		tpi_state_room(corr, bytes) ? tpi_state_get(corr, bytes) : NULL;

	if (p)
		corr->pod_bytes += tpi_state_size(p);
	return p;
}

static void put(struct tpi_corr *corr, void *p)
{
	corr->pod_bytes -= tpi_state_size(p);
	tpi_state_put(corr, p);
}

struct tpi_pods *tpi_pods_new(struct tpi_corr *corr)
{
	struct tpi_pods *pods = calloc(1, sizeof(*pods));

	for (unsigned int i = 0; pods && i < corr->rules->slots.count; i++)
		tpi_field_resolve(&corr->rules->slots, i, "container_id",
				  &pods->container[i]);
	return pods;
}

/* ---- names ------------------------------------------------------------------------------------- */

static struct tpi_pod_name **name_at(struct tpi_pods *pods, uint64_t hash)
{
	return &pods->buckets[hash % BUCKETS];
}

static struct tpi_pod_name *find_name(struct tpi_pods *pods, char kind,
				      const void *bytes, size_t length)
{
	const uint64_t hash = tpi_hash_bytes((uint64_t)kind, bytes, length);
	struct tpi_pod_name *name;

	for (name = *name_at(pods, hash); name; name = name->chain)
		if (name->hash == hash && name->length == length + 1 &&
		    name->bytes[0] == (unsigned char)kind &&
		    !memcmp(name->bytes + 1, bytes, length))
			break;
	return name;
}

static void unchain(struct tpi_pods *pods, struct tpi_pod_name *name)
{
	struct tpi_pod_name **at = name_at(pods, name->hash);

	while (*at != name)
		at = &(*at)->chain;
	*at = name->chain;
}

static void unlink_name(struct tpi_pod_name *name)
{
	struct tpi_pod_name **at = &name->pod->names;

	while (*at != name)
		at = &(*at)->next;
	*at = name->next;
}

static void link_name(struct tpi_pod *pod, struct tpi_pod_name *name)
{
	name->pod = pod;
	name->next = pod->names;
	pod->names = name;
}

/* An id that another pod had is this one's from now on: numbers are used again. */
static void add_name(struct tpi_corr *corr, struct tpi_pod *pod, char kind,
		     const void *bytes, size_t length)
{
	struct tpi_pod_name *name = find_name(corr->pods, kind, bytes, length);
	unsigned int count = 0;

	if (!length || length > TEXT_MAX || (name && name->pod == pod))
		return;
	for (struct tpi_pod_name *one = pod->names; one; one = one->next)
		count++;
	if (count >= NAMES_MAX)
		return;
	if (name) {
		unlink_name(name);
		link_name(pod, name);
		return;
	}
	name = get(corr, sizeof(*name) + length + 1);
	if (!name)
		return;
	name->hash = tpi_hash_bytes((uint64_t)kind, bytes, length);
	name->length = (uint32_t)length + 1;
	name->bytes[0] = (unsigned char)kind;
	memcpy(name->bytes + 1, bytes, length);
	name->chain = *name_at(corr->pods, name->hash);
	*name_at(corr->pods, name->hash) = name;
	link_name(pod, name);
}

/* ---- pods ------------------------------------------------------------------------------------------ */

static void unlink_pod(struct tpi_pods *pods, struct tpi_pod *pod)
{
	*(pod->older ? &pod->older->newer : &pods->oldest) = pod->newer;
	*(pod->newer ? &pod->newer->older : &pods->newest) = pod->older;
}

static void link_pod(struct tpi_pods *pods, struct tpi_pod *pod)
{
	pod->older = pods->newest;
	pod->newer = NULL;
	*(pod->older ? &pod->older->newer : &pods->oldest) = pod;
	pods->newest = pod;
}

void tpi_pod_put(struct tpi_corr *corr, struct tpi_pod *pod)
{
	if (pod && !--pod->refs)
		put(corr, pod);
}

/* The table does not have it any more. */
static void free_pod(struct tpi_corr *corr, struct tpi_pod *pod)
{
	struct tpi_pod_name *name;

	while ((name = pod->names)) {
		pod->names = name->next;
		unchain(corr->pods, name);
		put(corr, name);
	}
	unlink_pod(corr->pods, pod);
	tpi_pod_put(corr, pod);
	corr->stats.pods--;
}

void tpi_pods_free(struct tpi_corr *corr)
{
	while (corr->pods && corr->pods->oldest)
		free_pod(corr, corr->pods->oldest);
	free(corr->pods);
	corr->pods = NULL;
}

static char *store(struct tpi_value *to, char *at, const struct tpi_value *from)
{
	*to = (struct tpi_value){
		.kind = from->length ? TPI_VALUE_BYTES : TPI_VALUE_UNSET,
		.length = from->length,
		.data = at,
	};
	if (from->length)
		memcpy(at, from->data, from->length);
	return at + from->length;
}

/* A pod that the table does not have yet. */
static struct tpi_pod *new_pod(struct tpi_corr *corr,
			       const struct tpi_value texts[3])
{
	struct tpi_pod *pod =
		get(corr, sizeof(*pod) + texts[0].length + texts[1].length +
				  texts[2].length);
	char *at;

	if (!pod)
		return NULL;
	memset(pod, 0, sizeof(*pod));
	pod->refs = 1;
	at = store(&pod->name, pod->text, &texts[0]);
	at = store(&pod->name_space, at, &texts[1]);
	store(&pod->uid, at, &texts[2]);
	return pod;
}

static struct tpi_pod *add_pod(struct tpi_corr *corr,
			       const struct tpi_value texts[3])
{
	struct tpi_pod_name *known =
		find_name(corr->pods, 'u', texts[2].data, texts[2].length);
	struct tpi_pod *pod;

	if (known) {
		unlink_pod(corr->pods, known->pod);
		link_pod(corr->pods, known->pod);
		return known->pod;
	}
	while (corr->stats.pods >= corr->options.limits.pods)
		free_pod(corr, corr->pods->oldest);
	pod = new_pod(corr, texts);
	if (!pod)
		return NULL;
	link_pod(corr->pods, pod);
	corr->stats.pods++;
	add_name(corr, pod, 'u', texts[2].data, texts[2].length);
	return pod;
}

/* ---- learning --------------------------------------------------------------------------------------- */

static struct tpi_value text_of(const struct tapio_event_view *v,
				const char *field)
{
	struct tapio_event_value value;
	struct tpi_value text = {.kind = TPI_VALUE_BYTES};

	if (tapio_event_view_get(v, field, &value) > 0 &&
	    value.length <= TEXT_MAX) {
		text.data = value.data;
		text.length = value.length;
	}
	return text;
}

static void learn_cgroup(struct tpi_corr *corr, struct tpi_pod *pod,
			 const char *digits, size_t length)
{
	uint64_t id = 0;

	if (!length || length > 19)
		return;
	for (size_t i = 0; i < length; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return;
		id = id * 10 + (uint64_t)(digits[i] - '0');
	}
	if (id)
		add_name(corr, pod, 'c', &id, sizeof(id));
}

/* cgroups: container id to cgroup id. containers: name to container id. */
static void learn_list(struct tpi_corr *corr, struct tpi_pod *pod,
		       const struct tapio_event_view *v, const char *field)
{
	const bool cgroups = !strcmp(field, "cgroups");
	struct tapio_event_value list, key, value;
	uint32_t at = 0;

	if (tapio_event_view_get(v, field, &list) <= 0)
		return;
	while (tapio_event_attribute_next(&list, &at, &key, &value) > 0) {
		if (cgroups) {
			add_name(corr, pod, 'i', key.data, key.length);
			learn_cgroup(corr, pod, value.data, value.length);
		} else {
			add_name(corr, pod, 'i', value.data, value.length);
		}
	}
}

void tpi_pods_learn(struct tpi_corr *corr, const struct tpi_raw *raw)
{
	struct tapio_event_view v;
	struct tpi_value kind, texts[3];
	struct tpi_pod *pod;

	if (tapio_event_view_init(&v, raw->data, raw->length))
		return;
	kind = text_of(&v, "kind");
	texts[0] = text_of(&v, "name");
	texts[1] = text_of(&v, "namespace");
	texts[2] = text_of(&v, "object_uid");
	if (kind.length != 3 || memcmp(kind.data, "Pod", 3) || !texts[2].length)
		return;
	pod = add_pod(corr, texts);
	if (!pod)
		return;
	if (v.header.cgroup_id)
		add_name(corr, pod, 'c', &v.header.cgroup_id,
			 sizeof(v.header.cgroup_id));
	learn_list(corr, pod, &v, "containers");
	learn_list(corr, pod, &v, "cgroups");
}

struct tpi_pod *tpi_pods_find(const struct tpi_corr *corr,
			      const struct tpi_raw *raw)
{
	const struct tpi_match match = {.raw = raw};
	struct tpi_pod_name *name = NULL;
	struct tpi_value id;
	uint64_t cgroup;

	if (!corr->pods || !corr->stats.pods)
		return NULL;
	memcpy(&cgroup, raw->data + offsetof(struct tapio_event, cgroup_id),
	       sizeof(cgroup));
	if (cgroup)
		name = find_name(corr->pods, 'c', &cgroup, sizeof(cgroup));
	if (name)
		return name->pod;
	tpi_load(&match, &corr->pods->container[raw->slot], &id);
	if (id.kind == TPI_VALUE_BYTES)
		name = find_name(corr->pods, 'i', id.data, id.length);
	return name ? name->pod : NULL;
}

/* ---- checkpoints --------------------------------------------------------------------------------------- */

static void save_texts(const struct tpi_pod *pod, struct tpi_writer *w)
{
	tpi_write_block(w, pod->name.data, pod->name.length);
	tpi_write_block(w, pod->name_space.data, pod->name_space.length);
	tpi_write_block(w, pod->uid.data, pod->uid.length);
}

void tpi_pods_save(const struct tpi_corr *corr, struct tpi_writer *w)
{
	tpi_write(w, corr->stats.pods);
	if (!corr->pods)
		return;
	for (const struct tpi_pod *pod = corr->pods->oldest; pod;
	     pod = pod->newer) {
		uint64_t count = 0;

		save_texts(pod, w);
		for (const struct tpi_pod_name *name = pod->names; name;
		     name = name->next)
			count++;
		tpi_write(w, count);
		for (const struct tpi_pod_name *name = pod->names; name;
		     name = name->next)
			tpi_write_block(w, name->bytes, name->length);
	}
}

void tpi_pod_save(const struct tpi_pod *pod, struct tpi_writer *w)
{
	tpi_write(w, pod ? 1 : 0);
	if (pod)
		save_texts(pod, w);
}

static bool load_texts(struct tpi_value texts[3], struct tpi_reader *r)
{
	for (unsigned int i = 0; i < 3; i++) {
		size_t length;

		texts[i] = (struct tpi_value){.kind = TPI_VALUE_BYTES};
		texts[i].data = tpi_read_block(r, TEXT_MAX, &length);
		texts[i].length = (uint32_t)length;
	}
	if (!texts[2].length)
		r->failed = true;
	return !r->failed;
}

struct tpi_pod *tpi_pod_load(struct tpi_corr *corr, struct tpi_reader *r)
{
	struct tpi_pod_name *known;
	struct tpi_value texts[3];

	if (!tpi_read_max(r, 1) || !load_texts(texts, r) || !corr->pods)
		return NULL;
	known = find_name(corr->pods, 'u', texts[2].data, texts[2].length);
	if (!known)
		return new_pod(corr, texts);
	known->pod->refs++;
	return known->pod;
}

static void load_names(struct tpi_corr *corr, struct tpi_pod *pod,
		       struct tpi_reader *r)
{
	for (uint64_t count = tpi_read_max(r, NAMES_MAX); count && !r->failed;
	     count--) {
		size_t length;
		const char *bytes = tpi_read_block(r, TEXT_MAX + 1, &length);

		if (!bytes || length < 2 || (bytes[0] == 'c' && length != 9)) {
			r->failed = true;
			return;
		}
		if (pod && (bytes[0] == 'c' || bytes[0] == 'i'))
			add_name(corr, pod, bytes[0], bytes + 1, length - 1);
	}
}

bool tpi_pods_load(struct tpi_corr *corr, struct tpi_reader *r)
{
	for (uint32_t count = tpi_read_count(r, 32); count && !r->failed;
	     count--) {
		struct tpi_value texts[3];
		struct tpi_pod *pod = NULL;

		if (!load_texts(texts, r))
			return false;
		if (corr->pods)
			pod = add_pod(corr, texts);
		load_names(corr, pod, r);
	}
	return !r->failed;
}
