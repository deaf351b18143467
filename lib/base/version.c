/* SPDX-License-Identifier: Apache-2.0 */
#include <tapio/version.h>

const char *tapio_version(void)
{
	return TAPIO_VERSION;
}
