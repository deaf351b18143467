/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's configuration: the values of a file, with every default filled
 * in. Read at start. A reload (broker/reload.c) puts another one in its place as a
 * whole, so none is changed while it is in force.
 */
#ifndef TPI_BROKER_CONFIG_H
#define TPI_BROKER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <tapio/abi.h>

#include "lib/memory/layout.h"

#define TPI_CLIENTS_DEFAULT 1024
/* Records of attachments, however many clients there may be (attachments.c). */
#define TPI_NAMES           TAPIO_CLIENTS_MAX
#define TPI_GROUPS_DEFAULT  16
#define TPI_PRODUCERS_USUAL 16 /* isolated ones */
#define TPI_BUDGET_DEFAULT  (UINT64_C(512) << 20)
#define TPI_MODE_DEFAULT    "0660"
#define TPI_GROUP_DEFAULT   "tapio" /* of a socket that root makes */
#define TPI_WAIT_NS_DEFAULT UINT64_C(100000000)
#define TPI_BLOCK_DEFAULT   1024       /* of a class that does not say */
#define TPI_BLOCKS_DEFAULT  4096       /* at most, and no more than fit in .. */
#define TPI_LANE_DEFAULT    (2u << 20) /* .. so many bytes */
#define TPI_BLOCKS_LEAST    64 /* how small the budget may make a default */
#define TPI_SIDES_LEAST     8  /* side lanes of a class that does not say, .. */
#define TPI_SIDES_MOST      64 /* as many as there are CPUs, from .. to */
#define TPI_SIDES_ONLY      128 /* .. where no process can use a CPU's lane */
#define TPI_SIDE_BLOCKS_MAX 256 /* as above, for side lanes */
#define TPI_SIDE_DEFAULT    (256u << 10)
#define TPI_CHANNELS_MAX    1024
#define TPI_CHANNELS_SPARE \
	16 /* room for more of them, where the file does not say */
#define TPI_RULES_MAX   256
#define TPI_IDS_MAX     64 /* uids, and gids, of one rule */
#define TPI_DURABLE_MAX TAPIO_GROUP_SLOTS
#define TPI_TAKEOVER_NS UINT64_C(30000000000)

enum tpi_hugepages {
	TPI_HUGE_AUTO,
	TPI_HUGE_REQUIRE,
	TPI_HUGE_NEVER
};

/* Roles as bits, in the order of the words of `role`. The last two are no roles of
 * their own but what a consumer may ask for. */
#define TPI_RIGHT_PRODUCE  (1u << TAPIO_ROLE_PRODUCE)
#define TPI_RIGHT_CONSUME  (1u << TAPIO_ROLE_CONSUME)
#define TPI_RIGHT_INSPECT  (1u << TAPIO_ROLE_INSPECT)
#define TPI_RIGHT_LOSSLESS (1u << 4)
#define TPI_RIGHT_DURABLE  (1u << 5)
#define TPI_RIGHT_ALL                                                \
	(TPI_RIGHT_PRODUCE | TPI_RIGHT_CONSUME | TPI_RIGHT_INSPECT | \
	 TPI_RIGHT_LOSSLESS | TPI_RIGHT_DURABLE)

/* A durable group: there from the start, with or without members. */
struct tpi_config_group {
	char name[TAPIO_NAME_BYTES];
	uint32_t policy; /* TAPIO_GROUP_* */
	uint32_t lag;
	uint64_t takeover_ns; /* TAPIO_TAKEOVER_NEVER */
};

struct tpi_config_channel {
	struct tpi_channel_spec spec; /* as it is made: after the budget */
	/* Classes that named no number of blocks: it follows the budget. */
	bool blocks_auto[TAPIO_CLASSES_MAX];
	/* Classes with side_lanes = auto: tpi_budget() sets their number. */
	bool sides_auto[TAPIO_CLASSES_MAX];
	uint32_t groups_max;
	uint32_t uid_groups_max; /* of them, for one uid */
	uint32_t group_count;
	struct tpi_config_group *groups;
};

struct tpi_config_rule {
	char name[TAPIO_NAME_BYTES];
	char channel[TAPIO_NAME_BYTES]; /* fnmatch pattern */
	uint32_t rights;                /* TPI_RIGHT_* */
	bool any;
	uint32_t uid_count;
	uint32_t gid_count;
	uid_t *uids;
	gid_t *gids;
};

struct tpi_config {
	char *socket; /* NULL: the file does not say */
	mode_t socket_mode;
	gid_t socket_group; /* (gid_t)-1: the file does not say */
	uint64_t budget_bytes;
	enum tpi_hugepages hugepages;
	uint32_t clients_max;
	uint32_t uid_clients_max;  /* of them, for one uid */
	uint32_t clients_reserved; /* of them, for root and the broker's uid */
	bool trust_owner; /* the broker's uid and root may do everything */
	/* Not of the file: no process of this host can use a CPU's lane. */
	bool side_lanes_only;
	uint32_t channels_max; /* for which the catalog has room */
	bool channels_auto;    /* the file does not say */
	uint32_t channel_count;
	struct tpi_config_channel *channels;
	uint32_t rule_count;
	struct tpi_config_rule *rules;
};

/*
 * Reads a file, or a text (then the other is NULL), or nothing: all defaults.
 * -EINVAL (file, line, value and limit in `error`), -ENOMEM, or why the file
 * could not be opened. tpi_config_free() also after an error.
 */
int tpi_config_load(struct tpi_config *config, const char *file,
		    const char *text, char *error, size_t error_bytes);
void tpi_config_free(struct tpi_config *config);

/* The word of an option's value, as "drop" of `full` = 0. NULL: there is none. */
const char *tpi_config_word(const char *option, unsigned int value);
/* The word of the role with the bit TPI_RIGHT_PRODUCE << i, or NULL after the last. */
const char *tpi_config_role(unsigned int i);

/* Writes it so that it can be read again, every value with its meaning. */
void tpi_config_print(const struct tpi_config *config, FILE *out);

/* A size with an optional K, M or G. False when it is none or too large. */
bool tpi_parse_bytes(const char *text, uint64_t *bytes);
/* A duration with its unit: ns, us, ms, s. */
bool tpi_parse_ns(const char *text, uint64_t *ns);

#endif
