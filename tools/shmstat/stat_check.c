/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat check`: the findings of tools/inspect/check.h as JSON and as text. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/error.h"
#include "tools/inspect/snapshot.h"
#include "tools/shmstat/stat.h"
#include "tools/shmstat/text.h"
#include "tools/shmstat/why.h"

#define LINE_BYTES 1024

static json_t *value_index(uint32_t index)
{
	return index == TPI_NONE ? json_null() : value_count(index);
}

static json_t *value_group(const struct tpi_inspect *inspect,
			   const struct tpi_where *w)
{
	const struct tapio_shm_group *group;

	if (w->channel == TPI_NONE || w->slot == TPI_NONE)
		return json_null();
	group = &tpi_inspect_groups(inspect, w->channel)[w->slot];
	return value_text(group->name, sizeof(group->name));
}

static json_t *numbers(const struct tpi_finding *f)
{
	json_t *object = json_object();

	for (int i = 0; f->numbers[i].name; i++)
		json_object_set_new(object, f->numbers[i].name,
				    value_count(f->numbers[i].value));
	return object;
}

static json_t *one(const struct tpi_inspect *inspect,
		   const struct tpi_finding *f)
{
	const struct tpi_where *w = &f->where;
	json_t *object = json_object();

	json_object_set_new(object, "rule",
			    json_string(tpi_rule_name(f->rule)));
	json_object_set_new(object, "says",
			    json_string(tpi_rule_text(f->rule)));
	json_object_set_new(object, "page",
			    json_string(tpi_rule_page(f->rule)));
	json_object_set_new(object, "severity",
			    json_string(tpi_severity_name(f->severity)));
	json_object_set_new(object, "channel",
			    w->channel == TPI_NONE
				    ? json_null()
				    : value_channel(inspect, w->channel));
	json_object_set_new(object, "segment", value_index(w->segment));
	json_object_set_new(object, "lane", value_index(w->lane));
	json_object_set_new(object, "slot", value_index(w->slot));
	json_object_set_new(object, "group", value_group(inspect, w));
	json_object_set_new(object, "attachment", value_index(w->attachment));
	json_object_set_new(object, "numbers", numbers(f));
	json_object_set_new(object, "more", value_count(f->more));
	json_object_set_new(object, "why",
			    *f->why ? value_text(f->why, sizeof(f->why))
				    : json_null());
	return object;
}

static json_t *checked(const struct tpi_check_report *r)
{
	json_t *object = json_object();

	json_object_set_new(object, "rules", value_count(TPI_RULES));
	json_object_set_new(object, "checks", value_count(r->checks));
	json_object_set_new(object, "looks", value_count(r->looks));
	json_object_set_new(object, "channels", value_count(r->channels));
	json_object_set_new(object, "lanes", value_count(r->lanes));
	json_object_set_new(object, "groups", value_count(r->groups));
	json_object_set_new(object, "attachments", value_count(r->attachments));
	json_object_set_new(object, "segments", value_count(r->segments));
	return object;
}

/* Those that one look shows (why.h), but for the rules, which have their own findings. */
static json_t *faults_of(const struct tpi_inspect *inspect)
{
	json_t *look = json_object(), *found;

	json_object_set_new(look, "source", stat_source(inspect));
	found = why_faults(inspect, look);
	json_decref(look);
	return found ? found : json_array();
}

json_t *stat_check(const struct tpi_inspect *inspect,
		   const struct tpi_check_report *report)
{
	json_t *object = json_object(), *list = json_array();
	json_t *faults = faults_of(inspect);
	bool none = !report->of[TPI_BROKEN] && !json_array_size(faults);

	for (uint32_t i = 0; i < report->count; i++)
		json_array_append_new(list, one(inspect, &report->findings[i]));
	json_object_set_new(object, "source", stat_source(inspect));
	json_object_set_new(object, "healthy",
			    none && tpi_inspect_denied(inspect)
				    ? json_null()
				    : json_boolean(none));
	json_object_set_new(object, "faults", faults);
	json_object_set_new(object, "checked", checked(report));
	for (enum tpi_severity s = 0; s < TPI_SEVERITIES; s++)
		json_object_set_new(object, tpi_severity_name(s),
				    value_count(report->of[s]));
	json_object_set_new(object, "left_out", value_count(report->left_out));
	json_object_set_new(object, "followed", json_boolean(!report->corrupt));
	json_object_set_new(object, "findings", list);
	return object;
}

void stat_check_print(const struct tpi_inspect *inspect,
		      const struct tpi_check_report *r, const json_t *checked,
		      size_t width)
{
	const json_t *faults = json_object_get(checked, "faults");
	char line[LINE_BYTES];

	why_print(faults, width);

	for (uint32_t i = 0; i < r->count; i++) {
		tpi_finding_print(inspect, &r->findings[i], line, sizeof(line));
		puts(line);
	}
	if (r->left_out)
		printf("and %" PRIu32 " more findings\n", r->left_out);
	snprintf(line, sizeof(line),
		 "%d rules, %" PRIu64 " checks a look, %" PRIu32
		 " looks at %" PRIu32 " channel%s, %" PRIu32 " lane%s, %" PRIu32
		 " group%s, %" PRIu32 " attachment%s, %" PRIu32 " segment%s:",
		 TPI_RULES, r->checks, r->looks, r->channels,
		 TPI_PLURAL(r->channels), r->lanes, TPI_PLURAL(r->lanes),
		 r->groups, TPI_PLURAL(r->groups), r->attachments,
		 TPI_PLURAL(r->attachments), r->segments,
		 TPI_PLURAL(r->segments));
	text_wrap(line, 0, width);
	printf("%" PRIu32 " broken, %" PRIu32 " suspicious, %" PRIu32
	       " unsettled, %zu fault%s\n",
	       r->of[TPI_BROKEN], r->of[TPI_SUSPICIOUS], r->of[TPI_UNSETTLED],
	       json_array_size(faults), TPI_PLURAL(json_array_size(faults)));
	if (inspect->snapshot && tpi_snapshot_moved(inspect->snapshot))
		printf("%" PRIu64 " lane%s moved while the snapshot was taken: "
		       "findings there that it does not prove are unsettled\n",
		       tpi_snapshot_moved(inspect->snapshot),
		       TPI_PLURAL(tpi_snapshot_moved(inspect->snapshot)));
}
