/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * All that is there when the collector begins: processes, and sockets of TCP with the processes
 * that they belong to. These are iterators: they run when the collector reads, which gets
 * the records as a file, so nothing is lost here however much there is.
 */
#include "tools/collectors/ebpf/kernel/path.h"
#include "tools/collectors/ebpf/kernel/socket.h"

char LICENSE[] SEC("license") = "GPL";

struct existing_room {
	struct path_room path;
	struct former former;
	struct tpi_ebpf_start start;
	char data[TPI_EBPF_PATH_BYTES + TPI_EBPF_ARGS_BYTES]; /* of the start */
};
_Static_assert(__builtin_offsetof(struct existing_room, data) ==
		       __builtin_offsetof(struct existing_room, start) +
			       sizeof(struct tpi_ebpf_start),
	       "the start and its data are written as one record");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); /* one thread reads */
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct existing_room);
} existing_rooms SEC(".maps");

static __always_inline uint64_t put_path(struct existing_room *room,
					 struct mm_struct *mm)
{
	struct file *file = BPF_CORE_READ(mm, exe_file);
	uint64_t bytes;

	if (!file)
		return 0;
	bytes = path_make(&room->path, BPF_CORE_READ(file, f_path.mnt),
			  BPF_CORE_READ(file, f_path.dentry));
	if (bytes > TPI_EBPF_PATH_BYTES)
		return 0;
	bpf_probe_read_kernel(room->data, bytes, room->path.path);
	room->start.path_bytes = (uint32_t)bytes;
	if (room->path.cut)
		room->start.flags |= TPI_EBPF_PATH_CUT;
	return bytes;
}

static __always_inline void put_args(struct existing_room *room, uint64_t at,
				     struct task_struct *task,
				     struct mm_struct *mm)
{
	unsigned long begin = BPF_CORE_READ(mm, arg_start);
	unsigned long bytes = BPF_CORE_READ(mm, arg_end) - begin;

	if (bytes > TPI_EBPF_ARGS_BYTES) {
		bytes = TPI_EBPF_ARGS_BYTES;
		room->start.flags |= TPI_EBPF_ARGS_CUT;
	}
	if (at > TPI_EBPF_PATH_BYTES || !bytes)
		return;
	if (!bpf_copy_from_user_task(&room->data[at], (uint32_t)bytes,
				     (void *)begin, task, 0))
		room->start.args_bytes = (uint32_t)bytes;
}

static __always_inline void fill(struct existing_room *room,
				 struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct mm_struct *mm = task->mm;

	fill_head(&room->start.head, TPI_EBPF_EXEC, task);
	room->start.head.existing = 1;
	room->start.session_id =
		BPF_CORE_READ(signal, pids[PIDTYPE_SID], numbers[0].nr);
	room->start.group_id =
		BPF_CORE_READ(signal, pids[PIDTYPE_PGID], numbers[0].nr);
	room->start.args = UINT32_MAX;
	room->start.path_bytes = 0;
	room->start.args_bytes = 0;
	room->start.flags = 0;
	if (mm) /* else it is the kernel's */
		put_args(room, put_path(room, mm), task, mm);
}

SEC("iter.s/task")
int existing_processes(struct bpf_iter__task *ctx)
{
	const uint32_t zero = 0;
	struct existing_room *room =
		bpf_map_lookup_elem(&existing_rooms, &zero);
	struct task_struct *task = ctx->task;
	uint64_t bytes;

	if (!task || !room || task->pid != task->tgid)
		return 0;
	fill(room, task);
	bytes = (uint64_t)room->start.path_bytes + room->start.args_bytes;
	if (bytes <= sizeof(room->data))
		bpf_seq_write(ctx->meta->seq, &room->start,
			      sizeof(room->start) + (uint32_t)bytes);
	return 0;
}

static __always_inline bool is_told(struct sock *sk)
{
	uint8_t state = sk->__sk_common.skc_state;

	return sk->sk_protocol == IPPROTO_TCP &&
	       (sk->__sk_common.skc_family == AF_INET ||
		sk->__sk_common.skc_family == AF_INET6) &&
	       (state == TCP_ESTABLISHED || state == TCP_LISTEN);
}

static __always_inline void fill_connection(struct tpi_ebpf_connection *c,
					    struct sock *sk,
					    const struct owner *owner)
{
	__builtin_memset(c, 0, sizeof(*c));
	fill_known(c, sk, owner);
	c->head.existing = 1;
	c->state = sk->__sk_common.skc_state;
	c->operation = c->state == TCP_LISTEN ? OPERATION_LISTEN : 0;
	c->error = -1;
	c->sent_bytes = UINT64_MAX;
	c->received_bytes = UINT64_MAX;
	c->rtt_us = UINT32_MAX;
	c->retransmits = UINT32_MAX;
}

/* Of a file. NULL: it is none that is told of. */
static __always_inline struct sock *socket_of(struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk;

	if (!socket)
		return NULL;
	sk = socket->sk;
	return sk && is_told(sk) ? sk : NULL;
}

/* A socket that several processes have is told of once, as the first one's. */
SEC("iter/task_file")
int existing_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tpi_ebpf_connection c;
	struct owner *owner;
	struct sock *sk;

	if (!task || !file)
		return 0;
	sk = socket_of(file);
	if (!sk)
		return 0;
	owner = owner_of(sk, true);
	if (!owner || owner->told)
		return 0;
	if (!owner->pid)
		owner_fill(owner, task);
	fill_connection(&c, sk, owner);
	c.cookie = bpf_get_socket_cookie(sk);
	if (!bpf_seq_write(ctx->meta->seq, &c, sizeof(c)))
		owner->told = 1;
	return 0;
}

/* ---- where the kernel does not trust a socket of a file (socket.h) ---------------------- */

static __always_inline void fill_former(struct former *former, struct sock *sk,
					struct task_struct *task)
{
	__builtin_memset(former, 0, sizeof(*former));
	owner_fill(&former->owner, task);
	former->owner.told = 1;
	former->netns_inode = netns_of(sk);
	former->family = sk->__sk_common.skc_family;
	former->local_port = local_port(sk);
	former->peer_port = sk->__sk_common.skc_dport;
}

static __always_inline void keep(const struct former *former, struct sock *sk)
{
	struct listener listener = listener_of(sk);
	uint64_t key = (uint64_t)sk;

	bpf_map_update_elem(&former_owners, &key, former, BPF_ANY);
	if (sk->__sk_common.skc_state == TCP_LISTEN)
		bpf_map_update_elem(&former_listeners, &listener,
				    &former->owner, BPF_NOEXIST);
}

/*
 * The same. The cookie is there if the socket was given one, and those of our own network
 * namespace were (existing_sockets_own).
 */
SEC("iter/task_file")
int existing_sockets_read(struct bpf_iter__task_file *ctx)
{
	const uint32_t zero = 0;
	struct existing_room *room =
		bpf_map_lookup_elem(&existing_rooms, &zero);
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tpi_ebpf_connection c;
	struct former *former;
	struct sock *sk;
	uint64_t key;

	if (!task || !file || !room)
		return 0;
	sk = socket_of(file);
	if (!sk)
		return 0;
	key = (uint64_t)sk;
	former = bpf_map_lookup_elem(&former_owners, &key);
	if (former && is_former(former, sk))
		return 0;
	fill_former(&room->former, sk, task);
	fill_connection(&c, sk, &room->former.owner);
	c.cookie = (uint64_t)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (!bpf_seq_write(ctx->meta->seq, &c, sizeof(c)))
		keep(&room->former, sk);
	return 0;
}

/* Before it: gives each socket a cookie. After it: its owner, as storage of its own. */
SEC("iter/tcp")
int existing_sockets_own(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_sock *tcp;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	bpf_get_socket_cookie(tcp);
	owner_move((struct sock *)tcp);
	return 0;
}
