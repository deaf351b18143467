/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the engine by a script on standard input, for tests that are not in C:
 *
 *	rules N		N bytes of rules follow; a new engine
 *	line JSON	a line of a recording
 *	time NS		the watermark
 *	restart		save, a new engine, load
 *	swap N		N bytes of other rules follow
 *	end NAME	all findings and numbers, and the end of the case
 *
 * Findings are printed as "F rule verdict time id count place..." with places as
 * channel/instance/lane/position.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/engine.h"
#include "tools/correlate/replay.h"

static struct tpi_corr *corr;
static char *rules_text;
static size_t rules_length;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "driver: %s: %s\n", what, why);
	exit(1);
}

static void on_finding(void *arg, const struct tpi_corr_finding *f)
{
	(void)arg;
	printf("F %s %s %" PRIu64 " %016" PRIx64 "%016" PRIx64 " %" PRIu64,
	       f->rule, f->verdict == TPI_CORR_TRUE ? "true" : "unknown",
	       f->time_ns, f->id[0], f->id[1], f->count);
	for (uint32_t i = 0; i < f->evidence_count; i++) {
		const struct tpi_corr_place *place = &f->evidence[i].place;
		struct tpi_corr_source source = {0};

		if (!tpi_corr_source_get(corr, place->source, &source))
			die("finding", "a source without a name");
		printf(" %s/%s/%u/%" PRIu64, source.channel, source.instance,
		       place->lane, place->position);
	}
	printf("\n");
}

static struct tpi_rules *parse(const char *text, size_t length)
{
	struct tpi_rules_errors errors;
	struct tpi_rules *rules;

	if (!tpi_rules_parse("rules", text, length, &rules, &errors))
		return rules;
	tpi_rules_print_errors(&errors, stderr);
	fwrite(text, 1, length, stderr);
	die("rules", "they do not parse");
	return NULL;
}

static void begin(void)
{
	const struct tpi_corr_options options = {.on_finding = on_finding};

	if (tpi_corr_new(&corr, parse(rules_text, rules_length), &options))
		die("engine", "no memory");
}

static char *read_text(size_t length)
{
	char *text = malloc(length + 1);

	if (!text || fread(text, 1, length, stdin) != length)
		die("script", "the rules end too early");
	return text;
}

static void new_rules(size_t length)
{
	tpi_corr_free(corr);
	free(rules_text);
	rules_text = read_text(length);
	rules_length = length;
	begin();
}

static void swap(size_t length)
{
	char *text = read_text(length);
	int err = tpi_corr_swap_rules(corr, parse(text, length));

	if (err)
		die("swap", strerror(-err));
	free(rules_text);
	rules_text = text;
	rules_length = length;
}

static void restart(void)
{
	size_t length;
	void *data;

	if (tpi_corr_save(corr, &data, &length))
		die("save", "no memory");
	tpi_corr_free(corr);
	begin();
	int err = tpi_corr_load(corr, data, length);
	if (err)
		die("load", strerror(-err));
	free(data);
}

static void feed(const char *line, size_t length)
{
	char why[TPI_REPLAY_WHY_BYTES];
	uint64_t time_ns;

	if (tpi_replay_line(corr, line, length, &time_ns, why) < 0)
		die(line, why);
}

static void end(const char *name)
{
	struct tpi_corr_rule_stats rule;
	struct tpi_corr_stats stats;

	for (unsigned int i = 0; tpi_corr_rule_stats(corr, i, &rule); i++)
		printf("S %s matched=%" PRIu64 " findings=%" PRIu64
		       " unknown=%" PRIu64 " suppressed=%" PRIu64
		       " keyless=%" PRIu64 " lossless=%d\n",
		       rule.rule, rule.matched, rule.findings, rule.unknown,
		       rule.suppressed, rule.keyless,
		       !rule.evicted && !rule.forgotten && !rule.exhausted);
	tpi_corr_stats(corr, &stats);
	printf("L late=%" PRIu64 " again=%" PRIu64 " malformed=%" PRIu64
	       " refused=%" PRIu64 "\n",
	       stats.late, stats.again, stats.malformed, stats.refused);
	printf("end %s\n", name);
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while ((length = getline(&line, &room, stdin)) > 0) {
		line[--length] = '\0';
		if (!strncmp(line, "rules ", 6))
			new_rules(strtoul(line + 6, NULL, 10));
		else if (!strncmp(line, "swap ", 5))
			swap(strtoul(line + 5, NULL, 10));
		else if (!strncmp(line, "line ", 5))
			feed(line + 5, (size_t)length - 5);
		else if (!strncmp(line, "time ", 5))
			tpi_corr_time(corr, strtoull(line + 5, NULL, 10));
		else if (!strcmp(line, "restart"))
			restart();
		else if (!strncmp(line, "end ", 4))
			end(line + 4);
		else
			die(line, "no such command");
	}
	tpi_corr_free(corr);
	free(rules_text);
	free(line);
	return 0;
}
