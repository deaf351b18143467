/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * DNS by UDP, port 53: the queries that processes of this host send, and the answers that
 * they get. Attached to the root of the cgroups, so a packet is seen where its socket is,
 * in each network namespace. Nothing is ever held back: the programs return 1.
 *
 * Here packets that are no DNS are left out, and the question is taken apart, within fixed bounds. The
 * message goes along, as far as there is room for it: the collector reads the answers.
 */
#include "tools/collectors/ebpf/kernel/probe.h"

#include <bpf/bpf_endian.h>

#define AF_INET     2
#define AF_INET6    10
#define IPPROTO_UDP 17
#define DNS_PORT    53
#define DNS_HEADER  12
#define DNS_ANSWER  0x8000
#define PASS        1

char LICENSE[] SEC("license") = "GPL";

struct dns_key {
	uint8_t client[16];
	uint8_t server[16];
	uint16_t client_port;
	uint16_t id;
};

struct dns_query {
	uint64_t boot_ns;
	uint32_t pid;
	uint32_t tid;
	char comm[TPI_EBPF_COMM_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct dns_key);
	__type(value, struct dns_query);
} queries SEC(".maps");

/* The headers of a packet. */
struct packet {
	uint16_t family;
	uint16_t source_port;
	uint16_t target_port;
	uint16_t id;
	uint16_t flags;
	uint16_t questions;
	uint32_t message; /* where it begins */
	uint8_t source[16];
	uint8_t target[16];
};

static __always_inline bool read_ip4(struct __sk_buff *skb, struct packet *p)
{
	uint8_t head[20];

	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)))
		return false;
	/* A fragment but the first one has no ports. */
	if (head[9] != IPPROTO_UDP || (head[6] & 0x1f) || head[7])
		return false;
	p->family = AF_INET;
	p->message = (head[0] & 0x0fU) * 4;
	__builtin_memcpy(p->source, &head[12], 4);
	__builtin_memcpy(p->target, &head[16], 4);
	return true;
}

static __always_inline bool read_ip6(struct __sk_buff *skb, struct packet *p)
{
	uint8_t next;

	if (bpf_skb_load_bytes(skb, 6, &next, 1) || next != IPPROTO_UDP)
		return false;
	p->family = AF_INET6;
	p->message = 40;
	return !bpf_skb_load_bytes(skb, 8, p->source, 16) &&
	       !bpf_skb_load_bytes(skb, 24, p->target, 16);
}

/* True: it is a message by UDP, long enough for a header of DNS. */
static __always_inline bool read_packet(struct __sk_buff *skb, struct packet *p)
{
	uint8_t version;
	uint16_t ports[4];
	uint16_t header[3];

	if (bpf_skb_load_bytes(skb, 0, &version, 1))
		return false;
	if (version >> 4 == 4 ? !read_ip4(skb, p) : !read_ip6(skb, p))
		return false;
	if (bpf_skb_load_bytes(skb, p->message, ports, sizeof(ports)))
		return false;
	p->source_port = bpf_ntohs(ports[0]);
	p->target_port = bpf_ntohs(ports[1]);
	if (p->source_port != DNS_PORT && p->target_port != DNS_PORT)
		return false;
	p->message += sizeof(ports);
	if (bpf_skb_load_bytes(skb, p->message, header, sizeof(header)) ||
	    skb->len < p->message + DNS_HEADER)
		return false;
	p->id = bpf_ntohs(header[0]);
	p->flags = bpf_ntohs(header[1]);
	p->questions = bpf_ntohs(header[2]);
	return true;
}

/*
 * The name in the question, from labels to dots: a byte of the message becomes the byte
 * before it of the name. No compression: a question is the first name of a message.
 *
 * The bytes that are left of a label are counted in the record, of which the verifier knows
 * nothing, so that it looks at each turn once (see struct path_room).
 */
static __always_inline void read_question(struct tpi_ebpf_dns *dns)
{
	dns->question_bytes = 0;
	for (uint32_t i = 0; i < TPI_EBPF_QUESTION_BYTES - 1; i++) {
		uint8_t byte = dns->message[DNS_HEADER + i];
		uint16_t left = dns->question_bytes;

		if (left) {
			dns->question_bytes = left - 1;
		} else if (!byte) {
			const uint8_t *type = &dns->message[DNS_HEADER + i + 1];

			dns->question_bytes = (uint16_t)(i ? i - 1 : 0);
			dns->question_end = (uint16_t)(DNS_HEADER + i + 5);
			dns->question_type = (uint16_t)(type[0] << 8 | type[1]);
			return;
		} else {
			if (byte > 63)
				break;
			dns->question_bytes = byte;
			byte = '.';
		}
		if (i)
			dns->question[i - 1] = (char)byte;
	}
	dns->question_bytes = 0; /* malformed */
}

static __always_inline void read_message(struct __sk_buff *skb,
					 const struct packet *p,
					 struct tpi_ebpf_dns *dns)
{
	uint64_t bytes = (uint64_t)skb->len - p->message;

	dns->whole_bytes = (uint16_t)bytes;
	barrier_var(bytes); /* the checks are on all of its 64 bits */
	__builtin_memset(dns->message, 0, sizeof(dns->message));
	if (bytes > TPI_EBPF_DNS_BYTES)
		bytes = TPI_EBPF_DNS_BYTES;
	if (bytes < DNS_HEADER ||
	    bpf_skb_load_bytes(skb, p->message, dns->message, (uint32_t)bytes))
		bytes = 0;
	dns->message_bytes = (uint16_t)bytes;
	dns->question_bytes = 0;
	dns->question_end = 0;
	dns->question_type = 0;
	if (p->questions)
		read_question(dns);
	if (dns->question_end > bytes)
		dns->question_end = 0;
}

static __always_inline void fill(struct __sk_buff *skb, const struct packet *p,
				 struct tpi_ebpf_dns *dns)
{
	dns->head = (struct tpi_ebpf_head){
		.boot_ns = bpf_ktime_get_boot_ns(),
		.cgroup_id = bpf_skb_cgroup_id(skb),
		.kind = TPI_EBPF_DNS,
		.uid = bpf_get_socket_uid(skb),
		.gid = UINT32_MAX,
	};
	dns->latency_ns = UINT64_MAX;
	dns->family = p->family;
	dns->id = p->id;
	dns->code = p->flags & 0xf;
	read_message(skb, p, dns);
}

/* `named`: this kernel lets a program of this type ask for the process. */
static __always_inline void query(struct __sk_buff *skb, const struct packet *p,
				  struct tpi_ebpf_dns *dns, bool named)
{
	struct dns_key key = {.client_port = p->source_port, .id = p->id};
	struct dns_query query = {.boot_ns = bpf_ktime_get_boot_ns()};

	if (named) {
		uint64_t id = bpf_get_current_pid_tgid();

		query.pid = (uint32_t)(id >> 32);
		query.tid = (uint32_t)id;
		bpf_get_current_comm(query.comm, sizeof(query.comm));
	}
	__builtin_memcpy(key.client, p->source, 16);
	__builtin_memcpy(key.server, p->target, 16);
	bpf_map_update_elem(&queries, &key, &query, BPF_ANY);
	if (!dns)
		return;
	fill(skb, p, dns);
	dns->answer = 0;
	dns->client_port = p->source_port;
	dns->server_port = p->target_port;
	dns->head.pid = query.pid;
	dns->head.tid = query.tid;
	__builtin_memcpy(dns->head.comm, query.comm, sizeof(query.comm));
	__builtin_memcpy(dns->client, p->source, 16);
	__builtin_memcpy(dns->server, p->target, 16);
	bpf_ringbuf_submit(dns, 0);
}

static __always_inline void
answer(struct __sk_buff *skb, const struct packet *p, struct tpi_ebpf_dns *dns)
{
	struct dns_key key = {.client_port = p->target_port, .id = p->id};
	struct dns_query *query;

	fill(skb, p, dns);
	dns->answer = 1;
	dns->client_port = p->target_port;
	dns->server_port = p->source_port;
	__builtin_memcpy(dns->client, p->target, 16);
	__builtin_memcpy(dns->server, p->source, 16);
	__builtin_memcpy(key.client, p->target, 16);
	__builtin_memcpy(key.server, p->source, 16);
	query = bpf_map_lookup_elem(&queries, &key);
	if (query) {
		dns->latency_ns = dns->head.boot_ns - query->boot_ns;
		dns->head.pid = query->pid;
		dns->head.tid = query->tid;
		__builtin_memcpy(dns->head.comm, query->comm,
				 sizeof(query->comm));
		bpf_map_delete_elem(&queries, &key);
	}
	bpf_ringbuf_submit(dns, 0);
}

static __always_inline int egress(struct __sk_buff *skb, bool named)
{
	struct packet p = {0};

	if (read_packet(skb, &p) && p.target_port == DNS_PORT &&
	    !(p.flags & DNS_ANSWER))
		query(skb, &p,
		      record_reserve(TPI_EBPF_DNS, sizeof(struct tpi_ebpf_dns)),
		      named);
	return PASS;
}

SEC("cgroup_skb/egress")
int dns_query(struct __sk_buff *skb)
{
	return egress(skb, true);
}

SEC("cgroup_skb/egress")
int dns_query_old(struct __sk_buff *skb)
{
	return egress(skb, false);
}

SEC("cgroup_skb/ingress")
int dns_answer(struct __sk_buff *skb)
{
	struct packet p = {0};
	struct tpi_ebpf_dns *dns;

	if (!read_packet(skb, &p) || p.source_port != DNS_PORT ||
	    !(p.flags & DNS_ANSWER))
		return PASS;
	dns = record_reserve(TPI_EBPF_DNS, sizeof(*dns));
	if (dns)
		answer(skb, &p, dns);
	return PASS;
}
