/* Reads core files: their notes, and the memory in them. */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include "check.h"

#include <elf.h>
#include <sys/procfs.h>
#include <sys/user.h>

#define THREADS_MAXIMUM 8

struct core {
	char *bytes;
	size_t size;
	const Elf64_Ehdr *header;
	const Elf64_Phdr *segments;
	size_t segment_count;
	/* In the order of the file. */
	const struct elf_prstatus *threads[THREADS_MAXIMUM];
	const struct user_fpregs_struct *floats[THREADS_MAXIMUM];
	size_t thread_count;
	size_t float_count;
	const struct elf_prpsinfo *process;
	const siginfo_t *signal;
	const Elf64_auxv_t *vector;
	const long *files;
	size_t files_size;
	/* The types of the notes. */
	unsigned notes[64];
	size_t note_count;
};

CHECK_API void note_in_core(struct core *core, unsigned type, const char *content, size_t size)
{
	if (core->note_count < LENGTH(core->notes))
		core->notes[core->note_count++] = type;
	if (type == NT_PRSTATUS && core->thread_count < THREADS_MAXIMUM)
		core->threads[core->thread_count++] = (const void *)content;
	else if (type == NT_FPREGSET && core->float_count < THREADS_MAXIMUM)
		core->floats[core->float_count++] = (const void *)content;
	else if (type == NT_PRPSINFO)
		core->process = (const void *)content;
	else if (type == NT_SIGINFO)
		core->signal = (const void *)content;
	else if (type == NT_AUXV)
		core->vector = (const void *)content;
	else if (type == NT_FILE) {
		core->files = (const void *)content;
		core->files_size = size;
	}
}

/* Reads the core at `path`; 0 when there is none. What a truncated one lacks stays NULL. */
CHECK_API int read_core(const char *path, struct core *core)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	memset(core, 0, sizeof(*core));
	if (fd == -1)
		return 0;
	MUST(fstat(fd, &status));
	core->size = (size_t)status.st_size;
	core->bytes = mmap(NULL, core->size, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST(core->bytes == MAP_FAILED ? -1 : 0);
	MUST(close(fd));
	core->header = (const void *)core->bytes;
	if (core->size < sizeof(*core->header) || core->size < core->header->e_phoff + sizeof(Elf64_Phdr) * core->header->e_phnum)
		return 1;
	core->segments = (const void *)(core->bytes + core->header->e_phoff);
	core->segment_count = core->header->e_phnum;
	if (core->size < core->segments[0].p_offset + core->segments[0].p_filesz)
		return 1;
	for (size_t at = 0; at < core->segments[0].p_filesz;) {
		const Elf64_Nhdr *note = (const void *)(core->bytes + core->segments[0].p_offset + at);
		size_t name_size = (note->n_namesz + 3) & ~3U, size = (note->n_descsz + 3) & ~3U;
		const char *content = (const char *)(note + 1) + name_size;

		note_in_core(core, note->n_type, content, note->n_descsz);
		at += sizeof(*note) + name_size + size;
	}
	return 1;
}

/* The segment that holds `address`, or NULL. */
CHECK_API const Elf64_Phdr *segment_of(const struct core *core, const void *address)
{
	for (size_t at = 1; at < core->segment_count; at++) {
		const Elf64_Phdr *segment = &core->segments[at];

		if (segment->p_vaddr <= (uintptr_t)address && (uintptr_t)address < segment->p_vaddr + segment->p_memsz)
			return segment;
	}
	return NULL;
}

/* How many bytes of the area that holds `address` are in the core; -1 when the area isn't known. */
CHECK_API long dumped_bytes(const struct core *core, const void *address)
{
	const Elf64_Phdr *segment = segment_of(core, address);

	return segment != NULL ? (long)segment->p_filesz : -1;
}

/* What was at `address`, or NULL when that isn't in the core. */
CHECK_API const void *memory_in(const struct core *core, const void *address)
{
	const Elf64_Phdr *segment = segment_of(core, address);
	size_t offset;

	if (segment == NULL)
		return NULL;
	offset = (uintptr_t)address - segment->p_vaddr;
	if (offset >= segment->p_filesz || segment->p_offset + offset >= core->size)
		return NULL;
	return core->bytes + segment->p_offset + offset;
}

/* The value of an entry of the auxiliary vector, or -1. */
CHECK_API long vector_entry(const struct core *core, unsigned long type)
{
	for (const Elf64_auxv_t *entry = core->vector; entry != NULL && entry->a_type != AT_NULL; entry++) {
		if (entry->a_type == type)
			return (long)entry->a_un.a_val;
	}
	return -1;
}

/* The name of the file that NT_FILE says is mapped at `address`, or NULL. */
CHECK_API const char *file_at(const struct core *core, const void *address)
{
	const char *name;

	if (core->files == NULL)
		return NULL;
	name = (const char *)(core->files + 2 + 3 * core->files[0]);
	for (long at = 0; at < core->files[0]; at++, name += strlen(name) + 1) {
		const long *range = core->files + 2 + 3 * at;

		if (range[0] <= (long)address && (long)address < range[1])
			return name;
	}
	return NULL;
}

CHECK_API const struct elf_prstatus *thread_in(const struct core *core, pid_t tid)
{
	for (size_t at = 0; at < core->thread_count; at++) {
		if (core->threads[at]->pr_pid == tid)
			return core->threads[at];
	}
	return NULL;
}

CHECK_API const struct user_regs_struct *registers_of(const struct elf_prstatus *thread)
{
	return (const void *)thread->pr_reg;
}

#endif
