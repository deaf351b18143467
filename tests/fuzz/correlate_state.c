/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as a checkpoint. The target makes a head for them, with length and
 * checksum, so that they get to the loader. They are refused, and the engine is as new; or the
 * engine goes on from them, and what it then saves can be loaded.
 */
#include <errno.h>
#include <string.h>

#include <tapio/event.h>

#include "fuzz.h"
#include "tools/correlate/engine.h"
#include "tools/correlate/hash.h"

#define MAGIC   UINT64_C(0x52524f4354504154)
#define VERSION 1

/* Of each operator, with copies and without, and with pods. */
static const char text[] =
	"rule seq { a: type == process.exit b: type == process.start and comm == a.comm "
	"c: type == dns sequence a, b, c by pid within 10s say \"{a.comm} {b.pid}\" }"
	"rule some { a: type == process.exit b: type == dns sequence a, b within 9s at least 1 }"
	"rule count { k: type == process.exit count(k) > 3 by pid, comm within 10s cooldown 1s }"
	"rule values { k: type == dns distinct(k.server) > 3 by pod within 10s }"
	"rule silent { k: type == process.exit absent by pid within 10s say \"{k.comm}\" }"
	"rule mute { k: type == dns absent by server within 10s }";

static unsigned int findings;

static void on_finding(void *arg, const struct tpi_corr_finding *f)
{
	(void)arg;
	findings++;
	FUZZ_CHECK(f->evidence_count);
	FUZZ_CHECK(fuzz_text_valid(f->say, strlen(f->say)));
	FUZZ_CHECK(fuzz_text_valid(f->key, strlen(f->key)));
}

static void on_why(void *arg, const struct tpi_corr_why *why)
{
	(void)arg;
	FUZZ_CHECK(why->rule && why->key);
}

static struct tpi_corr *engine(void)
{
	const struct tpi_corr_options options = {.limits = {.bytes = 1 << 20},
						 .on_finding = on_finding,
						 .on_why = on_why};
	struct tpi_rules_errors errors;
	struct tpi_rules *rules;
	struct tpi_corr *corr;

	FUZZ_CHECK(!tpi_rules_parse("fuzz", text, sizeof(text) - 1, &rules,
				    &errors));
	FUZZ_CHECK(!tpi_corr_new(&corr, rules, &options));
	return corr;
}

/* The bytes behind a head that fits them. Free it. */
static unsigned char *with_head(const uint8_t *data, size_t size,
				size_t *length)
{
	uint64_t head[4] = {MAGIC, VERSION, size + sizeof(head),
			    tpi_hash_bytes(VERSION, data, size)};
	unsigned char *all = malloc(size + sizeof(head));

	FUZZ_CHECK(all);
	memcpy(all, head, sizeof(head));
	if (size)
		memcpy(all + sizeof(head), data, size);
	*length = size + sizeof(head);
	return all;
}

static void goes_on(struct tpi_corr *corr)
{
	static TAPIO_EVENT_ALIGNED char buffer[512];
	struct tapio_event_builder b;
	struct tpi_corr *again = engine();
	const uint64_t now_ns = tpi_corr_watermark(corr);
	struct tpi_corr_source name;
	void *data;
	size_t length;
	int err;

	tpi_corr_explain(corr);
	for (uint64_t i = 0; i < 4 && tpi_corr_source_get(corr, 0, &name);
	     i++) {
		struct tpi_corr_event event = {
			.data = buffer,
			.type = i % 2 ? TAPIO_EVENT_DNS
				      : TAPIO_EVENT_PROCESS_EXIT,
			.time_ns = now_ns + i * 1000,
			.place = {.position = UINT64_MAX / 2 + i},
		};

		FUZZ_CHECK(!tapio_event_builder_init(&b, buffer, sizeof(buffer),
						     event.type));
		b.event->pid = 1;
		event.length = (uint32_t)tapio_event_builder_finish(&b);
		tpi_corr_event(corr, &event);
	}
	tpi_corr_time(corr, now_ns + 2000);
	FUZZ_CHECK(!tpi_corr_save(corr, &data, &length));
	err = tpi_corr_load(again, data, length);
	FUZZ_CHECK(!err ||
		   err == -ENOMEM); /* a table is larger while it grows */
	free(data);
	tpi_corr_free(again);
	tpi_corr_time(corr, UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tpi_corr *corr = engine();
	struct tpi_corr_stats stats;
	size_t length;
	unsigned char *all = with_head(data, size, &length);
	int err = tpi_corr_load(corr, all, length);

	free(all);
	FUZZ_CHECK(!err || err == -EBADMSG || err == -ENOMEM);
	tpi_corr_stats(corr, &stats);
	if (err)
		FUZZ_CHECK(!stats.keys && !stats.waiting && !stats.bytes &&
			   !stats.pods);
	else
		goes_on(corr);
	tpi_corr_free(corr);
	return 0;
}
