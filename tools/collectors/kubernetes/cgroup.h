/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroup ids of the containers of a pod on this node, so that its events can be joined
 * with those of other collectors, which know a process's cgroup and no pod.
 *
 * The id of a cgroup is the inode of its directory in the unified hierarchy, as the kernel
 * gives it to eBPF programs (bpf_get_current_cgroup_id) and by name_to_handle_at(). The kubelet
 * names the directory of a pod by its class of service and uid, in one of two ways:
 *
 *	kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/RUNTIME-ID.scope
 *	kubepods/burstable/podUID/ID
 *
 * with _ for each - of the uid in the first. A pod of the class Guaranteed is directly in
 * kubepods. The runtime's directory for a container has the container's id in its name.
 */
#ifndef TPI_KUBE_CGROUP_H
#define TPI_KUBE_CGROUP_H

#include <stdint.h>

#include "tools/collectors/kubernetes/object.h"

struct tpi_kube_cgroups {
	uint64_t pod;                                 /* 0: not found */
	uint64_t containers[TPI_KUBE_CONTAINERS_MAX]; /* 0: not found */
};

/*
 * Opens the directory in which kubepods is: `path`, or without one (NULL) the unified
 * hierarchy, /sys/fs/cgroup or /sys/fs/cgroup/unified. -errno: there is none.
 */
int tpi_kube_cgroup_open(const char *path);

void tpi_kube_cgroup_find(int root, const struct tpi_kube_object *pod,
			  struct tpi_kube_cgroups *out);

#endif
