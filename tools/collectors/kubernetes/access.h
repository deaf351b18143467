/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address of the API server, and credentials for it: from options, from the service
 * account of the pod, or from a kubeconfig.
 *
 * Secrets are in memory only as long as they are in use, and in no message.
 */
#ifndef TPI_KUBE_ACCESS_H
#define TPI_KUBE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

/* As given by the user. NULL: not given. */
struct tpi_kube_access_options {
	const char *server; /* URL */
	const char *kubeconfig;
	const char *context; /* of the kubeconfig */
	const char *token_file;
	const char *ca_file;
	const char *service_account; /* directory with token and ca.crt */
	bool insecure;               /* does not verify the server */
};

/* All strings are malloc'ed. NULL: none. PEM is text, and stands before the file. */
struct tpi_kube_access {
	char *server; /* without a slash at its end */
	char *ca_file;
	char *ca_pem;
	char *certificate_file;
	char *certificate_pem;
	char *key_file;
	char *key_pem;
	char *token_file;
	char *token;
	char *user;
	char *password;
	char *proxy;
	bool insecure;
	const char *from; /* for messages: where this was found */
};

#define TPI_KUBE_SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

/*
 * Finds server and credentials: --server, else --kubeconfig, else the environment of a pod,
 * else $KUBECONFIG, else ~/.kube/config. -errno with a message in `why`, and then `access` is
 * empty.
 */
int tpi_kube_access_load(struct tpi_kube_access *access,
			 const struct tpi_kube_access_options *options,
			 char *why, size_t why_bytes);
void tpi_kube_access_fini(struct tpi_kube_access *access);

/*
 * Reads the token's file again: the kubelet replaces it before the token ends. Before each
 * request. -errno with a message, and then the former token stays.
 */
int tpi_kube_access_refresh(struct tpi_kube_access *access, char *why,
			    size_t why_bytes);

/* Whether secrets may be sent: not over a connection that all can read. */
bool tpi_kube_access_is_tls(const struct tpi_kube_access *access);

/* ---- for the parts of it -------------------------------------------------- */

/* Fills in what a kubeconfig says. -EINVAL and so on, with a message. */
int tpi_kube_config_read(struct tpi_kube_access *access, const char *path,
			 const char *context, char *why, size_t why_bytes);

/* A whole file as text, to be freed. NULL with errno: EFBIG it is longer than that. */
char *tpi_kube_read_file(const char *path, size_t bytes_max);

/* The bytes that base64 stands for, with a NUL behind, to be freed. NULL: it is none. */
char *tpi_kube_base64(const char *text, size_t *length);

#endif
