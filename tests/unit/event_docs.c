/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables in the documentation of events, made from the tables in the library.
 *
 *	event_docs FILE...           fails if a table in a file is not up to date
 *	event_docs --write FILE...   puts it right
 *
 * A table stands between the lines "<!-- table NAME -->" and "<!-- end -->".
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

#define BEGIN "<!-- table "
#define END   "<!-- end -->\n"

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static const char *kind_name(uint8_t kind)
{
	static const char *const names[] = {
		[TAPIO_FIELD_U8] = "u8",
		[TAPIO_FIELD_U16] = "u16",
		[TAPIO_FIELD_U32] = "u32",
		[TAPIO_FIELD_U64] = "u64",
		[TAPIO_FIELD_I32] = "i32",
		[TAPIO_FIELD_I64] = "i64",
		[TAPIO_FIELD_F64] = "f64",
		[TAPIO_FIELD_BOOL] = "bool",
		[TAPIO_FIELD_ENUM8] = "enum8",
		[TAPIO_FIELD_ENUM16] = "enum16",
		[TAPIO_FIELD_ENUM32] = "enum32",
		[TAPIO_FIELD_FLAGS16] = "flags16",
		[TAPIO_FIELD_TYPE] = "type",
		[TAPIO_FIELD_TIME] = "time",
		[TAPIO_FIELD_IP] = "ip",
		[TAPIO_FIELD_ID] = "id",
		[TAPIO_FIELD_STRING] = "string",
		[TAPIO_FIELD_BYTES] = "bytes",
		[TAPIO_FIELD_ATTRIBUTES] = "attributes",
	};

	return kind < sizeof(names) / sizeof(*names) && names[kind]
		       ? names[kind]
		       : "?";
}

static const char *unset_name(const struct tapio_event_field *f)
{
	if (f->unset == TAPIO_UNSET_NEVER)
		return "";
	if (f->kind >= TAPIO_FIELD_STRING)
		return "empty";
	if (f->unset == TAPIO_UNSET_ZERO)
		return f->kind == TAPIO_FIELD_IP ? "family 0" : "0";
	if (f->kind == TAPIO_FIELD_F64)
		return "NaN";
	if (f->kind == TAPIO_FIELD_I32 || f->kind == TAPIO_FIELD_I64)
		return "least";
	return "ones";
}

static void write_values(FILE *out, const struct tapio_event_field *f)
{
	if (!f->name_count)
		return;
	fprintf(out, ":");
	for (uint32_t i = 0; i < f->name_count; i++)
		fprintf(out, " %u&nbsp;`%s`", (unsigned)f->names[i].value,
			f->names[i].name);
}

static void write_fields(FILE *out, const struct tapio_event_type *type)
{
	const struct tapio_event_field *f;

	fprintf(out, "| field | offset | kind | unit | unset | what |\n"
		     "|---|--:|---|---|---|---|\n");
	for (unsigned i = 0; (f = tapio_event_field_at(type, i)); i++) {
		fprintf(out, "| `%s` | %u | %s | %s | %s | %s", f->name,
			f->offset, kind_name(f->kind), f->unit, unset_name(f),
			f->summary);
		write_values(out, f);
		fprintf(out, " |\n");
	}
}

static void write_header(FILE *out)
{
	write_fields(out, tapio_event_header_type());
}

static void write_types(FILE *out)
{
	const struct tapio_event_type *type;

	fprintf(out, "| type | name | struct | bytes | what |\n"
		     "|--:|---|---|--:|---|\n");
	for (unsigned t = 0; (type = tapio_event_type_at(t)); t++) {
		fprintf(out, "| %u | [`%s`](#", type->type, type->name);
		for (const char *p = type->name; *p; p++)
			if (*p != '.') /* as in the heading's anchor */
				fputc(*p, out);
		fprintf(out, ") | `tapio_event_");
		for (const char *p = type->name; *p; p++)
			fputc(*p == '.' ? '_' : *p, out);
		fprintf(out, "` | %u | %s |\n", type->fields_bytes,
			type->summary);
	}
}

static void write_all_fields(FILE *out)
{
	const struct tapio_event_type *type;

	for (unsigned t = 0; (type = tapio_event_type_at(t)); t++) {
		fprintf(out, "%s### %s\n\nType %u: %s.\n\n", t ? "\n" : "",
			type->name, type->type, type->summary);
		write_fields(out, type);
	}
}

static void write_severities(FILE *out)
{
	fprintf(out, "| severity | name | SeverityNumber |\n|--:|---|--:|\n");
	for (uint8_t s = 0; tapio_severity_name(s); s++)
		fprintf(out, "| %u | `%s` | %u |\n", s, tapio_severity_name(s),
			tapio_severity_otel(s));
}

static void write_otel_rows(FILE *out, const struct tapio_event_type *type)
{
	const struct tapio_event_field *f;

	for (unsigned i = 0; (f = tapio_event_field_at(type, i)); i++)
		fprintf(out, "| `%s` | %s | %s | `%s` | %s%s%s |\n", f->name,
			kind_name(f->kind), f->unit, f->attribute,
			f->metric ? "`" : "", f->metric ? f->metric : "",
			f->metric ? "`" : "");
}

static void write_otel(FILE *out)
{
	static const char head[] =
		"| field | kind | unit | log record | metric |\n"
		"|---|---|---|---|---|\n";
	const struct tapio_event_type *type = tapio_event_header_type();

	fprintf(out, "### The header\n\n%s", head);
	write_otel_rows(out, type);
	for (unsigned t = 0; (type = tapio_event_type_at(t)); t++) {
		fprintf(out, "\n### %s\n\n%s", type->name, head);
		write_otel_rows(out, type);
	}
}

static const struct {
	const char *name;
	void (*write)(FILE *out);
} tables[] = {
	{"header", write_header},      {"types", write_types},
	{"fields", write_all_fields},  {"severities", write_severities},
	{"opentelemetry", write_otel},
};

/* Writes the table that `line` names. False if there is none. */
static bool write_table(FILE *out, const char *line)
{
	const char *name = line + strlen(BEGIN);

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		const size_t n = strlen(tables[i].name);

		if (!strncmp(name, tables[i].name, n) && name[n] == ' ') {
			tables[i].write(out);
			return true;
		}
	}
	return false;
}

/* The file with its tables made anew. Counts them. */
static char *renew(const char *text, unsigned *count)
{
	const char *line = text;
	char *result = NULL;
	const char *end;
	size_t length;
	FILE *out = open_memstream(&result, &length);

	while (*line) {
		end = strchr(line, '\n');
		end = end ? end + 1 : line + strlen(line);
		fwrite(line, 1, (size_t)(end - line), out);
		if (!strncmp(line, BEGIN, strlen(BEGIN)) &&
		    write_table(out, line)) {
			(*count)++;
			end = strstr(end, END);
			if (!end)
				break;
		}
		line = end;
	}
	if (fclose(out))
		die("memory");
	return result;
}

static char *load(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (!file)
		die(path);
	if (getdelim(&text, &room, '\0', file) < 0)
		die(path);
	fclose(file);
	return text;
}

static int check_file(const char *path, bool write, const char *self)
{
	unsigned count = 0;
	char *old = load(path);
	char *new = renew(old, &count);
	const bool same = !strcmp(old, new);
	FILE *file;

	if (!same && write) {
		file = fopen(path, "w");
		if (!file || fputs(new, file) < 0 || fclose(file))
			die(path);
	}
	if (!same && !write)
		printf("%s is not up to date: %s --write %s\n", path, self,
		       path);
	if (!count)
		printf("%s has no tables\n", path);
	free(old);
	free(new);
	return !count || (!same && !write);
}

int main(int argc, char **argv)
{
	const bool write = argc > 1 && !strcmp(argv[1], "--write");
	int bad = argc < 2 + write;

	for (int i = 1 + write; i < argc; i++)
		bad |= check_file(argv[i], write, argv[0]);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
