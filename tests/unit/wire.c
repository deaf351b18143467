/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol: well-formed messages pass, everything else is refused
 * with both values, and no byte string whatever makes the check read past its
 * message.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"
#include "lib/wire/wire.h"
#include "tests/check_main.h"

#define TYPES_END (TPI_WIRE_SEALED + 1)

static char why[256];

static int check(const union tpi_wire_message *m, size_t bytes,
		 unsigned int fds)
{
	why[0] = 0;
	return tpi_wire_check(m, bytes, fds, why, sizeof(why));
}

/* A well-formed message of each type, and how many descriptors it says. */
static unsigned int sample(union tpi_wire_message *m, enum tpi_wire_type type)
{
	tpi_wire_init(m, type);
	if (type == TPI_WIRE_WELCOME)
		m->header.fd_count = 1;
	if (type == TPI_WIRE_ATTACHED) {
		m->attached.segment_count = TAPIO_NODES_MAX;
		m->attached.cursors_count = 1;
		m->header.fd_count = TAPIO_NODES_MAX + 1;
	}
	if (type == TPI_WIRE_HANDING)
		m->header.fd_count = 3;
	if (type == TPI_WIRE_HANDED) {
		m->handed.count = TPI_WIRE_HANDED_MAX;
		m->header.fd_count = TPI_WIRE_HANDED_MAX;
	}
	if (type == TPI_WIRE_FETCHED) {
		m->fetched.count = 5;
		m->header.fd_count = 5;
	}
	return m->header.fd_count;
}

START_TEST(well_formed_messages_pass)
{
	union tpi_wire_message m;
	unsigned int fds = sample(&m, (enum tpi_wire_type)_i);

	ck_assert_int_eq(check(&m, m.header.length, fds), 0);
}
END_TEST

START_TEST(every_shorter_or_longer_message_is_refused)
{
	union tpi_wire_message m;
	unsigned int fds = sample(&m, (enum tpi_wire_type)_i);
	size_t right = m.header.length;

	for (size_t n = 0; n <= TPI_WIRE_BYTES_MAX; n++) {
		if (n == right)
			continue;
		m.header.length = (uint32_t)right;
		ck_assert_int_eq(check(&m, n, fds), -EBADMSG);
		m.header.length = (uint32_t)n;
		ck_assert_int_eq(check(&m, n, fds), -EBADMSG);
		ck_assert(why[0]);
	}
}
END_TEST

START_TEST(a_later_minor_version_may_send_more_and_never_less)
{
	union tpi_wire_message m;
	unsigned int fds = sample(&m, (enum tpi_wire_type)_i);
	uint32_t right = m.header.length;

	m.header.minor = TPI_WIRE_MINOR + 1;
	for (uint32_t n = sizeof(m.header); n <= TPI_WIRE_BYTES_MAX; n++) {
		m.header.length = n;
		ck_assert_int_eq(check(&m, n, fds), n < right ? -EBADMSG : 0);
	}
}
END_TEST

START_TEST(descriptors_that_a_type_does_not_carry_are_refused)
{
	union tpi_wire_message m;
	unsigned int right = sample(&m, (enum tpi_wire_type)_i);

	for (unsigned int n = 0; n <= 253; n++) {
		m.header.fd_count = right;
		if (n != right)
			ck_assert_int_eq(check(&m, m.header.length, n),
					 -EBADMSG);
		m.header.fd_count = n;
		if (_i == TPI_WIRE_HELLO && n <= 1)
			continue;
		if (n != right)
			ck_assert_int_eq(check(&m, m.header.length, n),
					 -EBADMSG);
	}
}
END_TEST

START_TEST(counts_that_wrap_around_are_refused)
{
	union tpi_wire_message m;

	sample(&m, TPI_WIRE_ATTACHED);
	m.attached.segment_count = 66;
	m.attached.cursors_count = UINT32_MAX;
	ck_assert_int_eq(check(&m, m.header.length, 65), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "66 segments"));
}
END_TEST

START_TEST(cursors_of_more_or_fewer_slots_than_came_are_refused)
{
	union tpi_wire_message m;

	for (unsigned int fds = 0; fds <= TPI_WIRE_FDS_MAX; fds++) {
		sample(&m, TPI_WIRE_FETCHED);
		m.header.fd_count = fds;
		m.fetched.count = fds;
		ck_assert_int_eq(check(&m, m.header.length, fds),
				 fds && fds <= TPI_WIRE_FETCH_MAX ? 0
								  : -EBADMSG);
		m.fetched.count = fds + 1;
		ck_assert_int_eq(check(&m, m.header.length, fds), -EBADMSG);
		if (fds && fds <= TPI_WIRE_FETCH_MAX)
			ck_assert_ptr_nonnull(strstr(why, "slots, but"));
		m.fetched.count = fds - 1;
		ck_assert_int_eq(check(&m, m.header.length, fds), -EBADMSG);
	}
}
END_TEST

/* A client or a broker that was built before says so, and is not sent them. */
START_TEST(fetching_came_with_minor_version_3_and_reloading_with_4)
{
	ck_assert_int_eq(TPI_WIRE_MAJOR, 1);
	ck_assert_int_eq(TPI_WIRE_MINOR_RELOAD, 4);
	ck_assert_uint_eq(sizeof(struct tpi_wire_reload), 24);
	ck_assert_uint_eq(sizeof(struct tpi_wire_reloaded), 16 + 256);
	ck_assert_uint_eq(sizeof(struct tpi_wire_fetch), 32);
	ck_assert_uint_eq(sizeof(struct tpi_wire_fetched),
			  24 + 2 * 4 * TPI_WIRE_FETCH_MAX);
	ck_assert_uint_le(TPI_WIRE_FETCH_MAX, TPI_WIRE_FDS_MAX);
}
END_TEST

START_TEST(resuming_came_with_minor_version_4)
{
	ck_assert_int_eq(TPI_WIRE_MINOR_RESUME, 4);
	ck_assert_uint_eq(sizeof(struct tpi_wire_resume),
			  24 + 4 * TAPIO_GROUP_SLOTS);
	ck_assert_uint_eq(sizeof(struct tpi_wire_resumed), 24);
}
END_TEST

START_TEST(replacing_came_with_minor_version_5)
{
	ck_assert_int_eq(TPI_WIRE_MINOR_REPLACE, 5);
	ck_assert_uint_eq(sizeof(struct tpi_wire_replace), 24);
	ck_assert_uint_eq(sizeof(struct tpi_wire_handing), 16 + 16 + 32);
	ck_assert_uint_eq(sizeof(struct tpi_wire_handed),
			  24 + 4 * TPI_WIRE_HANDED_MAX);
	ck_assert_uint_eq(sizeof(struct tpi_wire_take), 24);
	ck_assert_uint_eq(sizeof(struct tpi_wire_taken), 24);
}
END_TEST

/* A message that has grown since 1.4 was as long there as it is here, or shorter. */
START_TEST(what_an_earlier_version_sends_less_is_zero)
{
	union tpi_wire_message m;
	const size_t bytes = sizeof(m.attach);

	memset(&m, 0xff, sizeof(m));
	tpi_wire_complete(&m, (ssize_t)bytes);
	for (size_t i = 0; i < sizeof(m); i++)
		ck_assert_uint_eq(m.bytes[i], i < bytes ? 0xff : 0);
	tpi_wire_complete(&m, -EAGAIN);
	ck_assert_uint_eq(m.bytes[0], 0xff);
}
END_TEST

START_TEST(sealing_came_with_minor_version_5)
{
	ck_assert_int_eq(TPI_WIRE_MINOR_SEALED, 5);
	ck_assert_uint_eq(sizeof(struct tpi_wire_mapped), 24);
	ck_assert_uint_eq(sizeof(struct tpi_wire_sealed), 24);
	/* The word that was reserved before, and zero. */
	ck_assert_uint_eq(offsetof(struct tpi_wire_fetch, kind), 20);
	ck_assert_uint_eq(TPI_FETCH_CURSORS, 0);
}
END_TEST

START_TEST(asking_with_hello_came_with_minor_version_6)
{
	ck_assert_int_ge(TPI_WIRE_MINOR, 6);
	ck_assert_int_eq(TPI_WIRE_MINOR_JOINT, 6);
	/* As long as they were before, and then what has come. */
	ck_assert_uint_eq(offsetof(struct tpi_wire_hello, attach), 72);
	ck_assert_uint_eq(offsetof(struct tpi_wire_welcome, slots), 72);
	ck_assert_uint_eq(sizeof(struct tpi_wire_hello),
			  72 + sizeof(struct tpi_wire_attach));
	ck_assert_uint_eq(sizeof(struct tpi_wire_welcome),
			  80 + 4 * TAPIO_GROUP_SLOTS +
				  sizeof(struct tpi_wire_attached));
}
END_TEST

/* Both, to and from a side that was built before. */
START_TEST(a_hello_and_a_welcome_of_minor_version_5_pass)
{
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.header.minor = 5;
	m.header.length = 72;
	ck_assert_int_eq(check(&m, 72, 0), 0);
	m.header.length = 71;
	ck_assert_int_eq(check(&m, 71, 0), -EBADMSG);
	m.header.minor = TPI_WIRE_MINOR;
	m.header.length = 72;
	ck_assert_int_eq(check(&m, 72, 0), -EBADMSG);
	tpi_wire_init(&m, TPI_WIRE_WELCOME);
	m.header.minor = 5;
	m.header.length = 72;
	for (unsigned int fds = 0; fds <= 3; fds++) {
		m.header.fd_count = fds;
		ck_assert_int_eq(check(&m, 72, fds), fds == 1 ? 0 : -EBADMSG);
	}
}
END_TEST

/* Catalog, segments, own cursors, and the cursors of slots. */
START_TEST(a_welcome_has_the_descriptors_that_it_says)
{
	union tpi_wire_message m;

	for (unsigned int fds = 0; fds <= TPI_WIRE_WELCOME_FDS_MAX + 1; fds++) {
		tpi_wire_init(&m, TPI_WIRE_WELCOME);
		m.header.fd_count = fds;
		m.welcome.slots = UINT64_MAX;
		m.welcome.attached.segment_count = TAPIO_NODES_MAX;
		m.welcome.attached.cursors_count = 2; /* with its board */
		ck_assert_int_eq(check(&m, m.header.length, fds),
				 fds == TPI_WIRE_WELCOME_FDS_MAX ? 0
								 : -EBADMSG);
	}
	m.header.fd_count = 3;
	m.welcome.attached.segment_count = 3;
	m.welcome.attached.cursors_count = UINT32_MAX;
	m.welcome.slots = 0;
	ck_assert_int_eq(check(&m, m.header.length, 3), -EBADMSG);
	m.welcome.attached.segment_count = 1;
	m.welcome.attached.cursors_count = 0;
	m.welcome.slots = 8;
	ck_assert_int_eq(check(&m, m.header.length, 3), 0);
	m.welcome.slots = 0x38;
	ck_assert_int_eq(check(&m, m.header.length, 3), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "3 slots, but 3"));
}
END_TEST

START_TEST(another_major_is_told_both_versions)
{
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.header.major = 7;
	m.header.minor = 0;
	m.header.type =
		999; /* the meaning of a type is that version's business */
	ck_assert_int_eq(check(&m, m.header.length, 0), -EPROTONOSUPPORT);
	ck_assert_ptr_nonnull(strstr(why, "7.0"));
	ck_assert_ptr_nonnull(strstr(why, "1.7"));
}
END_TEST

START_TEST(wrong_magic_and_type_are_refused)
{
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_DETACH);
	m.header.magic ^= 1;
	ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
	for (unsigned int type = 0; type <= UINT16_MAX; type++) {
		if (type >= TPI_WIRE_HELLO && type < TYPES_END)
			continue;
		tpi_wire_init(&m, TPI_WIRE_DETACH);
		m.header.type = (uint16_t)type;
		ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
	}
}
END_TEST

START_TEST(a_string_without_its_end_is_refused)
{
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_HELLO);
	memset(m.hello.comm, 'x', sizeof(m.hello.comm));
	ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	memset(m.hello.attach.channel, 'x', sizeof(m.hello.attach.channel));
	ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	memset(m.hello.attach.group, 'x', sizeof(m.hello.attach.group));
	ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	memset(m.attach.channel, 'x', sizeof(m.attach.channel));
	ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	memset(m.attach.group, 'x', sizeof(m.attach.group));
	ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
	tpi_wire_init(&m, TPI_WIRE_REFUSED);
	memset(m.refused.text, 'x', sizeof(m.refused.text));
	ck_assert_int_eq(check(&m, m.header.length, 0), -EBADMSG);
}
END_TEST

/*
 * The message ends where an unmapped page begins, so a read past `bytes` is a
 * crash and not a pass. An accepted message MUST satisfy every promise.
 */
START_TEST(no_mutation_reads_past_the_message_or_slips_through)
{
	long page = sysconf(_SC_PAGESIZE);
	unsigned char *two =
		mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int seed = 20240607, accepted = 0;

	ck_assert_ptr_ne(two, MAP_FAILED);
	ck_assert_int_eq(mprotect(two + page, (size_t)page, PROT_NONE), 0);
	for (int round = 0; round < 200000; round++) {
		union tpi_wire_message m;
		unsigned int fds = sample(
			&m, (enum tpi_wire_type)(1 + rand_r(&seed) %
							     TPI_WIRE_SEALED));
		size_t bytes = m.header.length;
		unsigned char *at;

		if (rand_r(&seed) % 4 == 0)
			bytes = (size_t)rand_r(&seed) % (bytes + 1) & ~7u;
		for (int flips = rand_r(&seed) % 4; flips > 0; flips--)
			m.bytes[rand_r(&seed) % 32] ^=
				(unsigned char)(1u << rand_r(&seed) % 8);
		at = two + page - bytes;
		memcpy(at, m.bytes, bytes);
		if (check((const union tpi_wire_message *)at, bytes, fds))
			continue;
		accepted++;
		ck_assert_uint_eq(m.header.magic, TPI_WIRE_MAGIC);
		ck_assert_uint_eq(m.header.major, TPI_WIRE_MAJOR);
		ck_assert_uint_eq(m.header.length, bytes);
		ck_assert_uint_eq(m.header.fd_count, fds);
	}
	ck_assert_uint_gt(accepted, 1000);
	munmap(two, 2 * (size_t)page);
}
END_TEST

START_TEST(names_are_bounded_and_printable)
{
	char field[TAPIO_NAME_BYTES], longest[TAPIO_NAME_BYTES + 1];

	memset(longest, 'n', sizeof(longest));
	longest[TAPIO_NAME_BYTES] = 0;
	ck_assert_int_eq(tpi_wire_name(field, longest), -ENAMETOOLONG);
	longest[TAPIO_NAME_BYTES - 1] = 0;
	ck_assert_int_eq(tpi_wire_name(field, longest), 0);
	ck_assert_str_eq(field, longest);
	ck_assert_int_eq(tpi_wire_name(field, ""), -EINVAL);
	ck_assert_int_eq(tpi_wire_name(field, "a\nb"), -EINVAL);
	ck_assert_int_eq(tpi_wire_name(field, "a b"), -EINVAL);
	ck_assert_int_eq(tpi_wire_name(field, "a\x80"), -EINVAL);
	ck_assert_int_eq(tpi_wire_name(field, "events"), 0);
	ck_assert_str_eq(field, "events");
}
END_TEST

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

START_TEST(descriptors_arrive_closed_on_exec_and_none_leaks)
{
	int sv[2], send[5], got[4], before;
	unsigned int count = 4;
	char text[8];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	for (int i = 0; i < 5; i++)
		send[i] = sv[0];
	before = open_fds();
	ck_assert_int_eq(tpi_send_fds(sv[0], "four", 4, send, 4), 4);
	ck_assert_int_eq(tpi_recv_fds(sv[1], text, 8, got, &count), 4);
	ck_assert_uint_eq(count, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(fcntl(got[i], F_GETFD), FD_CLOEXEC);
		close(got[i]);
	}
	/* One too many, too long, empty: refused or nothing, and closed. */
	for (unsigned int room = 0; room < 5; room++) {
		count = room;
		ck_assert_int_eq(tpi_send_fds(sv[0], "five", 4, send, 5), 4);
		ck_assert_int_eq(tpi_recv_fds(sv[1], text, 8, got, &count),
				 -EMSGSIZE);
		ck_assert_uint_eq(count, 0);
	}
	count = 4;
	ck_assert_int_eq(tpi_send_fds(sv[0], "nine char", 9, send, 4), 9);
	ck_assert_int_eq(tpi_recv_fds(sv[1], text, 8, got, &count), -EMSGSIZE);
	count = 4;
	ck_assert_int_eq(tpi_send_fds(sv[0], "", 0, send, 4), 0);
	ck_assert_int_eq(tpi_recv_fds(sv[1], text, 8, got, &count), 0);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(open_fds(), before);
	close(sv[0]);
	ck_assert_int_eq(tpi_recv_fds(sv[1], text, 8, got, &count), 0);
	close(sv[1]);
}
END_TEST

START_TEST(
	descriptors_that_this_process_may_not_have_are_no_fault_of_the_message)
{
	int sv[2], send[8], got[8], before;
	unsigned int count = 8;
	struct rlimit limit, low;
	char text[8] = "";

	/* Fails on commit fddcec1: it was -EMSGSIZE, "Message too long". */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	for (int i = 0; i < 8; i++)
		send[i] = sv[0];
	before = open_fds();
	ck_assert_int_eq(tpi_send_fds(sv[0], "eight", 6, send, 8), 6);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)sv[1] + 4;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	ck_assert_int_eq(tpi_recv_fds(sv[1], text, 8, got, &count), -EMFILE);
	ck_assert_uint_eq(count, 0);
	/* The message itself came, to say what it takes. */
	ck_assert_str_eq(text, "eight");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(open_fds(), before);
	close(sv[0]);
	close(sv[1]);
}
END_TEST

START_TEST(socket_names_become_addresses)
{
	struct sockaddr_un un;
	char path[sizeof(un.sun_path) + 1];

	ck_assert_int_eq(tpi_socket_address(&un, "/run/x"),
			 (int)offsetof(struct sockaddr_un, sun_path) + 7);
	ck_assert_str_eq(un.sun_path, "/run/x");
	ck_assert_int_eq(tpi_socket_address(&un, "@x"),
			 (int)offsetof(struct sockaddr_un, sun_path) + 2);
	ck_assert_int_eq(memcmp(un.sun_path, "\0x", 2), 0);
	ck_assert_int_eq(tpi_socket_address(&un, ""), -EINVAL);
	ck_assert_int_eq(tpi_socket_address(&un, "@"), -EINVAL);
	memset(path, 'p', sizeof(path));
	path[sizeof(un.sun_path)] = 0;
	ck_assert_int_eq(tpi_socket_address(&un, path), -ENAMETOOLONG);
	path[sizeof(un.sun_path) - 1] = 0;
	ck_assert_int_eq(tpi_socket_address(&un, path), (int)sizeof(un));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("wire");

	tcase_add_loop_test(c, well_formed_messages_pass, 1, TYPES_END);
	tcase_add_loop_test(c, every_shorter_or_longer_message_is_refused, 1,
			    TYPES_END);
	tcase_add_loop_test(c,
			    a_later_minor_version_may_send_more_and_never_less,
			    1, TYPES_END);
	tcase_add_loop_test(c,
			    descriptors_that_a_type_does_not_carry_are_refused,
			    1, TYPES_END);
	tcase_add_test(c, counts_that_wrap_around_are_refused);
	tcase_add_test(c, cursors_of_more_or_fewer_slots_than_came_are_refused);
	tcase_add_test(c,
		       fetching_came_with_minor_version_3_and_reloading_with_4);
	tcase_add_test(c, resuming_came_with_minor_version_4);
	tcase_add_test(c, replacing_came_with_minor_version_5);
	tcase_add_test(c, what_an_earlier_version_sends_less_is_zero);
	tcase_add_test(c, sealing_came_with_minor_version_5);
	tcase_add_test(c, asking_with_hello_came_with_minor_version_6);
	tcase_add_test(c, a_hello_and_a_welcome_of_minor_version_5_pass);
	tcase_add_test(c, a_welcome_has_the_descriptors_that_it_says);
	tcase_add_test(c, another_major_is_told_both_versions);
	tcase_add_test(c, wrong_magic_and_type_are_refused);
	tcase_add_test(c, a_string_without_its_end_is_refused);
	tcase_add_test(c, no_mutation_reads_past_the_message_or_slips_through);
	tcase_add_test(c, names_are_bounded_and_printable);
	tcase_add_test(c, descriptors_arrive_closed_on_exec_and_none_leaks);
	tcase_add_test(
		c,
		descriptors_that_this_process_may_not_have_are_no_fault_of_the_message);
	tcase_add_test(c, socket_names_become_addresses);
	return check_run_case("wire", c);
}
