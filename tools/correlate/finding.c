/* SPDX-License-Identifier: Apache-2.0 */
/* Findings as they are told: verdict, cool-down, id, text. And why others are none. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/event/event_out.h"
#include "tools/correlate/hash.h"
#include "tools/correlate/state.h"

/* ---- values as text ------------------------------------------------------------------------------ */

static void out_ip(struct tpi_out *out, const struct tapio_event_ip *ip)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text,
		  sizeof(text));
	tpi_out_text(out, text);
}

static const char *name_of(const struct tapio_event_field *field,
			   uint64_t number)
{
	const struct tapio_event_type *type;

	if (field && field->kind == TAPIO_FIELD_TYPE) {
		type = tapio_event_type_get((uint16_t)number);
		return type ? type->name : NULL;
	}
	for (uint32_t i = 0; field && i < field->name_count; i++)
		if (field->names[i].value == number)
			return field->names[i].name;
	return NULL;
}

static void out_number(struct tpi_out *out, const struct tpi_value *value,
		       const struct tapio_event_field *field)
{
	const char *name = name_of(field, value->u64);

	if (value->kind == TPI_VALUE_F64)
		tpi_out_double(out, value->f64);
	else if (value->kind == TPI_VALUE_I64)
		tpi_out_signed(out, value->i64);
	else if (name)
		tpi_out_text(out, name);
	else if (field && field->kind == TAPIO_FIELD_TIME)
		tpi_out_time(out, value->u64);
	else
		tpi_out_unsigned(out, value->u64);
}

static void out_value(struct tpi_out *out, const struct tpi_value *value,
		      const struct tpi_ref *ref)
{
	switch (value->kind) {
	case TPI_VALUE_UNSET:
	case TPI_VALUE_MAYBE:
		tpi_out_char(out, '-');
		break;
	case TPI_VALUE_IP:
		out_ip(out, &value->ip);
		break;
	case TPI_VALUE_BYTES:
		if (ref->kind == TAPIO_FIELD_ID)
			tpi_out_hex(out, value->data, value->length);
		else
			tpi_out_escaped(out, value->data, value->length);
		break;
	default:
		out_number(out, value, ref->field);
	}
}

/* ---- the key as text ------------------------------------------------------------------------------- */

/* Reads one value of the bytes of a key. False: they are not those of a key. */
static bool read_part(const unsigned char **at, const unsigned char *end,
		      struct tpi_value *value)
{
	const size_t left = (size_t)(end - *at);
	const unsigned char *p = *at;
	size_t length;

	if (left < 2)
		return false;
	switch (*p) {
	case 's':
	case 'h':
		length = p[1];
		value->kind = TPI_VALUE_BYTES;
		value->data = (const char *)p + 2;
		value->length = (uint32_t)length;
		length += *p == 'h' ? 10 : 2;
		break;
	case '4':
	case '6':
		length = 17;
		value->kind = TPI_VALUE_IP;
		value->ip.family = *p - '0';
		if (left >= length)
			memcpy(value->ip.bytes, p + 1, 16);
		break;
	default:
		length = 9;
		value->kind = *p == 'u'   ? TPI_VALUE_U64
			      : *p == 'i' ? TPI_VALUE_I64
					  : TPI_VALUE_F64;
		if (left >= length)
			memcpy(&value->u64, p + 1, 8);
	}
	*at += length;
	return left >= length;
}

static const char *key_text(struct tpi_corr *corr, const struct tpi_key *key)
{
	const struct tpi_rule *rule = &corr->rules->rules[key->rule];
	const unsigned char *at = key->bytes, *end = key->bytes + key->length;
	struct tpi_value value = {0};
	struct tpi_out out;

	tpi_out_init(&out, corr->key_text, sizeof(corr->key_text));
	for (unsigned int i = 0;
	     i < rule->key_count && read_part(&at, end, &value); i++) {
		const struct tpi_ref ref = {.kind = rule->key_kinds[i]};
		const bool quoted = value.kind == TPI_VALUE_BYTES &&
				    ref.kind != TAPIO_FIELD_ID;

		tpi_out_text(&out, i ? " " : "");
		tpi_out_text(&out, rule->key_names[i]);
		tpi_out_char(&out, '=');
		tpi_out_text(&out, quoted ? "\"" : "");
		out_value(&out, &value, &ref);
		tpi_out_text(&out, quoted ? "\"" : "");
	}
	tpi_out_finish(&out);
	return corr->key_text;
}

/* ---- say -------------------------------------------------------------------------------------------- */

static void say_field(struct tpi_out *out, const struct tpi_say *piece,
		      const struct tpi_raw *const *chain,
		      const struct tpi_copy *last)
{
	const struct tpi_match match = {.raw = last ? &last->raw : NULL,
					.chain = chain,
					.pods = true,
					.pod = last ? last->pod : NULL};
	struct tpi_value value = {0};
	const struct tpi_ref *ref = &piece->ref;

	tpi_load(&match, ref, &value);
	/* The names of its values are those of the event's own type. */
	if (ref->base == TPI_BASE_STEP && chain[ref->step])
		ref = &ref->by_slot[chain[ref->step]->slot];
	out_value(out, &value, ref);
}

static void say(struct tpi_corr *corr, const struct tpi_rule *rule,
		uint32_t count, const struct tpi_raw *const *chain,
		const struct tpi_copy *last)
{
	struct tpi_out out;

	tpi_out_init(&out, corr->say, sizeof(corr->say));
	for (const struct tpi_say *piece = rule->say; piece;
	     piece = piece->next) {
		switch (piece->kind) {
		case TPI_SAY_TEXT:
			tpi_out_escaped(&out, piece->text, piece->length);
			break;
		case TPI_SAY_KEY:
			tpi_out_text(&out, corr->key_text);
			break;
		case TPI_SAY_COUNT:
			tpi_out_unsigned(&out, count);
			break;
		case TPI_SAY_RULE:
			tpi_out_text(&out, rule->text->name);
			break;
		case TPI_SAY_FIELD:
			say_field(&out, piece, chain, last);
			break;
		}
	}
	/* A text that is too long ends between two characters. */
	if (out.length >= sizeof(corr->say)) {
		size_t end = sizeof(corr->say) - 1;

		while (end && (corr->say[end] & 0xc0) == 0x80)
			end--;
		out.length = end;
	}
	tpi_out_finish(&out);
}

/* ---- findings ------------------------------------------------------------------------------------------ */

/* The same events give the same id, whatever the numbers of their sources are. */
static uint64_t make_id(const struct tpi_corr *corr,
			const struct tpi_rule *rule, uint32_t count,
			uint64_t seed)
{
	struct tpi_hash hash;

	tpi_hash_init(&hash, seed, 0);
	tpi_hash_text(&hash, rule->text->name);
	for (uint32_t i = 0; i < count; i++) {
		const struct tpi_corr_place *place = &corr->evidence[i].place;

		tpi_hash_text(&hash, corr->sources[place->source].channel);
		tpi_hash_text(&hash, corr->sources[place->source].instance);
		tpi_hash_number(&hash, place->lane);
		tpi_hash_number(&hash, place->position);
	}
	return tpi_hash_end(&hash);
}

static bool has_gap(const struct tpi_corr *corr, uint64_t from_ns,
		    uint64_t to_ns)
{
	for (unsigned int i = 0; i < corr->gap_count; i++)
		if (corr->gaps[i].from_ns <= to_ns &&
		    corr->gaps[i].to_ns >= from_ns)
			return true;
	return false;
}

static bool is_certain(const struct tpi_corr *corr, const struct tpi_rule *rule,
		       uint64_t time_ns)
{
	const uint64_t first_ns = corr->evidence[0].time_ns;

	if (rule->kind == TPI_RULE_SEQUENCE)
		return !has_gap(corr, first_ns, time_ns);
	/* An event that is lost at the time of the last one would not end the silence. */
	return rule->kind != TPI_RULE_ABSENT ||
	       !has_gap(corr, tpi_add_ns(first_ns, 1), time_ns);
}

static void tell(struct tpi_corr *corr, struct tpi_key *key, uint64_t time_ns,
		 uint32_t count, uint8_t verdict)
{
	const struct tpi_rule *rule = &corr->rules->rules[key->rule];
	const struct tpi_corr_finding finding = {
		.id = {make_id(corr, rule, count, 1),
		       make_id(corr, rule, count, 2)},
		.rule = rule->text->name,
		.rule_index = key->rule,
		.say = corr->say,
		.key = corr->key_text,
		.time_ns = time_ns,
		.first_ns = corr->evidence[0].time_ns,
		.last_ns = corr->evidence[count - 1].time_ns,
		.count = count,
		.severity = rule->severity,
		.verdict = verdict,
		.evidence_count = count,
		.evidence = corr->evidence,
	};

	if (corr->options.on_finding)
		corr->options.on_finding(corr->options.arg, &finding);
}

void tpi_fire(struct tpi_corr *corr, struct tpi_key *key, uint64_t time_ns,
	      uint32_t count, const struct tpi_chain *chain,
	      const struct tpi_copy *last)
{
	const struct tpi_rule *rule = &corr->rules->rules[key->rule];
	struct tpi_corr_rule_stats *stats = &corr->states[key->rule].stats;
	const struct tpi_raw *one[TPI_RULES_STEPS_MAX] = {last ? &last->raw
							       : NULL};
	const bool certain = is_certain(corr, rule, time_ns);

	if (key->cool_ns > time_ns) {
		stats->suppressed++;
		tpi_why(corr, key, TPI_CORR_END_SUPPRESSED, time_ns);
		return;
	}
	if (certain) {
		stats->findings++;
		if (rule->cooldown_ns)
			key->cool_ns = tpi_add_ns(time_ns, rule->cooldown_ns);
	} else {
		stats->unknown++;
	}
	tpi_why(corr, key, certain ? TPI_CORR_END_FIRED : TPI_CORR_END_UNKNOWN,
		time_ns);
	key_text(corr, key);
	say(corr, rule, count, chain ? chain->raws : one, last);
	tell(corr, key, time_ns, count,
	     certain ? TPI_CORR_TRUE : TPI_CORR_UNKNOWN);
}

/* ---- explanations ------------------------------------------------------------------------------------------ */

/* Steps in the order of the text. */
static uint32_t steps_of(const struct tpi_rule *rule, const struct tpi_key *key)
{
	uint32_t steps = 0;

	for (uint32_t i = 0; i < key->count; i++)
		for (unsigned int s = 0; s < rule->step_count; s++)
			if (tpi_key_item(key, i)->steps >> s & 1)
				steps |= 1u << rule->steps[s].index;
	return steps;
}

void tpi_why(struct tpi_corr *corr, const struct tpi_key *key,
	     enum tpi_corr_end end, uint64_t time_ns)
{
	const struct tpi_rule *rule = &corr->rules->rules[key->rule];
	struct tpi_corr_why why = {
		.rule = rule->text->name,
		.rule_index = key->rule,
		.end = end,
		.have = key->count,
		.need = rule->kind == TPI_RULE_ABSENT ? 1 : rule->need,
		.time_ns = time_ns,
	};

	if (!corr->options.on_why)
		return;
	why.key = key_text(corr, key);
	why.steps = steps_of(rule, key);
	if (rule->kind == TPI_RULE_SEQUENCE)
		why.have = (uint64_t)__builtin_popcount(why.steps);
	if (end == TPI_CORR_END_FIRED || end == TPI_CORR_END_UNKNOWN ||
	    end == TPI_CORR_END_SUPPRESSED)
		why.have = why.need;
	if (key->count) {
		why.first_ns = tpi_key_item(key, 0)->time_ns;
		why.last_ns = tpi_key_item(key, key->count - 1)->time_ns;
	}
	corr->options.on_why(corr->options.arg, &why);
}

void tpi_corr_explain(struct tpi_corr *corr)
{
	for (unsigned int i = 0; i < corr->rules->count; i++)
		for (struct tpi_key *key = corr->states[i].oldest; key;
		     key = key->newer)
			tpi_why(corr, key, TPI_CORR_END_WAITING,
				corr->stats.watermark_ns);
}
