/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Sockets: their addresses, and the processes that they belong to. */
#ifndef TPI_EBPF_SOCKET_H
#define TPI_EBPF_SOCKET_H

#include "tools/collectors/ebpf/kernel/probe.h"

#include <bpf/bpf_endian.h>

#define IPPROTO_TCP 6
#define AF_INET     2
#define AF_INET6    10

/* As the kernel numbers them, and Tapio after it. */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_CLOSE = 7,
	TCP_LISTEN = 10,
};

/* TAPIO_CONNECTION_*: the public header cannot be included here. */
enum {
	OPERATION_CONNECT = 1,
	OPERATION_ACCEPT,
	OPERATION_LISTEN,
	OPERATION_CLOSE,
	OPERATION_CHANGE,
	OPERATION_RETRANSMIT = 7,
};

struct owner {
	uint64_t began_boot_ns; /* of the connection. 0: not known */
	uint64_t cgroup_id;
	uint64_t start_boot_ns; /* of the process */
	uint32_t pid;
	uint32_t tid;
	uint32_t ppid;
	uint32_t uid;
	uint32_t gid;
	uint32_t told; /* by the iterator */
	char comm[TPI_EBPF_COMM_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps") __weak;

/*
 * OWNERS BY ADDRESS. Some kernels let no program give storage to a socket that was found by
 * way of a file, since they do not trust the pointer. There the owners of sockets that
 * existed are kept in a map, by the socket's address, until a program that is trusted meets
 * the socket. An address is used again, so what the socket is is kept with it. Connections
 * that such a socket accepts get no copy of its storage. Their owner is found by the port.
 */
const volatile bool owners_by_address __weak = false;

struct former {
	struct owner owner;
	uint32_t netns_inode;
	uint16_t family;
	uint16_t local_port;
	uint16_t peer_port;
	uint16_t padding;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, uint64_t);
	__type(value, struct former);
} former_owners SEC(".maps") __weak;

struct listener {
	uint32_t netns_inode;
	uint16_t family;
	uint16_t port;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct listener);
	__type(value, struct owner);
} former_listeners SEC(".maps") __weak;

/* NULL: the socket has none yet (or there is no memory, where one is to be made). */
static __always_inline struct owner *owner_of(struct sock *sk, bool create)
{
	return bpf_sk_storage_get(&owners, sk, NULL,
				  create ? BPF_SK_STORAGE_CREATE : 0);
}

static __always_inline void owner_fill(struct owner *owner,
				       struct task_struct *task)
{
	owner->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	owner->start_boot_ns = task->group_leader->start_boottime;
	owner->pid = (uint32_t)task->tgid;
	owner->tid = (uint32_t)task->pid;
	owner->ppid = (uint32_t)task->real_parent->tgid;
	owner->uid = task->cred->euid.val;
	owner->gid = task->cred->egid.val;
	fill_comm(owner->comm, task);
}

/* A socket that is closed has given its port back, but still knows it. */
static __always_inline uint16_t local_port(struct sock *sk)
{
	uint16_t port = sk->__sk_common.skc_num;

	if (!port)
		port = bpf_ntohs(
			BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	return port;
}

static __always_inline uint32_t netns_of(struct sock *sk)
{
	return sk->__sk_common.skc_net.net->ns.inum;
}

static __always_inline struct listener listener_of(struct sock *sk)
{
	return (struct listener){netns_of(sk), sk->__sk_common.skc_family,
				 local_port(sk)};
}

static __always_inline bool is_former(const struct former *former,
				      struct sock *sk)
{
	return former->netns_inode == netns_of(sk) &&
	       former->family == sk->__sk_common.skc_family &&
	       former->local_port == local_port(sk) &&
	       former->peer_port == sk->__sk_common.skc_dport;
}

/* From the map to storage of its own. NULL: the map knows no such socket. */
static __always_inline struct owner *owner_move(struct sock *sk)
{
	uint64_t key = (uint64_t)sk;
	struct former *former = bpf_map_lookup_elem(&former_owners, &key);
	struct owner *owner;

	if (!former || !is_former(former, sk))
		return NULL;
	owner = owner_of(sk, true);
	if (owner) {
		*owner = former->owner;
		bpf_map_delete_elem(&former_owners, &key);
	}
	return owner;
}

/* NULL: nothing is known of it. */
static __always_inline struct owner *owner_find(struct sock *sk)
{
	struct owner *owner = owner_of(sk, false);

	if (!owner && owners_by_address)
		owner = owner_move(sk);
	return owner;
}

/* The socket belongs to the current process, and to no connection yet. */
static __always_inline struct owner *owner_set(struct sock *sk)
{
	struct owner *owner = owner_of(sk, true);
	uint64_t key = (uint64_t)sk;

	if (owners_by_address) /* of another socket, at that address before */
		bpf_map_delete_elem(&former_owners, &key);
	if (owner) {
		owner->began_boot_ns = 0;
		owner_fill(owner, bpf_get_current_task_btf());
	}
	return owner;
}

/* A socket that was accepted, where its storage is no copy. */
static __always_inline void owner_inherit(struct owner *owner, struct sock *sk)
{
	struct listener key;
	struct owner *former;

	if (!owners_by_address || owner->pid)
		return;
	key = listener_of(sk);
	former = bpf_map_lookup_elem(&former_listeners, &key);
	if (former)
		*owner = *former;
}

/* A socket listens no more. */
static __always_inline void owner_stop(struct sock *sk)
{
	struct listener key;

	if (!owners_by_address)
		return;
	key = listener_of(sk);
	bpf_map_delete_elem(&former_listeners, &key);
}

static __always_inline void fill_addresses(struct tpi_ebpf_connection *c,
					   struct sock *sk)
{
	c->family = sk->__sk_common.skc_family;
	c->local_port = local_port(sk);
	c->peer_port = bpf_ntohs(sk->__sk_common.skc_dport);
	__builtin_memset(c->local, 0, sizeof(c->local));
	__builtin_memset(c->peer, 0, sizeof(c->peer));
	if (c->family == AF_INET) {
		bpf_core_read(c->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(c->peer, 4, &sk->__sk_common.skc_daddr);
	} else {
		bpf_core_read(c->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(c->peer, 16, &sk->__sk_common.skc_v6_daddr);
	}
}

/* But for its cookie, for which the kernel has to trust the pointer. */
static __always_inline void fill_known(struct tpi_ebpf_connection *c,
				       struct sock *sk,
				       const struct owner *owner)
{
	c->head = (struct tpi_ebpf_head){
		.boot_ns = bpf_ktime_get_boot_ns(),
		.kind = TPI_EBPF_CONNECTION,
		.uid = UINT32_MAX,
		.gid = UINT32_MAX,
		.netns_inode = netns_of(sk),
	};
	c->began_boot_ns = 0;
	__builtin_memset(c->reserved, 0, sizeof(c->reserved));
	fill_addresses(c, sk);
	if (!owner)
		return;
	c->began_boot_ns = owner->began_boot_ns;
	c->head.cgroup_id = owner->cgroup_id;
	c->head.start_boot_ns = owner->start_boot_ns;
	c->head.pid = owner->pid;
	c->head.tid = owner->tid;
	c->head.ppid = owner->ppid;
	if (owner->pid) {
		c->head.uid = owner->uid;
		c->head.gid = owner->gid;
	}
	__builtin_memcpy(c->head.comm, owner->comm, sizeof(owner->comm));
}

static __always_inline void fill_socket(struct tpi_ebpf_connection *c,
					struct sock *sk,
					const struct owner *owner)
{
	fill_known(c, sk, owner);
	c->cookie = bpf_get_socket_cookie(sk);
}

#endif
