/* Loops of system calls on much memory, each run for a time of the clock. */
#define BODIES_AT_ONCE 1
#include "loops.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define PAGES 4096L
#define SIZE (PAGES * 4096)
#define AREAS 2000
#define MOST_AREAS 60000
#define READ_WRITE (PROT_READ | PROT_WRITE)

static char *memory, *target;
static char buffer[1 << 20] __attribute__((aligned(4096)));
static int fd;

static char *map(long size, int protection, int flags)
{
	char *made = mmap(NULL, (size_t)size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	must(made == MAP_FAILED ? -1 : 0);
	return made;
}

static void make_memory(void)
{
	memory = map(SIZE, READ_WRITE, MAP_POPULATE);
}

static void make_two(void)
{
	make_memory();
	target = map(SIZE, READ_WRITE, MAP_POPULATE);
}

/* Areas of two pages, whose rights differ from the next ones'. */
static void make_areas(void)
{
	memory = map(AREAS * 8192L, READ_WRITE, MAP_POPULATE);
	for (long at = 0; at < AREAS; at += 2)
		must(mprotect(memory + at * 8192, 8192, PROT_READ));
}

static void make_shared(void)
{
	fd = (int)must(syscall(SYS_memfd_create, "large", 0));
	must(ftruncate(fd, SIZE));
	memory = mmap(NULL, SIZE, READ_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	must(memory == MAP_FAILED ? -1 : 0);
	memset(memory, 1, SIZE);
}

static void do_populate(void) { must(munmap(map(SIZE, READ_WRITE, MAP_POPULATE), SIZE)); }
static void do_populate_read(void) { must(munmap(map(SIZE, PROT_READ, MAP_POPULATE), SIZE)); }

static void do_populate_shared(void)
{
	char *made = mmap(NULL, SIZE, READ_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

	must(munmap(made, SIZE));
}

static void do_populate_file(void)
{
	char *made = mmap(NULL, SIZE, READ_WRITE, MAP_PRIVATE | MAP_POPULATE, fd, 0);

	must(munmap(made, SIZE));
}

static void do_fill_shared(void)
{
	char *made = mmap(NULL, SIZE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	must(munmap(made, SIZE));
}

static void do_lock(void)
{
	char *made = map(SIZE, READ_WRITE, 0);

	must(mlock(made, SIZE));
	must(munlock(made, SIZE));
	must(munmap(made, SIZE));
}

static void do_lock_again(void)
{
	must(mlock(memory, SIZE));
	must(munlock(memory, SIZE));
}

static void do_lock_all(void)
{
	must(mlockall(MCL_CURRENT));
	must(munlockall());
}

static void do_protect(void)
{
	must(mprotect(memory, SIZE, PROT_READ));
	must(mprotect(memory, SIZE, READ_WRITE));
}

static void do_protect_key(void)
{
	must(syscall(SYS_pkey_mprotect, memory, SIZE, PROT_READ, -1));
	must(syscall(SYS_pkey_mprotect, memory, SIZE, READ_WRITE, -1));
}

static void do_protect_areas(void)
{
	must(mprotect(memory, AREAS * 8192L, PROT_READ));
	for (long at = 1; at < AREAS; at += 2)
		must(mprotect(memory + at * 8192, 8192, READ_WRITE));
}

static void do_unmap_areas(void)
{
	make_areas();
	must(munmap(memory, AREAS * 8192L));
}

static void do_unmap_holes(void)
{
	char *made = map(AREAS * 8192L, READ_WRITE, MAP_POPULATE);

	for (long at = 0; at < AREAS; at++)
		must(munmap(made + at * 8192, 4096));
	must(munmap(made, AREAS * 8192L));
}

static void advise(int advice) { must(madvise(memory, SIZE, advice)); }

static void do_give_back(void)
{
	advise(MADV_POPULATE_WRITE);
	advise(MADV_DONTNEED);
}

static void do_look_in(void)
{
	advise(MADV_POPULATE_READ);
	advise(MADV_DONTNEED);
}

static void do_free(void)
{
	advise(MADV_FREE);
	advise(MADV_POPULATE_WRITE);
}

static void do_page_out(void)
{
	advise(MADV_COLD);
	advise(MADV_PAGEOUT);
}

static void do_will_need(void) { advise(MADV_WILLNEED); }

static void do_hints(void)
{
	advise(MADV_SEQUENTIAL);
	advise(MADV_NORMAL);
	advise(MADV_DONTFORK);
	advise(MADV_DOFORK);
	advise(MADV_DONTDUMP);
	advise(MADV_DODUMP);
	advise(MADV_WIPEONFORK);
	advise(MADV_KEEPONFORK);
}

static void do_remove(void)
{
	advise(MADV_POPULATE_WRITE);
	advise(MADV_REMOVE);
}

static void do_advise_areas(void)
{
	must(madvise(memory, AREAS * 8192L, MADV_SEQUENTIAL));
	must(madvise(memory, AREAS * 8192L, MADV_NORMAL));
}

static char *mapped_file;

/* As many areas as there may be, and nothing in them. */
static void make_file_among_areas(void)
{
	char *others = map(MOST_AREAS * 4096L, PROT_READ, 0);

	for (long at = 0; at < MOST_AREAS; at += 2)
		must(mprotect(others + at * 4096, 4096, READ_WRITE));
	fd = (int)must(memfd_create("file", 0));
	must(ftruncate(fd, 8192));
	mapped_file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static void do_punch_among_areas(void)
{
	mapped_file[0] = 1;
	must(madvise(mapped_file, 4096, MADV_REMOVE));
}

static void do_truncate_among_areas(void)
{
	must(ftruncate(fd, 4096));
	must(ftruncate(fd, 8192));
}

/* The file is on a disk: what is mapped of it must be synced. */
static void make_disk_file_among_areas(void)
{
	make_file_among_areas();
	fd = (int)must(open("/tmp/large", O_RDWR | O_CREAT, 0600));
	must(ftruncate(fd, 4096));
	mapped_file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static void do_sync_among_areas(void)
{
	mapped_file[0] = 1;
	must(fsync(fd));
}

static void do_process_advise(void)
{
	struct iovec parts[1024];
	int self = (int)must(syscall(SYS_pidfd_open, getpid(), 0));

	for (int at = 0; at < 1024; at++)
		parts[at] = (struct iovec){memory + at * 16384, 16384};
	must(syscall(SYS_process_madvise, self, parts, 1024, MADV_COLD, 0));
	close(self);
}

static void do_resident(void) { must(mincore(memory, SIZE, (unsigned char *)buffer)); }
static void do_sync(void) { must(msync(memory, SIZE, MS_SYNC)); }

static void do_locate_pages(void)
{
	static void *pages[PAGES];
	static int states[PAGES];

	for (long at = 0; at < PAGES; at++)
		pages[at] = memory + at * 4096;
	must(syscall(SYS_move_pages, 0, PAGES, pages, NULL, states, 0));
}

static void do_bind(void)
{
	unsigned long nodes = 1;

	must(syscall(SYS_mbind, memory, SIZE, 2, &nodes, 64, 1 << 1));
	must(syscall(SYS_mbind, memory, SIZE, 0, NULL, 0, 0));
}

static void do_move(void)
{
	char *place = map(SIZE, PROT_NONE, 0);

	memory = mremap(memory, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	must(memory == MAP_FAILED ? -1 : 0);
}

static void do_grow(void)
{
	char *made = map(4096, READ_WRITE, MAP_POPULATE);

	must(mlock(made, 4096));
	made = mremap(made, 4096, SIZE, MREMAP_MAYMOVE);
	must(made == MAP_FAILED ? -1 : 0);
	must(munmap(made, SIZE));
}

static void do_break(void)
{
	char *end = sbrk(0);

	must(mlockall(MCL_FUTURE));
	must(brk(end + SIZE));
	must(brk(end));
	must(munlockall());
}

static void do_move_among_files(void) { must(remap_file_pages(memory + 4096, SIZE / 2, 0, 0, 0)); }

static void do_fork(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0)
		_exit(0);
	reap(made);
}

static void do_fork_writing(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		must(madvise(memory, SIZE, MADV_POPULATE_WRITE));
		_exit(0);
	}
	reap(made);
}

static void do_exit(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		map(SIZE, READ_WRITE, MAP_POPULATE);
		_exit(0);
	}
	reap(made);
}

static void make_dumps(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	make_memory();
	must(mkdir("/tmp/large", 0700));
	must(chdir("/tmp/large"));
	must(setrlimit(RLIMIT_CORE, &limit));
	memset(memory, 1, SIZE);
}

static void do_dump(void)
{
	int status;
	pid_t made = (pid_t)must(fork());

	if (made == 0)
		abort();
	must(waitpid(made, &status, 0));
	must(WCOREDUMP(status) ? 0 : -1);
}

static struct iovec mine, theirs;

static void do_read_process(void) { must(process_vm_readv(getpid(), &mine, 1, &theirs, 1, 0)); }
static void do_write_process(void) { must(process_vm_writev(getpid(), &mine, 1, &theirs, 1, 0)); }

static void make_transfer(void)
{
	make_two();
	mine = (struct iovec){memory, SIZE};
	theirs = (struct iovec){target, SIZE};
}

static void do_read_parts(void)
{
	struct iovec parts[1024];

	for (int at = 0; at < 1024; at++)
		parts[at] = (struct iovec){target + at * 16384, 1};
	must(process_vm_readv(getpid(), &mine, 1, parts, 1024, 0));
}

static void open_memory(void)
{
	make_two();
	fd = (int)must(open("/proc/self/mem", O_RDWR));
}

static void do_read_mem(void) { must(pread(fd, target, SIZE, (off_t)memory)); }
static void do_write_mem(void) { must(pwrite(fd, target, SIZE, (off_t)memory)); }

static void open_pages(void)
{
	make_two();
	fd = (int)must(open("/proc/self/pagemap", O_RDONLY));
}

static void do_read_pages(void) { must(pread(fd, target, PAGES * 8, (off_t)memory / 512)); }
static void do_read_no_pages(void) { must(pread(fd, target, SIZE, 0)); }

static void read_whole(const char *path)
{
	int opened = (int)must(open(path, O_RDONLY));

	while (must(read(opened, buffer, sizeof(buffer))) > 0)
		continue;
	close(opened);
}

static void do_read_maps(void) { read_whole("/proc/self/maps"); }
static void do_read_smaps(void) { read_whole("/proc/self/smaps"); }
static void do_read_rollup(void) { read_whole("/proc/self/smaps_rollup"); }
static void do_read_numa_maps(void) { read_whole("/proc/self/numa_maps"); }
static void do_read_status(void) { read_whole("/proc/self/status"); }
static void do_read_statm(void) { read_whole("/proc/self/statm"); }

static void do_clear_references(void)
{
	int opened = (int)must(open("/proc/self/clear_refs", O_WRONLY));

	must(write(opened, "1", 1));
	must(write(opened, "4", 1));
	close(opened);
}

static void make_faults(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
	struct uffdio_register range;

	make_two();
	must(munmap(target, SIZE));
	target = map(SIZE, READ_WRITE, 0);
	fd = (int)must(syscall(SYS_userfaultfd, O_CLOEXEC));
	must(ioctl(fd, UFFDIO_API, &api));
	range = (struct uffdio_register){
		.range = {(uintptr_t)target, SIZE}, .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};
	must(ioctl(fd, UFFDIO_REGISTER, &range));
}

static void do_fault_copy(void)
{
	struct uffdio_copy copy = {.dst = (uintptr_t)target, .src = (uintptr_t)memory, .len = SIZE};

	must(ioctl(fd, UFFDIO_COPY, &copy));
	must(madvise(target, SIZE, MADV_DONTNEED));
}

static void do_fault_zero(void)
{
	struct uffdio_zeropage zero = {.range = {(uintptr_t)target, SIZE}};

	must(ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	must(madvise(target, SIZE, MADV_DONTNEED));
}

static void make_protected_faults(void)
{
	struct uffdio_copy copy;

	make_faults();
	copy = (struct uffdio_copy){.dst = (uintptr_t)target, .src = (uintptr_t)memory, .len = SIZE};
	must(ioctl(fd, UFFDIO_COPY, &copy));
}

static void do_fault_protect(void)
{
	struct uffdio_writeprotect change = {{(uintptr_t)target, SIZE}, UFFDIO_WRITEPROTECT_MODE_WP};

	must(ioctl(fd, UFFDIO_WRITEPROTECT, &change));
	change.mode = 0;
	must(ioctl(fd, UFFDIO_WRITEPROTECT, &change));
}

/* Hundreds of segments of the executed file below one table: who uses one is given what there is of all. */
static void make_file_segments(void)
{
	int file = (int)must(open("/proc/self/exe", O_RDONLY));
	char *place = map(4 << 20, PROT_NONE, 0);

	memory = (char *)(((uintptr_t)place + (2 << 20) - 1) & ~((2UL << 20) - 1));
	for (int i = 0; i < 512; i++) {
		char *made = mmap(memory + i * 4096L, 4096, READ_WRITE, MAP_PRIVATE | MAP_FIXED, file,
				  i % 50 * 2 * 4096L);

		must(made == MAP_FAILED ? -1 : 0);
	}
}

/* The same, but of one executed file and many others. */
static void make_foreign_segments(void)
{
	int other = (int)must(open("/etc", O_TMPFILE | O_RDWR, 0600));

	make_file_segments();
	must(ftruncate(other, 2 << 20));
	for (int i = 1; i < 512; i++) {
		char *made = mmap(memory + i * 4096L, 4096, READ_WRITE, MAP_PRIVATE | MAP_FIXED, other,
				  i % 50 * 2 * 4096L);

		must(made == MAP_FAILED ? -1 : 0);
	}
}

static void do_file_segment(void)
{
	must(madvise(memory, 4096, MADV_DONTNEED));
	*(volatile char *)memory;
}

static void do_file_segments(void)
{
	must(madvise(memory, 2 << 20, MADV_DONTNEED));
	*(volatile char *)memory;
}

static void do_shared_segment(void)
{
	int id = (int)must(shmget(IPC_PRIVATE, SIZE, 0600));
	char *place = shmat(id, NULL, 0);

	must(madvise(place, SIZE, MADV_POPULATE_WRITE));
	must(shmdt(place));
	must(shmctl(id, IPC_RMID, NULL));
}

static void make_segments(void)
{
	for (int at = 0; at < 1000; at++)
		must(shmget(IPC_PRIVATE, 4096, 0600));
}

static void do_read_segments(void) { read_whole("/proc/sysvipc/shm"); }

static void do_attach(void)
{
	static int id = -1;
	void *places[500];

	if (id < 0)
		id = (int)must(shmget(IPC_PRIVATE, 4096, 0600));
	for (int at = 0; at < 500; at++)
		places[at] = shmat(id, NULL, 0);
	for (int at = 0; at < 500; at++)
		must(shmdt(places[at]));
}

static void do_exec(void)
{
	static char *arguments[1025], *text;
	pid_t made;

	if (text == NULL) {
		text = map(131072, READ_WRITE, 0);
		memset(text, 'x', 100000);
		arguments[0] = "true";
		for (int at = 1; at < 16; at++)
			arguments[at] = text;
	}
	made = (pid_t)must(fork());
	if (made == 0) {
		execv("/bin/true", arguments);
		_exit(1);
	}
	reap(made);
}

static void do_exec_too_large(void)
{
	static char *arguments[131073];

	for (int at = 0; at < 131072; at++)
		arguments[at] = "a long word";
	must(execv("/bin/true", arguments) == -1 && errno == E2BIG ? 0 : -1);
}

static void do_exec_many(void)
{
	static char *arguments[50001];
	pid_t made;

	for (int at = 0; at < 50000; at++)
		arguments[at] = "a word";
	made = (pid_t)must(fork());
	if (made == 0) {
		execv("/bin/true", arguments);
		_exit(1);
	}
	reap(made);
}

static void do_name_memory(void)
{
	must(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, SIZE, "a name"));
	must(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, SIZE, NULL));
}

static const struct kind kinds[] = {
	{"populate", NULL, do_populate},
	{"populate-read", NULL, do_populate_read},
	{"populate-shared", make_shared, do_populate_shared},
	{"populate-file", make_shared, do_populate_file},
	{"fill-shared", NULL, do_fill_shared},
	{"lock", NULL, do_lock},
	{"lock-again", make_memory, do_lock_again},
	{"lock-all", make_areas, do_lock_all},
	{"protect", make_memory, do_protect},
	{"protect-key", make_memory, do_protect_key},
	{"protect-areas", make_areas, do_protect_areas},
	{"unmap-areas", NULL, do_unmap_areas},
	{"unmap-holes", NULL, do_unmap_holes},
	{"give-back", make_memory, do_give_back},
	{"look-in", make_memory, do_look_in},
	{"free", make_memory, do_free},
	{"page-out", make_memory, do_page_out},
	{"will-need", make_memory, do_will_need},
	{"will-need-file", make_shared, do_will_need},
	{"hints", make_memory, do_hints},
	{"remove", make_shared, do_remove},
	{"advise-areas", make_areas, do_advise_areas},
	{"punch-among-areas", make_file_among_areas, do_punch_among_areas},
	{"truncate-among-areas", make_file_among_areas, do_truncate_among_areas},
	{"sync-among-areas", make_disk_file_among_areas, do_sync_among_areas},
	{"process-advise", make_memory, do_process_advise},
	{"resident", make_memory, do_resident},
	{"resident-file", make_shared, do_resident},
	{"sync", make_shared, do_sync},
	{"locate-pages", make_memory, do_locate_pages},
	{"bind", make_memory, do_bind},
	{"move", make_memory, do_move},
	{"move-shared", make_shared, do_move},
	{"grow", NULL, do_grow},
	{"break", NULL, do_break},
	{"move-among-files", make_shared, do_move_among_files},
	{"fork", make_memory, do_fork},
	{"fork-shared", make_shared, do_fork},
	{"fork-areas", make_areas, do_fork},
	{"fork-writing", make_memory, do_fork_writing},
	{"exit", NULL, do_exit},
	{"dump", make_dumps, do_dump},
	{"read-process", make_transfer, do_read_process},
	{"write-process", make_transfer, do_write_process},
	{"read-parts", make_transfer, do_read_parts},
	{"read-mem", open_memory, do_read_mem},
	{"write-mem", open_memory, do_write_mem},
	{"read-pages", open_pages, do_read_pages},
	{"read-no-pages", open_pages, do_read_no_pages},
	{"read-maps", make_areas, do_read_maps},
	{"read-smaps", make_areas, do_read_smaps},
	{"read-smaps-few", make_memory, do_read_smaps},
	{"read-smaps-shared", make_shared, do_read_smaps},
	{"read-rollup", make_areas, do_read_rollup},
	{"read-rollup-few", make_memory, do_read_rollup},
	{"read-numa-maps", make_areas, do_read_numa_maps},
	{"read-numa-maps-few", make_memory, do_read_numa_maps},
	{"read-status", make_areas, do_read_status},
	{"read-statm", make_areas, do_read_statm},
	{"clear-references", make_memory, do_clear_references},
	{"fault-copy", make_faults, do_fault_copy},
	{"fault-zero", make_faults, do_fault_zero},
	{"fault-protect", make_protected_faults, do_fault_protect},
	{"fault-file-segment", make_file_segments, do_file_segment},
	{"fault-foreign-segments", make_foreign_segments, do_file_segment},
	{"fault-file-segments", make_file_segments, do_file_segments},
	{"shared-segment", NULL, do_shared_segment},
	{"read-segments", make_segments, do_read_segments},
	{"attach", NULL, do_attach},
	{"exec", NULL, do_exec},
	{"exec-too-large", NULL, do_exec_too_large},
	{"exec-many", NULL, do_exec_many},
	{"name-memory", make_memory, do_name_memory},
};

int main(int argc, char **argv)
{
	const struct kind *kind = run_loops(kinds, sizeof(kinds) / sizeof(*kinds), argc, argv);

	if (kind != NULL && kind->prepare == make_dumps)
		(void)!system("rm -rf /tmp/large");
	return 0;
}
