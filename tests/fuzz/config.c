/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any text as a configuration. It is refused with a reason, or it is a
 * configuration that can be sized, printed, and read again as the same one.
 */
#include <errno.h>
#include <string.h>

#include "broker/config/budget.h"
#include "broker/config/config.h"
#include "fuzz.h"

/* Its text in memory. Free it. */
static char *print(const struct tpi_config *config)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	FUZZ_CHECK(out);
	tpi_config_print(config, out);
	FUZZ_CHECK(!fclose(out));
	return text;
}

static void loads_again(const char *text)
{
	struct tpi_config config;
	char why[512] = "";
	char *again;
	int err = tpi_config_load(&config, NULL, text, why, sizeof(why));

	if (err)
		fprintf(stderr, "%s\n%s\n", why, text);
	FUZZ_CHECK(!err);
	again = print(&config);
	FUZZ_CHECK(!strcmp(again, text));
	free(again);
	tpi_config_free(&config);
}

static void is_sized(struct tpi_config *config)
{
	static const uint32_t machines[][2] = {{1, 1}, {4, 2}, {256, 8}};
	struct tpi_topology topology;
	struct tpi_budget plan;
	char why[512] = "";
	int err;

	/* The smallest machine first: it changes what is not written. */
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		FUZZ_CHECK(!tpi_topology_simulate(&topology, machines[i][0],
						  machines[i][1]));
		why[0] = '\0';
		err = tpi_budget(&plan, config, &topology, why, sizeof(why));
		FUZZ_CHECK(err == 0 || err == -ENOMEM);
		FUZZ_CHECK(err || plan.total_bytes <= config->budget_bytes);
		FUZZ_CHECK(!err || why[0]);
		tpi_topology_free(&topology);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tpi_config config;
	char *text = malloc(size + 1), *printed;
	char why[512] = "";
	int err;

	FUZZ_CHECK(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	err = tpi_config_load(&config, NULL, text, why, sizeof(why));
	FUZZ_CHECK(err == 0 || err == -EINVAL || err == -ENOMEM);
	if (err) {
		FUZZ_CHECK(why[0]);
	} else {
		printed = print(&config);
		loads_again(printed);
		free(printed);
		is_sized(&config);
	}
	tpi_config_free(&config);
	free(text);
	return 0;
}
