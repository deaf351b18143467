/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules as the engine runs them. A step is compiled once for each type of event that it can
 * match (a slot): fields are offsets by then, and comparisons of the type are gone.
 *
 * Conditions are read in the event's memory, which its producer may still write. So each value
 * is loaded once and bounded by lengths that were loaded once. An event that matches there
 * is copied, and matched again in the copy: only that counts.
 */
#ifndef TPI_CORRELATE_INNER_H
#define TPI_CORRELATE_INNER_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/event.h>

#include "tools/correlate/rules.h"
#include "tools/correlate/syntax.h"

/* ---- slots: the types that rules tell apart ------------------------------------------- */

/* Types with a name first, then all others as one, then numbers that rules name. */
#define TPI_SLOTS_MAX  64
#define TPI_SLOT_NAMED 1024 /* types below it are looked up in a table */

struct tpi_slots {
	unsigned int count, other;
	uint16_t types[TPI_SLOTS_MAX]; /* 0: all others */
	const struct tapio_event_type *tables[TPI_SLOTS_MAX]; /* NULL: none */
	uint8_t named[TPI_SLOT_NAMED];
};

/* ---- values ----------------------------------------------------------------------------- */

enum tpi_value_kind {
	TPI_VALUE_UNSET,
	TPI_VALUE_U64,
	TPI_VALUE_I64, /* below 0 */
	TPI_VALUE_F64,
	TPI_VALUE_BYTES,
	TPI_VALUE_IP,
	TPI_VALUE_MAYBE, /* it depends on what is not known yet */
};

struct tpi_value {
	uint8_t kind;
	uint8_t bits; /* IP: of a network */
	uint32_t length;
	union {
		uint64_t u64;
		int64_t i64;
		double f64;
		const char *data; /* BYTES: where they lie. It may change */
		struct tapio_event_ip ip;
	};
};

enum tpi_base {
	TPI_BASE_NONE, /* an event of this type has no such field */
	TPI_BASE_HEADER,
	TPI_BASE_FIELDS,
	TPI_BASE_POD,
	TPI_BASE_STEP,
};

enum tpi_pod_field {
	TPI_POD_NAME,
	TPI_POD_NAMESPACE,
	TPI_POD_UID
};

struct tpi_ref {
	uint8_t base;
	uint8_t kind; /* TAPIO_FIELD_* */
	uint8_t bytes;
	uint8_t unset; /* TAPIO_UNSET_* */
	uint16_t offset;
	uint8_t pod;  /* enum tpi_pod_field */
	uint8_t step; /* of BASE_STEP: its place in the order */
	uint32_t sub_length;
	const char *sub;               /* an attribute */
	const struct tpi_ref *by_slot; /* BASE_STEP: the field in each slot */
	const struct tapio_event_field *field; /* NULL: of a pod or a step */
};

/* ---- conditions -------------------------------------------------------------------------- */

enum tpi_node_op {
	TPI_NODE_FALSE,
	TPI_NODE_TRUE,
	TPI_NODE_MAYBE, /* while types are sorted out only */
	TPI_NODE_AND,
	TPI_NODE_OR,
	TPI_NODE_NOT,
	TPI_NODE_HAS,
	TPI_NODE_U64,   /* an unsigned field with a constant */
	TPI_NODE_VALUE, /* a field with a constant */
	TPI_NODE_PAIR,  /* a field with a field */
	TPI_NODE_SET,   /* sorted */
	TPI_NODE_NETS,
	TPI_NODE_FLAG,
	TPI_NODE_REGEX,
};

struct tpi_node {
	uint8_t op;
	uint8_t compare; /* enum tpi_compare */
	uint32_t count;  /* of `set` */
	struct tpi_ref ref;
	union {
		struct {
			const struct tpi_node *a, *b;
		};
		struct tpi_value value;
		const struct tpi_ref *other;
		const struct tpi_value *set;
		struct tpi_regex *regex;
	};
};

/* ---- rules -------------------------------------------------------------------------------- */

struct tpi_step {
	const char *name;
	uint8_t index;                               /* in the text */
	const struct tpi_node *nodes[TPI_SLOTS_MAX]; /* NULL: never */
	const struct tpi_ref *keys[TPI_SLOTS_MAX];   /* `key_count` of each */
	struct tpi_ref value[TPI_SLOTS_MAX];         /* `distinct` */
};

/* A piece of `say`: a text, or a value. */
enum tpi_say_kind {
	TPI_SAY_TEXT,
	TPI_SAY_FIELD,
	TPI_SAY_KEY,
	TPI_SAY_COUNT,
	TPI_SAY_RULE
};

struct tpi_say {
	enum tpi_say_kind kind;
	const char *text;
	size_t length;
	struct tpi_ref ref; /* BASE_STEP */
	const struct tpi_say *next;
};

struct tpi_rule {
	const struct tpi_rule_text *text;
	enum tpi_rule_operator kind;
	uint8_t severity;
	uint8_t step_count; /* in the order of the operator */
	uint8_t key_count;
	bool keeps; /* copies of events, beyond the last one */
	uint32_t need;
	uint64_t within_ns, cooldown_ns;
	uint64_t digest;
	struct tpi_step *steps;
	const char *key_names[TPI_RULES_KEYS_MAX];
	uint8_t key_kinds[TPI_RULES_KEYS_MAX]; /* TAPIO_FIELD_* */
	const struct tpi_say *say;
	struct tpi_link *links; /* names.c */
};

/* One test of the events of a slot. */
struct tpi_test {
	uint16_t rule;
	uint8_t step;
	const struct tpi_node *node;
};

/* index.c: the same, found by a value that they demand. */
struct tpi_index {
	struct tpi_group *groups;
	unsigned int group_count;
	uint32_t *rest; /* tests that demand no value */
	unsigned int rest_count;
};

struct tpi_rules {
	struct tpi_arena arena;
	struct tpi_slots slots;
	unsigned int count;
	struct tpi_rule *rules;
	struct tpi_test *tests[TPI_SLOTS_MAX];
	unsigned int test_count[TPI_SLOTS_MAX];
	struct tpi_index index[TPI_SLOTS_MAX];
	bool uses_pods;
	uint64_t within_max_ns;
	struct tpi_regex *regexes;
};

unsigned int tpi_slot_of(const struct tpi_slots *slots, uint16_t type);

/* check.c: compiles the steps of a rule, its key and its text. False: `errors` has more. */
bool tpi_rule_check(struct tpi_rules *rules, struct tpi_rule *rule,
		    struct tpi_rules_errors *errors);

/* A field of an event of a slot: of the header, of its type, or of its pod. */
bool tpi_field_resolve(const struct tpi_slots *slots, unsigned int slot,
		       const char *name, struct tpi_ref *ref);
/* The nearest names of fields to one that is none. */
const char *tpi_field_nearest(const struct tpi_slots *slots, uint64_t types,
			      const char *name);

/* condition.c */
struct tpi_checker {
	struct tpi_rules *rules;
	struct tpi_rule *rule;
	struct tpi_rules_errors *errors;
	unsigned int step; /* in the order */
	unsigned int slot;
	bool types_only;
	struct tpi_expr *expr; /* the one at hand */
	bool failed;
};

/* The condition of a step for the slots that it can match. 0: none, and errors say why. */
uint64_t tpi_condition_check(struct tpi_checker *c, struct tpi_expr *expr,
			     struct tpi_step *step);
/* A name of the condition or the text of a rule. False: none, `why` of the expression. */
bool tpi_name_resolve(struct tpi_checker *c, const struct tpi_operand *operand,
		      struct tpi_ref *ref);

/* constant.c: a value as a constant of a field. False: it is none, c->expr->why says so. */
bool tpi_constant(struct tpi_checker *c, const struct tpi_ref *ref,
		  const struct tpi_operand *operand, enum tpi_compare compare,
		  struct tpi_value *value);
void tpi_wrong(struct tpi_checker *c, const struct tpi_operand *at,
	       const char *format, ...) __attribute__((format(printf, 3, 4)));

/* regex.c. NULL: `why` (of 160 bytes) says what is wrong. */
struct tpi_regex *tpi_regex_new(struct tpi_rules *rules, const char *pattern,
				size_t length, char *why);
/* 1, 0, or -1: it took too long. */
int tpi_regex_match(struct tpi_regex *regex, const char *data, size_t length);
void tpi_regex_free_all(struct tpi_rules *rules);

/* ---- matching ------------------------------------------------------------------------------ */

struct tpi_pod;

/* An event in place, or a copy of one. */
struct tpi_raw {
	const unsigned char *data;
	uint32_t length;
	uint32_t fields_bytes;
	uint32_t strings_bytes;
	uint16_t type;
	uint8_t slot;
	const unsigned char *fields;
	const unsigned char *strings;
};

/* All that a condition may look at. */
struct tpi_match {
	const struct tpi_raw *raw;
	const struct tpi_raw *const *chain; /* by step. NULL in it: not there */
	unsigned int from;         /* steps before it are not known yet */
	bool pods;                 /* `pod` is what is known of the pod */
	const struct tpi_pod *pod; /* NULL: none is known */
	uint64_t *regex_errors;
};

enum tpi_truth {
	TPI_FALSE,
	TPI_TRUE,
	TPI_MAYBE
};

/* Checks header and lengths. False: no typed event. */
bool tpi_raw_open(struct tpi_raw *raw, const struct tpi_slots *slots,
		  const void *data, uint32_t length, uint16_t type);
enum tpi_truth tpi_match(const struct tpi_node *node,
			 const struct tpi_match *match);
/* Of an event without pods and steps: MAYBE stands for these. */
void tpi_load(const struct tpi_match *match, const struct tpi_ref *ref,
	      struct tpi_value *value);
/* Order of two values of comparable kinds: -1, 0, 1. 2: they are not comparable. */
int tpi_value_compare(const struct tpi_value *a, const struct tpi_value *b);
int tpi_value_order(const void *a, const void *b); /* of a set, for qsort */

/* index.c. Whether an event may pass any test of its slot. */
void tpi_index_make(struct tpi_rules *rules, unsigned int slot);
bool tpi_index_any(const struct tpi_rules *rules,
		   const struct tpi_match *match);

/* pods.c */
struct tpi_value tpi_pod_value(const struct tpi_pod *pod,
			       enum tpi_pod_field field);

#endif
