/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any text as rules, and behind a NUL any bytes as an event that they look at. Rules
 * are refused with places and reasons, or an engine takes them: it survives the event wherever its
 * bytes lie, and what it saves can be loaded again.
 */
#include <errno.h>
#include <string.h>

#include <tapio/event.h>

#include "fuzz.h"
#include "tools/correlate/engine.h"

static void on_finding(void *arg, const struct tpi_corr_finding *f)
{
	(void)arg;
	FUZZ_CHECK(f->evidence_count && f->evidence[0].time_ns == f->first_ns);
	FUZZ_CHECK(f->first_ns <= f->last_ns && f->last_ns <= f->time_ns);
	FUZZ_CHECK(fuzz_text_valid(f->say, strlen(f->say)));
	FUZZ_CHECK(fuzz_text_valid(f->key, strlen(f->key)));
}

static void on_why(void *arg, const struct tpi_corr_why *why)
{
	(void)arg;
	FUZZ_CHECK(why->end >= TPI_CORR_END_WAITING &&
		   why->end <= TPI_CORR_END_EVICTED);
	FUZZ_CHECK(why->need);
}

static const struct tpi_corr_options options = {
	.limits = {.keys_per_rule = 4, .events_per_key = 4},
	.on_finding = on_finding,
	.on_why = on_why,
};

static void has_reasons(const struct tpi_rules_errors *errors)
{
	FUZZ_CHECK(errors->count);
	for (unsigned int i = 0; i < errors->count && i < TPI_RULES_ERRORS_MAX;
	     i++) {
		FUZZ_CHECK(errors->errors[i].line && errors->errors[i].column);
		FUZZ_CHECK(errors->errors[i].text[0]);
	}
}

static void give(struct tpi_corr *corr, const void *data, size_t length,
		 uint16_t type, uint64_t number)
{
	const struct tpi_corr_event event = {
		.data = data,
		.length = (uint32_t)length,
		.type = type,
		.time_ns = 1000 + number * 1000000,
		.place = {.position = number},
	};

	tpi_corr_event(corr, &event);
}

/* The event in memory of its own, so that a sanitizer sees its end. */
static void give_bytes(struct tpi_corr *corr, const uint8_t *data, size_t size,
		       uint64_t number)
{
	struct tapio_event header = {0};
	unsigned char *copy = malloc(size + !size);

	FUZZ_CHECK(copy);
	memcpy(copy, data, size);
	memcpy(&header, data, size < sizeof(header) ? size : sizeof(header));
	give(corr, copy, size, header.type, number);
	memset(copy, 0xff, size); /* the engine has what it needs */
	free(copy);
}

/* One event of each type with little in it. */
static void give_all(struct tpi_corr *corr, uint64_t *number)
{
	static TAPIO_EVENT_ALIGNED char buffer[1024];
	const struct tapio_event_type *type;
	struct tapio_event_builder b;

	for (unsigned int i = 0; (type = tapio_event_type_at(i)); i++) {
		FUZZ_CHECK(!tapio_event_builder_init(&b, buffer, sizeof(buffer),
						     type->type));
		b.event->pid = 1;
		b.event->time_ns = 1;
		give(corr, buffer, (size_t)tapio_event_builder_finish(&b),
		     type->type, ++*number);
	}
}

static void run(struct tpi_corr *corr, const uint8_t *event, size_t size)
{
	uint64_t number = 0;

	for (int i = 0; i < 3; i++) {
		give_bytes(corr, event, size, ++number);
		give_all(corr, &number);
		tpi_corr_time(corr, 500 + number * 1000000);
	}
	tpi_corr_explain(corr);
}

static void comes_back(struct tpi_corr *corr, const char *text, size_t length)
{
	struct tpi_corr_stats before, after;
	struct tpi_rules_errors errors;
	struct tpi_rules *rules;
	struct tpi_corr *again;
	size_t bytes;
	void *data;

	FUZZ_CHECK(!tpi_rules_parse("fuzz", text, length, &rules, &errors));
	FUZZ_CHECK(!tpi_corr_new(&again, rules, &options));
	FUZZ_CHECK(!tpi_corr_save(corr, &data, &bytes));
	FUZZ_CHECK(!tpi_corr_load(again, data, bytes));
	tpi_corr_stats(corr, &before);
	tpi_corr_stats(again, &after);
	FUZZ_CHECK(before.keys == after.keys &&
		   before.waiting == after.waiting);
	FUZZ_CHECK(before.events == after.events && before.pods == after.pods);
	tpi_corr_time(again, UINT64_MAX);
	tpi_corr_stats(again, &after);
	FUZZ_CHECK(!after.keys && !after.waiting);
	free(data);
	tpi_corr_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	const size_t length = nul ? (size_t)(nul - data) : size;
	const struct tpi_corr_source source = {"c", "i"};
	struct tpi_rules_errors errors;
	struct tpi_rules *rules;
	struct tpi_corr *corr;
	int err = tpi_rules_parse("fuzz", (const char *)data, length, &rules,
				  &errors);

	if (err) {
		FUZZ_CHECK(err == -EINVAL && !rules);
		has_reasons(&errors);
		return 0;
	}
	FUZZ_CHECK(tpi_rules_count(rules) && !errors.count);
	FUZZ_CHECK(!tpi_corr_new(&corr, rules, &options));
	FUZZ_CHECK(tpi_corr_source(corr, &source) == 0);
	run(corr, nul ? nul + 1 : data, nul ? size - length - 1 : 0);
	comes_back(corr, (const char *)data, length);
	tpi_corr_free(corr);
	return 0;
}
