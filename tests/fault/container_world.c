/* SPDX-License-Identifier: Apache-2.0 */
/* See container_world.h. */
#include "tests/fault/container_world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/atomic.h"

/* ---- the broker --------------------------------------------------------------------------- */

struct container_host host;
struct load_board *board;
struct container producers[LOAD_PRODUCERS], consumers[LOAD_CONSUMERS];
static struct load_client produce[LOAD_PRODUCERS], consume[LOAD_CONSUMERS];

static const char *const serve[] = {"tapiod", "--config", "/bin/conf",
				    "--log-level=debug", NULL};

const char *text_of(int fd)
{
	static char text[1 << 20];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

const char *page(void)
{
	int fd = open(TAPIO_PAGE, O_RDONLY | O_CLOEXEC);
	const char *text = text_of(fd);

	close(fd);
	return text;
}

void configure(const char *text)
{
	FILE *file;

	snprintf(host.config, sizeof(host.config), "%s/conf",
		 container_image());
	file = fopen(host.config, "we");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* The one that docs/guide/containers.md shows. */
static void configure_as_the_page(void)
{
	static const char fence[] = "```conf\n";
	char text[1024] = "";
	const char *at = strstr(page(), fence);

	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(sscanf(at + sizeof(fence) - 1, "%1023[^`]", text), 1);
	configure(text);
}

void world_set_up(void)
{
	board = load_board();
	strcpy(host.directory, "/tmp/tapio-containers-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(host.directory));
	ck_assert_int_eq(chmod(host.directory, 0755), 0);
	snprintf(host.socket, sizeof(host.socket), "%s/tapiod.sock",
		 host.directory);
	configure_as_the_page();
	host.log = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_ge(host.log, 0);
}

void world_tear_down(void)
{
	char lock[128];

	snprintf(lock, sizeof(lock), "%s.lock", host.socket);
	unlink(lock);
	unlink(host.socket);
	ck_assert_int_eq(rmdir(host.directory), 0);
	container_image_remove();
}

unsigned int said(const char *words)
{
	const char *at = text_of(host.log);
	unsigned int count = 0;

	for (; (at = strstr(at, words)); at++)
		count++;
	return count;
}

const char *children_of(pid_t pid)
{
	static char text[256];
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void serve_on_the_host(void)
{
	host.keeper = fork();
	if (host.keeper)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	dup2(host.log, STDERR_FILENO);
	execl(TAPIO_BIN "/tapiod", "tapiod", "--config", host.config,
	      "--log-level=debug", "--socket", host.socket, (char *)NULL);
	_exit(127);
}

void start_broker(const struct container_spec *given)
{
	unsigned int before = said(", serves ");

	host.contained = given != NULL;
	if (given) {
		struct container_spec spec = *given;
		unsigned int first = 0, uid = 0;

		spec.name = "broker";
		spec.mounted = host.directory;
		spec.writable = true;
		spec.argv = serve;
		spec.output = host.log;
		if (spec.users)
			sscanf(spec.users, "%u %u", &first, &uid);
		uid += spec.uid;
		ck_assert_int_eq(chown(host.directory, uid, uid), 0);
		container_start(&host.container, &spec);
		host.keeper = host.container.init;
	} else {
		serve_on_the_host();
	}
	for (time_t limit = time(NULL) + LIMIT_S; said(", serves ") == before;
	     usleep(2000))
		ck_assert_msg(time(NULL) < limit, "no broker: %s",
			      text_of(host.log));
}

/* By SIGTERM to its process 1, as a runtime does it. */
void stop_broker(void)
{
	int status = -1;

	kill(host.keeper, SIGTERM);
	if (host.contained)
		status = container_end(&host.container);
	else
		waitpid(host.keeper, &status, 0);
	ck_assert_msg(!status, "status %d: %s", status, text_of(host.log));
	ck_assert_int_ne(access(host.socket, F_OK), 0);
}

void kill_broker(void)
{
	unsigned int before = said(", serves ");
	pid_t broker = atoi(children_of(host.keeper));

	ck_assert_int_gt(broker, 0);
	ck_assert_int_eq(kill(broker, SIGKILL), 0);
	WAIT(said(", serves ") > before);
	ck_assert_uint_ge(said("took over the memory"), 1);
}

/* ---- clients ------------------------------------------------------------------------------- */

/* A client's container: as another one, with that name and body. */
static void start_client(struct container *container,
			 const struct container_spec *as, const char *name,
			 void (*body)(struct role *self),
			 struct load_client *client)
{
	struct container_spec spec = *as;

	client->board = board;
	spec.name = name;
	spec.body = body;
	spec.arg = client;
	if (!spec.mounted)
		spec.mounted = host.directory;
	container_start(container, &spec);
	ck_assert_int_eq((int)role_hear(&container->role), 0);
}

void start_producer(unsigned int i, const struct container_spec *as)
{
	produce[i].index = i;
	start_client(&producers[i], as, "producer", load_produce, &produce[i]);
}

void start_consumer(unsigned int i, const struct container_spec *as)
{
	static const char *const groups[] = {"first", "second", "first"};

	consume[i].index = i;
	consume[i].group = groups[i];
	start_client(&consumers[i], as, "consumer", load_consume, &consume[i]);
}

/* Its children say when they are attached. Nothing else is asked of them. */
static void be_pod(struct role *self)
{
	struct load_client *clients = self->arg;

	for (int i = 0; i < 2; i++) {
		self->arg = &clients[i];
		if (!fork()) {
			load_produce(self);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
}

void start_pod(const struct container_spec *as)
{
	produce[2].index = 2;
	produce[3].index = 3;
	produce[3].board = board;
	start_client(&producers[2], as, "pod", be_pod, &produce[2]);
	ck_assert_int_eq((int)role_hear(&producers[2].role), 0);
}

/* The status of tapio-shmstat in a container of its own. Its output is in text_of(). */
static int shmstat(const struct container_spec *as, const char *part, int *out)
{
	const char *const argv[] = {"tapio-shmstat", "--json", "--timeout=20s",
				    part, NULL};
	struct container_spec spec = *as;
	struct container container;

	*out = memfd_create("shmstat", MFD_CLOEXEC);
	spec.name = "observer";
	spec.mounted = host.directory;
	spec.argv = argv;
	spec.output = *out;
	container_start(&container, &spec);
	return container_end(&container);
}

/* A group that is read while producers do not wait for it may be at its lag for a moment. */
static bool is_behind(const char *text)
{
	return strstr(text, "\"broken\": 0,") &&
	       (strstr(text, "\n  \"faults\": [\n    \"group-at-lag\"\n  ]") ||
		strstr(text, "\"cause\": \"group-at-lag\""));
}

void shmstat_is_well(const struct container_spec *as, const char *part)
{
	int out, status = shmstat(as, part, &out);

	ck_assert_msg(!status || (status == 1 && is_behind(text_of(out))),
		      "tapio-shmstat %s: status %d: %s", part, status,
		      text_of(out));
	close(out);
}

/* Whether tapio-shmstat says that of a part. */
bool shows(const struct container_spec *as, const char *part, const char *words)
{
	int out, status = shmstat(as, part, &out);
	bool yes = strstr(text_of(out), words) != NULL;

	ck_assert_msg(!status || (status == 1 && is_behind(text_of(out))),
		      "tapio-shmstat %s: status %d: %s", part, status,
		      text_of(out));
	close(out);
	return yes;
}

/* Nothing that was accepted is missing, for a consumer and for the tools. */
void account(unsigned int clients, const struct container_spec *as,
	     uint32_t twice)
{
	load_pause(board, clients);
	load_drained(board, 0);
	shmstat_is_well(as, "ledger");
	shmstat_is_well(as, "check");
	load_judge(board, 0, twice);
}

void end_clients(unsigned int producer_count, unsigned int consumer_count)
{
	tpi_store_release(&board->stop, 1);
	for (unsigned int i = 0; i < producer_count; i++)
		ck_assert_int_eq(container_end(&producers[i]), 0);
	for (unsigned int i = 0; i < consumer_count; i++)
		ck_assert_int_eq(container_end(&consumers[i]), 0);
}
