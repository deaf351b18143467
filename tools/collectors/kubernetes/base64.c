/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, as in a kubeconfig: with padding, perhaps in lines. See access.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/kubernetes/access.h"

static int value_of(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

char *tpi_kube_base64(const char *text, size_t *length)
{
	char *out = malloc(strlen(text) / 4 * 3 + 4);
	uint32_t bits = 0;
	size_t digits = 0, padding = 0, used = 0;

	if (!out)
		return NULL;
	for (; *text; text++) {
		int value = value_of(*text);

		if (is_space(*text))
			continue;
		if (*text == '=')
			padding++;
		if (value < 0 ? *text != '=' : padding > 0)
			goto bad; /* a digit behind the padding, too */
		bits = bits << 6 | (uint32_t)(value < 0 ? 0 : value);
		if (++digits % 4)
			continue;
		out[used++] = (char)(bits >> 16);
		out[used++] = (char)(bits >> 8);
		out[used++] = (char)bits;
	}
	if (digits % 4 || padding > 2 || padding > used)
		goto bad;
	used -= padding;
	out[used] = '\0';
	*length = used;
	return out;
bad:
	free(out);
	return NULL;
}
