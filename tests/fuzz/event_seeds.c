/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seeds of the fuzz target event_read: one event of each type of the table
 * with every field set, and one of an application's own.
 *
 *	event_seeds DIRECTORY           writes them
 *	event_seeds --check DIRECTORY   fails if a type or a field has no seed
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

static TAPIO_EVENT_ALIGNED char buffer[4096];
static struct tapio_event_builder builder;
static char path[4096];

static void fail(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, strerror(err));
	exit(EXIT_FAILURE);
}

/* A value that is not the unset one, different for each field. */
static void fill_field(const struct tapio_event_field *field, unsigned index)
{
	static const char v4[4] = {10, 1, 2, 3};
	const double f64 = 0.25 + index;
	void *p = (char *)builder.fields + field->offset;

	switch (field->kind) {
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
		tapio_event_builder_string(&builder, p, field->name,
					   strlen(field->name));
		break;
	case TAPIO_FIELD_ATTRIBUTES:
		tapio_event_builder_attribute(&builder, p, "key", 3, "value",
					      5);
		tapio_event_builder_attribute(&builder, p, "k\xc3\xa4y", 4, "",
					      0);
		break;
	case TAPIO_FIELD_IP:
		if (index & 1)
			tapio_event_ip4(p, v4);
		else
			tapio_event_ip6(p, "fedcba9876543210");
		break;
	case TAPIO_FIELD_F64:
		memcpy(p, &f64, sizeof(f64));
		break;
	default:
		memset(p, 0, field->bytes);
		*(unsigned char *)p = (unsigned char)(1 + index % 5);
	}
}

static void fill_header(void)
{
	struct tapio_event *e = builder.event;

	e->severity = TAPIO_SEVERITY_WARNING;
	e->flags = TAPIO_EVENT_EXISTING;
	e->time_ns = 1700000000000000001;
	e->observed_ns = 1700000000000000002;
	memcpy(e->trace_id, "0123456789abcdef", 16);
	memcpy(e->span_id, "01234567", 8);
	e->cgroup_id = 1;
	e->netns_inode = 2;
	e->source = TAPIO_SOURCE_EBPF;
	e->pid = 3;
	e->tid = 4;
	e->uid = 5;
	e->gid = 6;
}

static void write_seed(const char *directory, const char *name)
{
	const int length = tapio_event_builder_finish(&builder);
	FILE *file;

	if (length < 0)
		fail(name, -length);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "wb");
	if (!file || fwrite(buffer, 1, (size_t)length, file) != (size_t)length)
		fail(path, errno);
	fclose(file);
}

static void write_seeds(const char *directory)
{
	const struct tapio_event_type *type;
	const struct tapio_event_field *field;

	for (unsigned t = 0; (type = tapio_event_type_at(t)); t++) {
		tapio_event_builder_init(&builder, buffer, sizeof(buffer),
					 type->type);
		fill_header();
		for (unsigned i = 0; (field = tapio_event_field_at(type, i));
		     i++)
			fill_field(field, i);
		write_seed(directory, type->name);
	}
	tapio_event_builder_init_custom(&builder, buffer, sizeof(buffer), 2000,
					16);
	fill_header();
	memset(builder.fields, 0xa5, 16);
	write_seed(directory, "custom");
}

static bool has_seed(const char *directory, const struct tapio_event_type *type)
{
	const struct tapio_event_field *field;
	struct tapio_event_value value;
	struct tapio_event_view view;
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, type->name);
	file = fopen(path, "rb");
	if (!file)
		fail(path, errno);
	length = fread(buffer, 1, sizeof(buffer), file);
	fclose(file);
	if (tapio_event_view_init(&view, buffer, length))
		return false;
	for (unsigned i = 0; (field = tapio_event_field_at(type, i)); i++)
		if (tapio_event_view_value(&view, field, &value) != 1)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	const struct tapio_event_type *type;
	int missing = 0;

	if (argc == 2) {
		write_seeds(argv[1]);
		return EXIT_SUCCESS;
	}
	if (argc != 3 || strcmp(argv[1], "--check")) {
		fprintf(stderr, "usage: %s [--check] DIRECTORY\n", argv[0]);
		return EXIT_FAILURE;
	}
	for (unsigned t = 0; (type = tapio_event_type_at(t)); t++) {
		if (!has_seed(argv[2], type)) {
			printf("%s: no seed with all its fields\n", type->name);
			missing++;
		}
	}
	return missing ? EXIT_FAILURE : EXIT_SUCCESS;
}
