/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Question 9: the costs that grow with the number of clients, channels and
 * CPUs, and how far. The broker is the embedded one, in a process of its own.
 */
#include "bench/questions/goals.h"
#include "bench/questions/scale.h"

static const struct bench_peer tapio = {
	.name = "Tapio",
	.package = "",
	.copies = "",
	.across = "processes",
	.death = "the broker takes back what the dead one had",
	.kind = BENCH_TAPIO,
};

static const struct bench_peer bare = {
	.name = "descriptors passed and mapped",
	.package = "",
	.copies = "",
	.across = "processes",
	.death = "",
	.kind = BENCH_FLOOR,
};

static const struct bench_peer words = {
	.name = "one word of each lane",
	.package = "",
	.copies = "",
	.across = "one process",
	.death = "",
	.kind = BENCH_FLOOR,
};

static const struct bench_subject producers = {&tapio, "producers",
					       scale_attach, &scale_producers};
static const struct bench_subject consumers = {&tapio, "consumers",
					       scale_attach, &scale_consumers};
static const struct bench_subject no_broker = {&bare, NULL, scale_attach,
					       &scale_bare};
static const struct bench_subject channels = {&tapio, NULL, scale_channels,
					      NULL};
static const struct bench_subject cpus = {&tapio, NULL, scale_cpus, NULL};
static const struct bench_subject polls = {&tapio, NULL, scale_poll, NULL};
static const struct bench_subject loads = {&words, NULL, scale_poll_floor,
					   NULL};

static const struct bench_subject *const attaching[] = {&producers, &consumers,
							&no_broker, NULL};
static const struct bench_subject *const rushing[] = {&producers, &no_broker,
						      NULL};
static const struct bench_subject *const with_channels[] = {&channels, NULL};
static const struct bench_subject *const with_cpus[] = {&cpus, NULL};
static const struct bench_subject *const polling[] = {&polls, &loads, NULL};

#define ATTACH_FIGURES                                          \
	{                                                       \
		{.name = "all of them", .unit = "ns"},          \
			{.name = "p50", .unit = "ns"},          \
			{.name = "p99", .unit = "ns"},          \
		{                                               \
			.name = "broker, each", .unit = "bytes" \
		}                                               \
	}
#define CPUS(n, cpus_of)                                                      \
	{                                                                     \
		.name = "scale/cpus/" n,                                      \
		.title = "a broker, and clients, on a machine of " n " CPUs", \
		.param = cpus_of, .events = 1, .quick_events = 1,             \
		.figures = {{.name = "start", .unit = "ns"},                  \
			    {.name = "memory", .unit = "bytes"},              \
			    {.name = "producer attaches", .unit = "ns"},      \
			    {.name = "consumer attaches", .unit = "ns"}},     \
		.subjects = with_cpus, .param_name = "CPUs",                  \
	}
#define POLL(n, cpus_of, count, ...)                                         \
	{                                                                    \
		.name = "scale/poll/" n, .title = "a look at " n " lanes",   \
		.param = cpus_of, .events = count, .quick_events = 500,      \
		.figures = {{.name = "all idle", .unit = "ns"},              \
			    {.name = "one event among them", .unit = "ns"}}, \
		.subjects = polling, .param_name = "lanes",                  \
		.goals = {__VA_ARGS__},                                      \
	}

static const struct bench_case cases[] = {
	{.name = "scale/attach",
	 .title = "processes attach, one after the other",
	 .param = SCALE_QUEUE,
	 .events = 1000,
	 .quick_events = 16,
	 .figures = ATTACH_FIGURES,
	 .subjects = attaching,
	 .goals = {GOAL_VALUE("1,000 clients in less than a second", NULL, 0,
			      1e9),
		   GOAL_VALUE("one in less than a millisecond", NULL, 1, 1e6),
		   GOAL_VALUE("less than 32 KiB of the broker's for each", NULL,
			      3, 32768)}},
	{.name = "scale/attach/busy",
	 .title = "processes attach, one after the other, and both CPUs spin",
	 .param = SCALE_QUEUE_BUSY,
	 .events = 100,
	 .quick_events = 8,
	 .figures = ATTACH_FIGURES,
	 .subjects = attaching,
	 .goals = {GOAL_VALUE("one in less than two milliseconds", NULL, 1,
			      2e6)}},
	{.name = "scale/attach/burst",
	 .title = "processes attach, all at once",
	 .param = SCALE_BURST,
	 .events = 1000,
	 .quick_events = 16,
	 .figures = ATTACH_FIGURES,
	 .subjects = rushing,
	 .goals = {GOAL_VALUE("1,000 clients in less than a second", NULL, 0,
			      1e9)}},
	{.name = "scale/channels",
	 .title = "a broker with 100 channels",
	 .events = 100,
	 .quick_events = 4,
	 .figures = {{.name = "start", .unit = "ns"},
		     {.name = "segments", .unit = "bytes"},
		     {.name = "catalog", .unit = "bytes"},
		     {.name = "broker's own", .unit = "bytes"}},
	 .subjects = with_channels},
	CPUS("2", 2),
	CPUS("64", 64),
	CPUS("512", 512),
	POLL("2", 2, 1000000, {.text = NULL}),
	POLL("64", 64, 200000, {.text = NULL}),
	POLL("512", 512, 20000,
	     GOAL_OVER("at most 2 x one word of each", NULL,
		       "one word of each lane", 0, 2)),
	{0},
};

const struct bench_question bench_question_scale = {
	.number = 9,
	.text = "Scale: many clients, channels and CPUs",
	.cases = cases,
};
