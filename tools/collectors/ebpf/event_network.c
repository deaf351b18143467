/* SPDX-License-Identifier: Apache-2.0 */
/* Events about connections and names. */
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "tools/collectors/ebpf/dns.h"
#include "tools/collectors/ebpf/event.h"

/* An address of IPv6 that is one of IPv4 is shown as that. */
static void put_address(struct tapio_event_ip *ip, uint16_t family,
			const uint8_t *bytes)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0,    0,
					   0, 0, 0, 0, 0xff, 0xff};

	if (family == AF_INET)
		tapio_event_ip4(ip, bytes);
	else if (!memcmp(bytes, mapped, sizeof(mapped)))
		tapio_event_ip4(ip, bytes + sizeof(mapped));
	else
		tapio_event_ip6(ip, bytes);
}

static void put_traffic(const struct tpi_ebpf_connection *r,
			struct tapio_event_network_connection *c)
{
	c->sent_bytes = r->sent_bytes;
	c->received_bytes = r->received_bytes;
	c->retransmits = r->retransmits;
	if (r->rtt_us && r->rtt_us != UINT32_MAX)
		c->rtt_ns = (uint64_t)r->rtt_us * 1000;
}

/* A socket that was never connected has no traffic. */
static bool has_traffic(const struct tpi_ebpf_connection *r)
{
	return r->operation != TAPIO_CONNECTION_LISTEN &&
	       r->state_before != TAPIO_TCP_LISTEN;
}

void tpi_ebpf_fill_connection(const struct tpi_ebpf_now *now,
			      const struct tpi_ebpf_connection *r,
			      struct tapio_event_builder *b)
{
	struct tapio_event_network_connection *c = b->fields;

	(void)now;
	c->operation = r->operation;
	c->transport = TAPIO_TRANSPORT_TCP;
	c->state = r->state;
	c->state_before = r->state_before;
	c->cookie = r->cookie;
	c->local_port = r->local_port;
	c->peer_port = r->peer_port;
	put_address(&c->local, r->family, r->local);
	if (r->peer_port)
		put_address(&c->peer, r->family, r->peer);
	if (r->error >= 0)
		c->error = r->error;
	if (r->error > 0)
		b->event->severity = TAPIO_SEVERITY_NOTICE;
	if (r->began_boot_ns && !r->head.existing)
		c->duration_ns = r->head.boot_ns - r->began_boot_ns;
	if (has_traffic(r))
		put_traffic(r, c);
	tpi_ebpf_put(b, &c->comm, r->head.comm, sizeof(r->head.comm));
}

static void put_answers(const struct tpi_ebpf_dns *r, struct tapio_event_dns *d,
			struct tapio_event_builder *b)
{
	struct tpi_dns_answers answers;

	if (!r->question_end)
		return;
	tpi_dns_read(r->message, r->message_bytes, r->question_end, &answers);
	d->ttl_seconds = answers.ttl_seconds;
	tpi_ebpf_put(b, &d->answers, answers.text, answers.text_bytes);
	if (answers.cut)
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
}

void tpi_ebpf_fill_dns(const struct tpi_ebpf_now *now,
		       const struct tpi_ebpf_dns *r,
		       struct tapio_event_builder *b)
{
	struct tapio_event_dns *d = b->fields;

	(void)now;
	d->operation = r->answer ? TAPIO_DNS_ANSWER : TAPIO_DNS_QUERY;
	d->transport = TAPIO_TRANSPORT_UDP;
	d->latency_ns = r->latency_ns;
	d->message_id = r->id;
	d->client_port = r->client_port;
	d->server_port = r->server_port;
	d->question_type = r->question_type;
	put_address(&d->client, r->family, r->client);
	put_address(&d->server, r->family, r->server);
	tpi_ebpf_put(b, &d->comm, r->head.comm, sizeof(r->head.comm));
	tpi_ebpf_put(b, &d->question, r->question, r->question_bytes);
	if (r->answer) {
		d->response_code = r->code;
		put_answers(r, d, b);
	}
	tapio_event_builder_string_max(b, &d->message, (const char *)r->message,
				       r->message_bytes, r->message_bytes);
	if (r->message_bytes < r->whole_bytes)
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
}
