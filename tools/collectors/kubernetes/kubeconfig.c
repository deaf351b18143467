/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kubeconfig: contexts that name a cluster and a user each, in YAML. See access.h.
 *
 * The parts that only a program could use are refused by name (exec, auth-provider), since a
 * request without credentials would fail with a message that helps less.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/kubernetes/access.h"

#ifndef TPI_KUBE_YAML

int tpi_kube_config_read(struct tpi_kube_access *access, const char *path,
			 const char *context, char *why, size_t why_bytes)
{
	(void)access;
	(void)context;
	snprintf(why, why_bytes,
		 "cannot read %s: this program was built without libyaml. "
		 "--server, --ca-file and --token-file do without",
		 path);
	return -ENOTSUP;
}

#else

#include <yaml.h>

#define CONFIG_BYTES_MAX (4 * 1024 * 1024)

struct config {
	struct tpi_kube_access *access;
	const char *path;
	char *why;
	size_t why_bytes;
	yaml_document_t document;
	int err;
};

static void __attribute__((format(printf, 2, 3)))
refuse(struct config *config, const char *format, ...)
{
	va_list list;
	int used;

	if (config->err)
		return; /* the first one counts */
	config->err = -EINVAL;
	used = snprintf(config->why, config->why_bytes, "%s: ", config->path);
	if (used < 0 || (size_t)used >= config->why_bytes)
		return;
	va_start(list, format);
	vsnprintf(config->why + used, config->why_bytes - (size_t)used, format,
		  list);
	va_end(list);
}

/* ---- YAML ----------------------------------------------------------------- */

static const char *scalar(const yaml_node_t *node)
{
	if (!node || node->type != YAML_SCALAR_NODE)
		return NULL;
	return (const char *)node->data.scalar.value;
}

static yaml_node_t *member(struct config *config, yaml_node_t *node,
			   const char *key)
{
	if (!node || node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const char *name = scalar(
			yaml_document_get_node(&config->document, pair->key));

		if (name && !strcmp(name, key))
			return yaml_document_get_node(&config->document,
						      pair->value);
	}
	return NULL;
}

static const char *text_at(struct config *config, yaml_node_t *node,
			   const char *key)
{
	const char *text = scalar(member(config, node, key));

	return text && *text ? text : NULL;
}

/* Of a list of {name: NAME, WHAT: {...}} the WHAT with that name. */
static yaml_node_t *named(struct config *config, const char *list,
			  const char *what, const char *name)
{
	yaml_node_t *root = yaml_document_get_root_node(&config->document);
	yaml_node_t *items = member(config, root, list);

	if (!items || items->type != YAML_SEQUENCE_NODE) {
		refuse(config, "it has no list '%s'", list);
		return NULL;
	}
	for (yaml_node_item_t *item = items->data.sequence.items.start;
	     item < items->data.sequence.items.top; item++) {
		yaml_node_t *one =
			yaml_document_get_node(&config->document, *item);
		const char *is = text_at(config, one, "name");

		if (is && !strcmp(is, name))
			return member(config, one, what);
	}
	refuse(config, "'%s' has no entry '%s'", list, name);
	return NULL;
}

/* ---- what it says --------------------------------------------------------- */

static void store(struct config *config, char **out, char *value)
{
	free(*out);
	*out = value;
	if (!value)
		refuse(config, "out of memory");
}

static void take(struct config *config, yaml_node_t *node, const char *key,
		 char **out)
{
	const char *text = text_at(config, node, key);

	if (text)
		store(config, out, strdup(text));
}

/* Paths are relative to the file. */
static void take_path(struct config *config, yaml_node_t *node, const char *key,
		      char **out)
{
	const char *text = text_at(config, node, key);
	const char *slash = strrchr(config->path, '/');
	char *path = NULL;

	if (!text)
		return;
	if (*text == '/' || !slash)
		path = strdup(text);
	else if (asprintf(&path, "%.*s/%s", (int)(slash - config->path),
			  config->path, text) < 0)
		path = NULL;
	store(config, out, path);
}

static void take_data(struct config *config, yaml_node_t *node, const char *key,
		      char **out)
{
	const char *text = text_at(config, node, key);
	size_t length;
	char *data;

	if (!text)
		return;
	data = tpi_kube_base64(text, &length);
	if (data && strlen(data) == length) {
		store(config, out, data);
		return;
	}
	free(data);
	refuse(config, "'%s' is no text in base64", key);
}

static void read_cluster(struct config *config, yaml_node_t *cluster)
{
	struct tpi_kube_access *access = config->access;
	const char *insecure =
		text_at(config, cluster, "insecure-skip-tls-verify");

	take(config, cluster, "server", &access->server);
	take(config, cluster, "proxy-url", &access->proxy);
	take_path(config, cluster, "certificate-authority", &access->ca_file);
	take_data(config, cluster, "certificate-authority-data",
		  &access->ca_pem);
	access->insecure = insecure && !strcmp(insecure, "true");
	if (!access->server)
		refuse(config, "the cluster has no 'server'");
	if (text_at(config, cluster, "tls-server-name"))
		refuse(config, "'tls-server-name' is not supported");
}

static void read_user(struct config *config, yaml_node_t *user)
{
	struct tpi_kube_access *access = config->access;
	static const char *const programs[] = {"exec", "auth-provider"};

	take(config, user, "token", &access->token);
	take_path(config, user, "tokenFile", &access->token_file);
	take_path(config, user, "client-certificate",
		  &access->certificate_file);
	take_path(config, user, "client-key", &access->key_file);
	take_data(config, user, "client-certificate-data",
		  &access->certificate_pem);
	take_data(config, user, "client-key-data", &access->key_pem);
	take(config, user, "username", &access->user);
	take(config, user, "password", &access->password);
	for (int i = 0; i < 2; i++)
		if (member(config, user, programs[i]))
			refuse(config,
			       "the user has '%s', which would run a program. "
			       "Only tokens, certificates and passwords are "
			       "supported: a service account has a token",
			       programs[i]);
}

static void read_context(struct config *config, const char *name)
{
	yaml_node_t *root = yaml_document_get_root_node(&config->document);
	const char *cluster, *user;
	yaml_node_t *context;

	if (!name)
		name = text_at(config, root, "current-context");
	if (!name) {
		refuse(config, "it has no 'current-context', and there is no "
			       "--context");
		return;
	}
	context = named(config, "contexts", "context", name);
	cluster = text_at(config, context, "cluster");
	user = text_at(config, context, "user");
	if (!cluster)
		refuse(config, "the context '%s' names no cluster", name);
	else
		read_cluster(config,
			     named(config, "clusters", "cluster", cluster));
	if (user)
		read_user(config, named(config, "users", "user", user));
}

static void parse(struct config *config, const char *text, const char *context)
{
	yaml_parser_t parser;

	if (!yaml_parser_initialize(&parser)) {
		refuse(config, "out of memory");
		return;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text,
				     strlen(text));
	if (!yaml_parser_load(&parser, &config->document)) {
		refuse(config, "line %zu: %s", parser.problem_mark.line + 1,
		       parser.problem ? parser.problem : "it is no YAML");
	} else {
		read_context(config, context);
		yaml_document_delete(&config->document);
	}
	yaml_parser_delete(&parser);
}

int tpi_kube_config_read(struct tpi_kube_access *access, const char *path,
			 const char *context, char *why, size_t why_bytes)
{
	struct config config = {.access = access,
				.path = path,
				.why = why,
				.why_bytes = why_bytes};
	char *text = tpi_kube_read_file(path, CONFIG_BYTES_MAX);

	if (!text) {
		int err = -errno;
		snprintf(why, why_bytes, "cannot read %s: %s", path,
			 strerror(-err));
		return err;
	}
	access->from = "the kubeconfig";
	parse(&config, text, context);
	explicit_bzero(text, strlen(text));
	free(text);
	return config.err;
}

#endif
