/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stepping past the clocks. The kernel's vDSO reads a clock under a sequence count that
 * changes at each tick. A child that takes longer than a tick for that loop, because each
 * instruction is a trap, never ends it. So it runs freely from there to the caller.
 */
#ifndef TAPIO_TESTS_VDSO_STEP_H
#define TAPIO_TESTS_VDSO_STEP_H

#include <check.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#if defined(__x86_64__)
#define VDSO_PC(regs)         ((regs).rip)
#define VDSO_BREAKPOINT       UINT64_C(0xcc)
#define VDSO_BREAKPOINT_MASK  UINT64_C(0xff)
#define VDSO_BREAKPOINT_BYTES 1
#else
#define VDSO_PC(regs)         ((regs).pc)
#define VDSO_BREAKPOINT       UINT64_C(0xd4200000)
#define VDSO_BREAKPOINT_MASK  UINT64_C(0xffffffff)
#define VDSO_BREAKPOINT_BYTES 0
#endif

/* A forked child has it at the same address. */
static inline bool vdso_has(uint64_t at)
{
	const uint64_t base = getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *elf = (const void *)(uintptr_t)base;
	const Elf64_Phdr *part;
	int i;

	if (!base)
		return false;
	part = (const void *)(uintptr_t)(base + elf->e_phoff);
	for (i = 0; i < elf->e_phnum; i++)
		if (part[i].p_type == PT_LOAD &&
		    at - base - part[i].p_vaddr < part[i].p_memsz)
			return true;
	return false;
}

static inline void vdso_registers(pid_t pid, int request,
				  struct user_regs_struct *regs)
{
	struct iovec iov = {regs, sizeof(*regs)};

	ck_assert_int_eq(ptrace((enum __ptrace_request)request, pid,
				(void *)NT_PRSTATUS, &iov),
			 0);
}

static inline uint64_t vdso_peek(pid_t pid, uint64_t at)
{
	uint64_t word;

	errno = 0;
	word = (uint64_t)ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)at,
				NULL);
	ck_assert_int_eq(errno, 0);
	return word;
}

static inline void vdso_poke(pid_t pid, uint64_t at, uint64_t word)
{
	ck_assert_int_eq(ptrace(PTRACE_POKETEXT, pid, (void *)(uintptr_t)at,
				(void *)(uintptr_t)word),
			 0);
}

/*
 * After a step of a child: if it stands at the first instruction of a function of the
 * vDSO, it runs to the end of it. The child has no other thread and no pending signal.
 */
static inline void vdso_leave(pid_t pid)
{
	struct user_regs_struct regs;
	uint64_t back, code;
	int status;

	vdso_registers(pid, PTRACE_GETREGSET, &regs);
	if (!vdso_has(VDSO_PC(regs)))
		return;
#if defined(__x86_64__)
	back = vdso_peek(pid, regs.rsp);
#else
	back = regs.regs[30];
#endif
	code = vdso_peek(pid, back);
	vdso_poke(pid, back, (code & ~VDSO_BREAKPOINT_MASK) | VDSO_BREAKPOINT);
	ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP,
		      "status 0x%x", status);
	vdso_poke(pid, back, code);
	vdso_registers(pid, PTRACE_GETREGSET, &regs);
	ck_assert_uint_eq(VDSO_PC(regs), back + VDSO_BREAKPOINT_BYTES);
	VDSO_PC(regs) = back;
	vdso_registers(pid, PTRACE_SETREGSET, &regs);
}

#endif
