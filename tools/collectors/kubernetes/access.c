/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the API server. See the header.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/collectors/kubernetes/access.h"

#define TOKEN_BYTES_MAX (64 * 1024)

char *tpi_kube_read_file(const char *path, size_t bytes_max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = fd < 0 ? NULL : malloc(bytes_max + 2);
	size_t used = 0;
	ssize_t got = 1;

	while (text && got > 0 && used <= bytes_max) {
		got = read(fd, text + used, bytes_max + 1 - used);
		if (got > 0)
			used += (size_t)got;
	}
	if (got >= 0 && used > bytes_max) {
		errno = EFBIG;
		got = -1;
	}
	if (text && got < 0) {
		free(text);
		text = NULL;
	}
	if (text)
		text[used] = '\0';
	if (fd >= 0) {
		int err = errno;
		close(fd);
		errno = err;
	}
	return text;
}

static void forget(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

void tpi_kube_access_fini(struct tpi_kube_access *access)
{
	char **const all[] = {
		&access->server,   &access->ca_file,
		&access->ca_pem,   &access->certificate_file,
		&access->key_file, &access->certificate_pem,
		&access->key_pem,  &access->token_file,
		&access->token,    &access->user,
		&access->password, &access->proxy,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		forget(all[i]);
}

bool tpi_kube_access_is_tls(const struct tpi_kube_access *access)
{
	return !strncmp(access->server, "https://", 8);
}

/* A token becomes part of a header: it is one line of visible characters. */
static bool trim_token(char *token)
{
	size_t length = strlen(token);

	while (length && strchr(" \t\r\n", token[length - 1]))
		token[--length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	return length > 0;
}

int tpi_kube_access_refresh(struct tpi_kube_access *access, char *why,
			    size_t why_bytes)
{
	char *token;

	if (!access->token_file)
		return 0;
	token = tpi_kube_read_file(access->token_file, TOKEN_BYTES_MAX);
	if (!token) {
		int err = -errno;
		snprintf(why, why_bytes, "cannot read the token in %s: %s",
			 access->token_file, strerror(-err));
		return err;
	}
	if (!trim_token(token)) {
		forget(&token);
		snprintf(why, why_bytes, "%s has no token: one line of text",
			 access->token_file);
		return -EINVAL;
	}
	forget(&access->token);
	access->token = token;
	return 0;
}

/* ---- where from ----------------------------------------------------------- */

static bool set(char **out, const char *value)
{
	if (!value)
		return true;
	free(*out);
	*out = strdup(value);
	return *out != NULL;
}

static int no_memory(char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "out of memory");
	return -ENOMEM;
}

/* The files that each pod has, by default. */
static int from_pod(struct tpi_kube_access *access, const char *directory,
		    char *why, size_t why_bytes)
{
	const char *host = secure_getenv("KUBERNETES_SERVICE_HOST");
	const char *port = secure_getenv("KUBERNETES_SERVICE_PORT");
	bool is_ip6 = strchr(host, ':') != NULL;
	int made = 0;

	access->from = "the environment of the pod";
	made |= asprintf(&access->server,
			 is_ip6 ? "https://[%s]:%s" : "https://%s:%s", host,
			 port && *port ? port : "443");
	made |= asprintf(&access->token_file, "%s/token", directory);
	made |= asprintf(&access->ca_file, "%s/ca.crt", directory);
	return made < 0 ? no_memory(why, why_bytes) : 0;
}

static bool is_there(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

static int from_home(struct tpi_kube_access *access, const char *context,
		     char *why, size_t why_bytes)
{
	const char *home = secure_getenv("HOME");
	char path[4096];

	snprintf(path, sizeof(path), "%s/.kube/config", home ? home : "");
	if (!home || !is_there(path)) {
		snprintf(
			why, why_bytes,
			"there is no API server: no --server, no --kubeconfig, "
			"no KUBERNETES_SERVICE_HOST, no KUBECONFIG and no %s",
			home ? path : "HOME");
		return -ENOENT;
	}
	return tpi_kube_config_read(access, path, context, why, why_bytes);
}

static int find(struct tpi_kube_access *access,
		const struct tpi_kube_access_options *options, char *why,
		size_t why_bytes)
{
	const char *host = secure_getenv("KUBERNETES_SERVICE_HOST");
	const char *config = secure_getenv("KUBECONFIG");
	const char *directory = options->service_account;

	if (options->server) {
		access->from = "--server";
		return set(&access->server, options->server)
			       ? 0
			       : no_memory(why, why_bytes);
	}
	if (options->kubeconfig)
		return tpi_kube_config_read(access, options->kubeconfig,
					    options->context, why, why_bytes);
	if (host && *host)
		return from_pod(access,
				directory ? directory
					  : TPI_KUBE_SERVICE_ACCOUNT,
				why, why_bytes);
	if (config && *config)
		return tpi_kube_config_read(access, config, options->context,
					    why, why_bytes);
	return from_home(access, options->context, why, why_bytes);
}

/* ---- what was found ------------------------------------------------------- */

static int check_server(struct tpi_kube_access *access, char *why,
			size_t why_bytes)
{
	char *server = access->server;
	size_t length = strlen(server);

	while (length && server[length - 1] == '/')
		server[--length] = '\0';
	if (strncmp(server, "https://", 8) && strncmp(server, "http://", 7)) {
		snprintf(why, why_bytes,
			 "the server '%s' of %s is no URL with https:// or "
			 "http://",
			 server, access->from);
		return -EINVAL;
	}
	return 0;
}

int tpi_kube_access_load(struct tpi_kube_access *access,
			 const struct tpi_kube_access_options *options,
			 char *why, size_t why_bytes)
{
	memset(access, 0, sizeof(*access));
	int err = find(access, options, why, why_bytes);
	if (err)
		goto out_fini;
	err = check_server(access, why, why_bytes);
	if (err)
		goto out_fini;
	if (options->ca_file)
		forget(&access->ca_pem);
	if (!set(&access->ca_file, options->ca_file) ||
	    !set(&access->token_file, options->token_file)) {
		err = no_memory(why, why_bytes);
		goto out_fini;
	}
	access->insecure |= options->insecure;
	err = tpi_kube_access_refresh(access, why, why_bytes);
	if (!err)
		return 0;
out_fini:
	tpi_kube_access_fini(access);
	return err;
}
