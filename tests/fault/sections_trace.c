/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of this program, and a child that is stopped at an instruction of one.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/rseq.h"
#include "tests/check_main.h"
#include "tests/fault/sections.h"
#include "tests/fault/vdso_step.h"

#define STEPS_MAX 100000

/* ---- the table ------------------------------------------------------------------- */

struct section sections[SECTIONS_MAX];
int section_count;

/* The linker's, around the descriptors of all object files. */
extern const struct section_descriptor __start___rseq_cs[];
extern const struct section_descriptor __stop___rseq_cs[];

static const unsigned char *map_program(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *image;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	ck_assert_ptr_ne(image, MAP_FAILED);
	close(fd);
	return image;
}

static const Elf64_Shdr *symbol_table(const unsigned char *image)
{
	const Elf64_Ehdr *elf = (const void *)image;
	const Elf64_Shdr *header = (const void *)(image + elf->e_shoff);
	int i;

	for (i = 0; i < elf->e_shnum; i++)
		if (header[i].sh_type == SHT_SYMTAB)
			return &header[i];
	ck_abort_msg("this program has no symbols to name its sections by");
	return NULL;
}

/* The function that has an address of the file in it. */
static const char *function_at(const unsigned char *image, uint64_t at)
{
	const Elf64_Ehdr *elf = (const void *)image;
	const Elf64_Shdr *header = (const void *)(image + elf->e_shoff);
	const Elf64_Shdr *table = symbol_table(image);
	const Elf64_Sym *symbol = (const void *)(image + table->sh_offset);
	const Elf64_Sym *end = symbol + table->sh_size / sizeof(*symbol);

	for (; symbol < end; symbol++)
		if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
		    at - symbol->st_value < symbol->st_size)
			return (const char *)image +
			       header[table->sh_link].sh_offset +
			       symbol->st_name;
	ck_abort_msg("a section at 0x%lx is in no function", at);
	return NULL;
}

/* How many sections of that function lie before it. */
static int count_before(const unsigned char *image, uint64_t bias,
			const char *function, uint64_t start)
{
	const struct section_descriptor *d;
	int n = 0;

	for (d = __start___rseq_cs; d < __stop___rseq_cs; d++)
		n += d->start < start &&
		     function_at(image, d->start - bias) == function;
	return n;
}

void sections_find(void)
{
	const unsigned char *image = map_program();
	const Elf64_Ehdr *elf = (const void *)image;
	const uint64_t bias = getauxval(AT_ENTRY) - elf->e_entry;
	const struct section_descriptor *d;
	const char *function;

	section_count = 0;
	for (d = __start___rseq_cs; d < __stop___rseq_cs; d++) {
		struct section *s = &sections[section_count++];

		ck_assert_int_lt(section_count, SECTIONS_MAX);
		function = function_at(image, d->start - bias);
		s->descriptor = d;
		snprintf(s->name, sizeof(s->name), "%s.%d", function,
			 count_before(image, bias, function, d->start));
	}
	ck_assert_int_gt(section_count, 0);
}

bool stand_is_behind(const struct stand *stand)
{
	const struct section_descriptor *d =
		sections[stand->section].descriptor;

	return stand->at == d->start + d->length;
}

/* Of the section that has this instruction, or ends before it. -1: none. */
static int section_at(uint64_t at)
{
	const struct section_descriptor *d;
	int i;

	for (i = 0; i < section_count; i++) {
		d = sections[i].descriptor;
		if (at - d->start <= d->length)
			return i;
	}
	return -1;
}

/* ---- the child ------------------------------------------------------------------- */

static _Thread_local struct tpi_rseq fake_area __attribute__((aligned(32)));

static void use_fake_area(void)
{
	fake_area.cpu_id_start = fake_area.cpu_id = (uint32_t)sched_getcpu();
	tpi_rseq_offset =
		(char *)&fake_area - (char *)__builtin_thread_pointer();
}

__attribute__((noreturn)) static void
be_traced(const struct operation *operation, bool fake)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || operation->prepare(operation) ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	if (fake)
		use_fake_area();
	raise(SIGSTOP);
	if (operation->call(operation))
		_exit(2);
	raise(SIGSTOP);
	_exit(3); /* it is always killed before */
}

static int wait_stop(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSTOPPED(status), "the child's status is 0x%x", status);
	return WSTOPSIG(status);
}

pid_t trace_start(const struct operation *operation, bool fake)
{
	pid_t pid = fork();

	if (!pid)
		be_traced(operation, fake);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(wait_stop(pid), SIGSTOP);
	return pid;
}

void trace_kill(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

bool trace_is_allowed(void)
{
	int status = 1;
	pid_t pid = fork();

	if (!pid)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
	return waitpid(pid, &status, 0) == pid && !status;
}

/* ---- where it stands ------------------------------------------------------------- */

static uint64_t peek(pid_t pid, const void *at)
{
	uint64_t value;

	errno = 0;
	value = (uint64_t)ptrace(PTRACE_PEEKDATA, pid, at, NULL);
	ck_assert_int_eq(errno, 0);
	return value;
}

static void get_registers(pid_t pid, struct user_regs_struct *regs)
{
	struct iovec iov = {regs, sizeof(*regs)};

	ck_assert_int_eq(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov), 0);
}

#if defined(__x86_64__)
#define PC(regs) ((regs).rip)
#else
#define PC(regs) ((regs).pc)
#endif

static uint64_t program_counter(pid_t pid)
{
	struct user_regs_struct regs;

	get_registers(pid, &regs);
	return PC(regs);
}

static void set_program_counter(pid_t pid, uint64_t at)
{
	struct user_regs_struct regs;
	struct iovec iov = {&regs, sizeof(regs)};

	get_registers(pid, &regs);
	PC(regs) = at;
	ck_assert_int_eq(ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov), 0);
}

/* One instruction, or a clock. False: the call has ended. */
static bool step(pid_t pid)
{
	ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	if (wait_stop(pid) != SIGTRAP)
		return false;
	vdso_leave(pid);
	return true;
}

uint32_t trace_path(pid_t pid, struct stand *stands, uint32_t max)
{
	uint32_t steps, i, n = 0;
	struct stand now;

	for (steps = 0; step(pid); steps++) {
		ck_assert_uint_lt(steps, STEPS_MAX);
		now.at = program_counter(pid);
		now.section = section_at(now.at);
		now.visit = 0;
		if (now.section < 0)
			continue;
		for (i = 0; i < n; i++)
			now.visit += stands[i].at == now.at;
		ck_assert_uint_lt(n, max);
		stands[n++] = now;
	}
	return n;
}

#define BREAKPOINT       UINT64_C(0xcc)
#define BREAKPOINT_MASK  UINT64_C(0xff)
#define BREAKPOINT_BYTES 1

/*
 * The child's area of rseq names the section: of a real one, the kernel has it as
 * running. It is at the same address as ours.
 */
static void check_is_inside(pid_t pid, const struct stand *stand, bool fake)
{
	const struct tpi_rseq *area = fake ? &fake_area : tpi_rseq_area();

	ck_assert_uint_eq(peek(pid, &area->rseq_cs),
			  (uintptr_t)sections[stand->section].descriptor);
}

static void poke(pid_t pid, const struct stand *stand, uint64_t code)
{
	void *at = (void *)(uintptr_t)stand->at;

	ck_assert_int_eq(ptrace(PTRACE_POKETEXT, pid, at, (void *)code), 0);
}

/* Past the breakpoint, by the instruction that it replaces. Aborts a real section. */
static void step_over(pid_t pid, const struct stand *stand, uint64_t code)
{
	poke(pid, stand, code);
	set_program_counter(pid, stand->at);
	ck_assert(step(pid));
}

bool trace_run_to(pid_t pid, const struct stand *stand, bool fake)
{
	const uint64_t code = peek(pid, (void *)(uintptr_t)stand->at);
	uint32_t visit;

	for (visit = 0;; visit++) {
		poke(pid, stand, (code & ~BREAKPOINT_MASK) | BREAKPOINT);
		ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
		if (wait_stop(pid) == SIGSTOP)
			return false;
		ck_assert_uint_eq(program_counter(pid),
				  stand->at + BREAKPOINT_BYTES);
		check_is_inside(pid, stand, fake);
		if (visit == stand->visit)
			return true;
		ck_assert(fake);
		step_over(pid, stand, code);
	}
}
