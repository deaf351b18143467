/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of events about connections and names. See event_table_process.c. */
#include "lib/event/event_table.h"

/* clang-format off */
static const struct tapio_event_name connection_operations[] = {
	{ TAPIO_CONNECTION_CONNECT, "connect" },
	{ TAPIO_CONNECTION_ACCEPT, "accept" },
	{ TAPIO_CONNECTION_LISTEN, "listen" },
	{ TAPIO_CONNECTION_CLOSE, "close" },
	{ TAPIO_CONNECTION_CHANGE, "change" },
	{ TAPIO_CONNECTION_RESET, "reset" },
	{ TAPIO_CONNECTION_RETRANSMIT, "retransmit" },
};

static const struct tapio_event_name transports[] = {
	{ TAPIO_TRANSPORT_TCP, "tcp" },
	{ TAPIO_TRANSPORT_UDP, "udp" },
	{ TAPIO_TRANSPORT_UNIX, "unix" },
	{ TAPIO_TRANSPORT_PIPE, "pipe" },
	{ TAPIO_TRANSPORT_QUIC, "quic" },
	{ TAPIO_TRANSPORT_SCTP, "sctp" },
};

static const struct tapio_event_name tcp_states[] = {
	{ TAPIO_TCP_ESTABLISHED, "established" },
	{ TAPIO_TCP_SYN_SENT, "syn_sent" },
	{ TAPIO_TCP_SYN_RECEIVED, "syn_received" },
	{ TAPIO_TCP_FIN_WAIT_1, "fin_wait_1" },
	{ TAPIO_TCP_FIN_WAIT_2, "fin_wait_2" },
	{ TAPIO_TCP_TIME_WAIT, "time_wait" },
	{ TAPIO_TCP_CLOSED, "closed" },
	{ TAPIO_TCP_CLOSE_WAIT, "close_wait" },
	{ TAPIO_TCP_LAST_ACK, "last_ack" },
	{ TAPIO_TCP_LISTEN, "listen" },
	{ TAPIO_TCP_CLOSING, "closing" },
};

#define S tapio_event_network_connection
static const struct tapio_event_field connection[] = {
	TPI_NAMED(operation, ENUM8, ZERO, connection_operations,
		  "tapio.network.connection.operation", "kind of event"),
	TPI_NAMED(transport, ENUM8, ZERO, transports,
		  "network.transport", "protocol"),
	TPI_FIELD(local, IP, ZERO, "",
		  "network.local.address", NULL, "address on this host"),
	TPI_FIELD(local_port, U16, ZERO, "",
		  "network.local.port", NULL, "port on this host"),
	TPI_FIELD(peer, IP, ZERO, "",
		  "network.peer.address", NULL, "address of the other end"),
	TPI_FIELD(peer_port, U16, ZERO, "",
		  "network.peer.port", NULL, "port of the other end"),
	TPI_NAMED(state, ENUM8, ZERO, tcp_states,
		  "network.connection.state", "state of TCP after it"),
	TPI_NAMED(state_before, ENUM8, ZERO, tcp_states,
		  "tapio.network.connection.state_before",
		  "state of TCP before it"),
	TPI_FIELD(comm, STRING, ZERO, "",
		  "process.title", NULL, "name of the process"),
	TPI_FIELD(path, STRING, ZERO, "",
		  "tapio.network.connection.path", NULL,
		  "path of a Unix socket"),
	TPI_FIELD(cookie, U64, ZERO, "",
		  "tapio.network.connection.cookie", NULL,
		  "the kernel's name of the socket"),
	TPI_FIELD(duration_ns, U64, ONES, "ns",
		  "tapio.network.connection.duration", NULL,
		  "time since it was opened"),
	TPI_FIELD(sent_bytes, U64, ONES, "By",
		  "tapio.network.connection.sent", NULL, "sent"),
	TPI_FIELD(received_bytes, U64, ONES, "By",
		  "tapio.network.connection.received", NULL, "received"),
	TPI_FIELD(rtt_ns, U64, ONES, "ns",
		  "tapio.network.connection.rtt", NULL,
		  "smoothed round-trip time"),
	TPI_FIELD(retransmits, U32, ONES, "",
		  "tapio.network.connection.retransmits", NULL,
		  "segments sent again"),
	TPI_FIELD(error, I32, ONES, "",
		  "tapio.network.connection.error", NULL,
		  "errno of the operation; 0: none"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container of the process"),
};
#undef S

static const struct tapio_event_name dns_operations[] = {
	{ TAPIO_DNS_QUERY, "query" },
	{ TAPIO_DNS_ANSWER, "answer" },
};

static const struct tapio_event_name dns_types[] = {
	{ 1, "A" },       { 2, "NS" },     { 5, "CNAME" },  { 6, "SOA" },
	{ 12, "PTR" },    { 15, "MX" },    { 16, "TXT" },   { 28, "AAAA" },
	{ 33, "SRV" },    { 35, "NAPTR" }, { 43, "DS" },    { 46, "RRSIG" },
	{ 47, "NSEC" },   { 48, "DNSKEY" },{ 52, "TLSA" },  { 64, "SVCB" },
	{ 65, "HTTPS" },  { 255, "ANY" },  { 257, "CAA" },
};

static const struct tapio_event_name dns_codes[] = {
	{ 0, "NOERROR" },  { 1, "FORMERR" },  { 2, "SERVFAIL" },
	{ 3, "NXDOMAIN" }, { 4, "NOTIMP" },   { 5, "REFUSED" },
	{ 6, "YXDOMAIN" }, { 7, "YXRRSET" },  { 8, "NXRRSET" },
	{ 9, "NOTAUTH" },  { 10, "NOTZONE" },
};

#define S tapio_event_dns
static const struct tapio_event_field dns[] = {
	TPI_NAMED(operation, ENUM8, ZERO, dns_operations,
		  "tapio.dns.operation", "query or answer"),
	TPI_NAMED(transport, ENUM8, ZERO, transports,
		  "network.transport", "protocol"),
	TPI_FIELD(question, STRING, ZERO, "",
		  "dns.question.name", NULL, "name asked for"),
	TPI_NAMED(question_type, ENUM16, ZERO, dns_types,
		  "tapio.dns.question.type", "type of record asked for"),
	TPI_NAMED(response_code, ENUM16, ONES, dns_codes,
		  "tapio.dns.response_code", "outcome"),
	TPI_FIELD(answers, STRING, ZERO, "",
		  "dns.answers", NULL, "separated by one space"),
	TPI_FIELD(client, IP, ZERO, "",
		  "client.address", NULL, "address of the client"),
	TPI_FIELD(client_port, U16, ZERO, "",
		  "client.port", NULL, "port of the client"),
	TPI_FIELD(server, IP, ZERO, "",
		  "server.address", NULL, "address of the server"),
	TPI_FIELD(server_port, U16, ZERO, "",
		  "server.port", NULL, "port of the server"),
	TPI_FIELD(latency_ns, U64, ONES, "ns",
		  "tapio.dns.latency", "dns.lookup.duration",
		  "time from the query to this answer"),
	TPI_FIELD(comm, STRING, ZERO, "",
		  "process.title", NULL, "name of the process"),
	TPI_FIELD(message_id, U16, NEVER, "",
		  "tapio.dns.id", NULL, "identifier, the same in query and answer"),
	TPI_FIELD(ttl_seconds, U32, ONES, "s",
		  "tapio.dns.ttl", NULL, "least of the answers"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container of the process"),
	TPI_FIELD(message, BYTES, ZERO, "",
		  "tapio.dns.message", NULL, "as on the wire, or its begin"),
};
#undef S

static const struct tapio_event_type types[] = {
	TPI_TYPE(TAPIO_EVENT_NETWORK_CONNECTION, "network.connection",
		 tapio_event_network_connection, connection,
		 "a connection was opened, changed or closed"),
	TPI_TYPE(TAPIO_EVENT_DNS, "dns",
		 tapio_event_dns, dns,
		 "a DNS query or answer"),
};
/* clang-format on */

const struct tpi_event_family tpi_event_network = {types, TPI_COUNT(types)};
