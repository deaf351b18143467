/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * TCP connections, from the changes of their states.
 *
 *	close -> syn_sent          by the process that connects: remember it
 *	syn_sent -> established    tell: connect
 *	syn_sent -> close          tell: connect, with its error
 *	close -> listen            by the process that listens: remember it, and tell
 *	syn_received -> established  tell: accept, with the process that listens
 *	... -> close               tell: close, with bytes and duration
 *
 * All but the first and the fourth happen in the context of any process. So the owner is
 * kept in the storage of the socket, which goes with the socket, and which the kernel
 * copies from a listening socket to those that it makes of it.
 */
#include "tools/collectors/ebpf/kernel/socket.h"

char LICENSE[] SEC("license") = "GPL";

/* Data alone: the kernel counts a FIN that was received as one byte. */
static __always_inline uint64_t received_bytes(const struct sock *sk,
					       const struct tcp_sock *tcp)
{
	uint64_t bytes = BPF_CORE_READ(tcp, bytes_received);
	uint64_t fin = 1ULL << bpf_core_enum_value(enum sock_flags, SOCK_DONE);

	return sk->__sk_common.skc_flags & fin && bytes ? bytes - 1 : bytes;
}

static __always_inline void fill_traffic(struct tpi_ebpf_connection *c,
					 const struct sock *sk)
{
	const struct tcp_sock *tcp = (const void *)sk;

	c->sent_bytes = BPF_CORE_READ(tcp, bytes_sent) -
			BPF_CORE_READ(tcp, bytes_retrans);
	c->received_bytes = received_bytes(sk, tcp);
	c->rtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
	c->retransmits = BPF_CORE_READ(tcp, total_retrans);
}

/* The error that ended it. Where the kernel has none, a connect was given up by its process. */
static __always_inline int32_t error_of(struct sock *sk, uint8_t operation)
{
	int32_t error = sk->sk_err;

	return operation == OPERATION_CONNECT && !error ? -1 : error;
}

static __always_inline void tell(struct sock *sk, const struct owner *owner,
				 uint8_t operation, int before, int after)
{
	struct tpi_ebpf_connection *c =
		record_reserve(TPI_EBPF_CONNECTION, sizeof(*c));

	if (!c)
		return;
	fill_socket(c, sk, owner);
	fill_traffic(c, sk);
	c->operation = operation;
	c->state = (uint8_t)after;
	c->state_before = (uint8_t)before;
	c->error = after == TCP_CLOSE ? error_of(sk, operation) : 0;
	bpf_ringbuf_submit(c, 0);
}

static __always_inline void connecting(struct sock *sk)
{
	struct owner *owner = owner_set(sk);

	if (owner)
		owner->began_boot_ns = bpf_ktime_get_boot_ns();
}

/* Its owner is that of the socket that listens, which the kernel has copied. */
static __always_inline void accepted(struct sock *sk)
{
	struct owner *owner = owner_of(sk, true);

	if (owner)
		owner_inherit(owner, sk);
	tell(sk, owner, OPERATION_ACCEPT, TCP_SYN_RECV, TCP_ESTABLISHED);
	if (owner)
		owner->began_boot_ns = bpf_ktime_get_boot_ns();
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int before, int after)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	switch (after) {
	case TCP_SYN_SENT:
		connecting(sk);
		break;
	case TCP_LISTEN:
		tell(sk, owner_set(sk), OPERATION_LISTEN, before, after);
		break;
	case TCP_ESTABLISHED:
		if (before == TCP_SYN_SENT)
			tell(sk, owner_find(sk), OPERATION_CONNECT, before,
			     after);
		else if (before == TCP_SYN_RECV)
			accepted(sk);
		break;
	case TCP_CLOSE:
		tell(sk, owner_find(sk),
		     before == TCP_SYN_SENT ? OPERATION_CONNECT
					    : OPERATION_CLOSE,
		     before, after);
		if (before == TCP_LISTEN)
			owner_stop(sk);
		break;
	}
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit, struct sock *sk)
{
	tell(sk, owner_find(sk), OPERATION_RETRANSMIT, 0,
	     sk->__sk_common.skc_state);
	return 0;
}
