/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any messages with any descriptors on several connections to a broker. It
 * lives, keeps none of the descriptors, and serves an honest client afterwards.
 *
 * An input is a program. Its first byte says whether the kernel refuses descriptors for
 * the broker (SO_PASSRIGHTS, Linux 6.16) or the broker has to deal with them itself.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "broker/loop/child.h"
#include "fuzz.h"
#include "fuzz_broker.h"
#include "lib/base/sys.h"
#include "lib/wire/fdpass.h"
#include "lib/wire/wire.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define SECONDS     240 /* for one input: less than its test may take */
#define STEPS       60
#define CONNECTIONS 4
#define FDS         20

static const char text[] =
	"hugepages = never trust_owner = true\n"
	"channel t { stamp = none groups_max = 4\n"
	"class main { block = 64 blocks = 16 side_blocks = 16 side_lanes = 2 } "
	"}\n";

static int connections[CONNECTIONS];
static bool old_kernel;

int __real_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);

int __wrap_setsockopt(int sock, int level, int option, const void *value,
		      socklen_t length)
{
	if (old_kernel && option == SO_PASSRIGHTS) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_setsockopt(sock, level, option, value, length);
}

struct program {
	const uint8_t *data;
	size_t size;
};

static uint64_t take(struct program *program, size_t bytes)
{
	uint64_t value = 0;

	for (; bytes && program->size; bytes--, program->size--)
		value = value << 8 | *program->data++;
	return value;
}

static int dial(void)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, fuzz_broker_socket());
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	FUZZ_CHECK(!connect(sock, (void *)&address, (socklen_t)length));
	FUZZ_CHECK(!fcntl(sock, F_SETFL, O_NONBLOCK));
	return sock;
}

static void hang_up(int *sock)
{
	if (*sock >= 0)
		close(*sock);
	*sock = -1;
}

/* One of a pair, the other end of which is gone. */
static int half(int ends[2], int which)
{
	close(ends[1 - which]);
	return ends[which];
}

/*
 * A socket in whose queue it lies itself. Not an attacker's connection: one that waits in
 * its own queue, behind an answer that is not read, stays until its process ends, and that
 * is this one.
 */
static int knot(void)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
		return -1;
	FUZZ_CHECK(tpi_send_fds(ends[1], "", 1, ends, 1) == 1);
	return half(ends, 0);
}

static int strange_fd(struct program *program)
{
	int ends[2];

	switch (take(program, 1) % 14) {
	case 0:
		return eventfd(0, 0);
	case 1:
		return pipe(ends) ? -1 : half(ends, 0);
	case 2:
		return pipe(ends) ? -1 : half(ends, 1);
	case 3:
		return open("/", O_RDONLY | O_DIRECTORY);
	case 4:
		return open("/proc/self/exe", O_PATH);
	case 5:
		return socket(AF_INET, SOCK_STREAM, 0);
	case 6:
		return epoll_create1(0);
	case 7:
		return tpi_sys_pidfd_open(getpid(), 0);
	case 8:
		return tpi_sys_pidfd_open(1, 0);
	case 9:
		return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends)
			       ? -1
			       : half(ends, 0);
	case 10:
		return memfd_create("tapio", MFD_ALLOW_SEALING);
	case 11:
		return open("/dev/null", O_RDWR);
	case 12:
		return open("/proc/self/maps", O_RDONLY);
	default:
		return knot();
	}
}

static const char *const names[] = {"t", "u", "", "a b"};

static void compose_attach(struct tpi_wire_attach *attach,
			   struct program *program)
{
	attach->role = (uint32_t)take(program, 1) % 4;
	attach->policy = (uint32_t)take(program, 1) % 5;
	attach->lag = (uint32_t)take(program, 1);
	attach->flags = (uint32_t)take(program, 1) % 3;
	strcpy(attach->channel, names[take(program, 1) % 4]);
	strcpy(attach->group, names[take(program, 1) % 4]);
}

/* As a client would write it. */
static void compose(union tpi_wire_message *m, struct program *program)
{
	enum tpi_wire_type type =
		(enum tpi_wire_type)(1 + take(program, 1) % TPI_WIRE_TAKEN);

	tpi_wire_init(m, type);
	switch (type) {
	case TPI_WIRE_HELLO:
		m->hello.abi_major = TAPIO_ABI_MAJOR;
		m->hello.abi_minor = TAPIO_ABI_MINOR;
		m->hello.pid = (uint32_t)getpid();
		memcpy(m->hello.at_random, (const void *)getauxval(AT_RANDOM),
		       16);
		m->hello.at_random[0] ^= (uint8_t)take(program, 1) & 1;
		if (take(program, 1) & 1)
			compose_attach(&m->hello.attach, program);
		break;
	case TPI_WIRE_ATTACH:
		compose_attach(&m->attach, program);
		break;
	case TPI_WIRE_REMOVE:
		strcpy(m->remove.channel, names[take(program, 1) % 4]);
		strcpy(m->remove.group, names[take(program, 1) % 4]);
		break;
	case TPI_WIRE_DETACH:
		m->detach.attachment = (uint32_t)take(program, 2);
		break;
	case TPI_WIRE_RESUME:
		m->resume.attachment = TAPIO_ATTACHMENT_ID(take(program, 1), 1);
		m->resume.epochs[take(program, 1) % TAPIO_GROUP_SLOTS] =
			(uint32_t)take(program, 1);
		break;
	default:
		break;
	}
}

static void send_message(struct program *program, int sock)
{
	struct {
		union tpi_wire_message m;
		uint8_t more[64];
	} buffer = {0};
	unsigned int how = (unsigned int)take(program, 1), count = 0;
	size_t length;
	int fds[FDS];

	compose(&buffer.m, program);
	for (unsigned int n = how % 4; n && how & 64; n--)
		buffer.m.bytes[take(program, 1) % sizeof(buffer.m.attach)] ^=
			(uint8_t)take(program, 1);
	if (how & 128)
		count = 1 + (unsigned int)take(program, 1) % 3;
	if (how == 255)
		count = FDS;
	for (unsigned int i = 0; i < count; i++) {
		fds[i] = strange_fd(program);
		FUZZ_CHECK(fds[i] >= 0);
	}
	length = buffer.m.header.length;
	if (how % 16 == 7)
		length = take(program, 2);
	if (length > sizeof(buffer))
		length = sizeof(buffer);
	/* Mostly the truth. */
	if (how & 32)
		buffer.m.header.fd_count = count;
	tpi_send_fds(sock, &buffer, length, fds, count);
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}

static void read_answer(int *sock)
{
	struct pollfd p = {.fd = *sock, .events = POLLIN};
	union tpi_wire_message m;
	int fds[TPI_WIRE_FDS_MAX];
	unsigned int count = TPI_WIRE_FDS_MAX;
	char why[256];
	ssize_t got;

	if (poll(&p, 1, 2) != 1)
		return;
	got = tpi_recv_fds(*sock, &m, sizeof(m), fds, &count);
	if (got <= 0) {
		hang_up(sock);
		return;
	}
	/* Whatever it was asked, the broker speaks the protocol. */
	FUZZ_CHECK(!tpi_wire_check(&m, (size_t)got, count, why, sizeof(why)));
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}

static void step(struct program *program)
{
	int *sock = &connections[take(program, 1) % CONNECTIONS];

	if (*sock < 0)
		*sock = dial();
	switch (take(program, 1) % 8) {
	case 0:
		hang_up(sock);
		break;
	case 1:
		fuzz_broker_look();
		break;
	case 2:
		read_answer(sock);
		break;
	case 3: /* longer than the broker's looks for answers that are read */
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		break;
	default:
		send_message(program, *sock);
	}
}

/*
 * An honest client, of the same process as the attackers. A HELLO of theirs that is heard
 * late can look as if it had become another program, which ends its connection: it dials
 * again.
 */
static void assert_serves(void)
{
	char error[512] = "";
	struct tapio_options options = {
		.size = sizeof(options),
		.socket = fuzz_broker_socket(),
		.error = error,
		.error_bytes = sizeof(error),
		.connect_ns = INT64_C(30000000000),
		.answer_ns = INT64_C(30000000000),
	};
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, "t", &options);

	if (err)
		fprintf(stderr, "%s\n", error);
	FUZZ_CHECK(!err);
	FUZZ_CHECK(!tapio_output(p, TAPIO_TAG(1, 1), "x", 1));
	tapio_producer_close(p);
}

static unsigned int fd_count(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	FUZZ_CHECK(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	struct program program = {data, size};
	unsigned int before;

	signal(SIGPIPE, SIG_IGN);
	alarm(SECONDS);
	old_kernel = take(&program, 1) % 2;
	fuzz_broker_start(text);
	before = fd_count();
	memset(connections, -1, sizeof(connections));
	for (int i = 0; i < STEPS && program.size; i++)
		step(&program);
	for (int i = 0; i < CONNECTIONS; i++)
		hang_up(&connections[i]);
	assert_serves();
	/*
	 * Until the alarm. This process maps the broker's memory, so an attachment
	 * without a connection is its own until it ends, and keeps its pidfd. The broker
	 * has no tick here, which takes the children that were late.
	 */
	while (fd_count() > before + 1) {
		tpi_child_reap_late();
		nanosleep(&ms, NULL);
	}
	fuzz_broker_stop();
	alarm(0);
	return 0;
}
