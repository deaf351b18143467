/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the configuration's reader. config.c calls the
 * others. */
#ifndef TPI_BROKER_CONFIG_INNER_H
#define TPI_BROKER_CONFIG_INNER_H

#include <confuse.h>
#include <stdbool.h>

#include "broker/config/config.h"

/* config_check.c: makes libconfuse check every value where it stands. */
void tpi_config_checks(cfg_t *cfg);

/* config_check.c: what libconfuse calls for a number. 0, or -1 with a cfg_error(). */
int tpi_config_number(cfg_t *cfg, cfg_opt_t *opt, const char *value,
		      void *result);
/* The number of a word of an option that has a choice of words, or -1. */
int tpi_config_choice(const char *option, const char *word);
/* A user or group, by name or number. False when there is none. */
bool tpi_config_id(const char *text, bool group, unsigned int *id);

#define TPI_RESERVED_AUTO (-1)

/* A number of side lanes, or `auto`: TPI_SIDES_AUTO. False when it is neither. */
#define TPI_SIDES_MAX  4096
#define TPI_SIDES_AUTO UINT32_MAX
bool tpi_config_side_lanes(const char *text, uint32_t *lanes);

/* config_take.c: from libconfuse's tree to the structs. -EINVAL, -ENOMEM. */
int tpi_config_take(struct tpi_config *config, cfg_t *cfg);

#endif
