#include "system.h"

#include "text.h"

enum {
	READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, MMAP = 9, MPROTECT = 10, MUNMAP = 11, PREAD64 = 17,
	PIPE = 22, MADVISE = 28, PAUSE = 34, GETPID = 39, FORK = 57, FTRUNCATE = 77, SYSINFO = 99,
	PRCTL = 157, SWAPON = 167, GETDENTS64 = 217, EXIT_GROUP = 231, MEMFD_CREATE = 319, PKEY_MPROTECT = 329,
	PKEY_ALLOC = 330,
};

enum { PR_SET_PDEATHSIG = 1, SIGKILL = 9, MFD_HUGETLB = 4 };

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return result;
}

static long call3(long number, long a, long b, long c)
{
	return call(number, a, b, c, 0, 0, 0);
}

long open_file(const char *path, int how)
{
	return call3(OPEN, (long)path, how, 0);
}

long read_file(int fd, void *to, size_t n)
{
	return call3(READ, fd, (long)to, n);
}

long read_at(int fd, void *to, size_t n, uint64_t offset)
{
	return call(PREAD64, fd, (long)to, n, offset, 0, 0);
}

long write_file(int fd, const void *from, size_t n)
{
	return call3(WRITE, fd, (long)from, n);
}

long close_file(int fd)
{
	return call3(CLOSE, fd, 0, 0);
}

unsigned numbers_in(const char *folder, uint64_t *numbers, unsigned most)
{
	/* struct linux_dirent64: inode, offset, length (2 bytes), type (1 byte), name. */
	enum { LENGTH = 16, NAME = 19 };
	static char entries[4096] __attribute__((aligned(8)));
	long fd = open_file(folder, O_RDONLY), n;
	unsigned count = 0;

	while (fd >= 0 && (n = call3(GETDENTS64, fd, (long)entries, sizeof(entries))) > 0) {
		for (long at = 0; at < n; at += *(uint16_t *)(entries + at + LENGTH)) {
			const char *name = entries + at + NAME;

			if (count < most && decimal(&name, &numbers[count]) && !*name)
				count++;
		}
	}
	if (fd >= 0)
		close_file(fd);
	return count;
}

long pipe_pair(int fds[2])
{
	return call3(PIPE, (long)fds, 0, 0);
}

static long unnamed_file(uint64_t size, long flags)
{
	long fd = call3(MEMFD_CREATE, (long)"mapper", flags, 0);

	if (fd >= 0 && call3(FTRUNCATE, fd, size, 0) < 0) {
		close_file(fd);
		return -1;
	}
	return fd;
}

long memory_file(uint64_t size)
{
	return unnamed_file(size, 0);
}

long hugetlb_file(uint64_t size)
{
	return unnamed_file(size, MFD_HUGETLB | HUGETLB_SIZE(21));
}

uint64_t map(uint64_t hint, uint64_t length, int prot, int flags, int fd)
{
	return call(MMAP, hint, length, prot, flags, fd, 0);
}

bool failed(uint64_t address)
{
	return address >= -PAGE;
}

long unmap(uint64_t va, uint64_t length)
{
	return call3(MUNMAP, va, length, 0);
}

long protect(uint64_t va, uint64_t length, int prot)
{
	return call3(MPROTECT, va, length, prot);
}

long protect_key(uint64_t va, uint64_t length, int prot, int key)
{
	return call(PKEY_MPROTECT, va, length, prot, key, 0, 0);
}

long allocate_key(unsigned rights)
{
	return call3(PKEY_ALLOC, 0, rights, 0);
}

long advise(uint64_t va, uint64_t length, int advice)
{
	return call3(MADVISE, va, length, advice);
}

long swap_on(const char *device)
{
	return call3(SWAPON, (long)device, 0, 0);
}

uint64_t free_memory(void)
{
	/* struct sysinfo: uptime, three loads, totalram, freeram, ... in bytes on 64 bits. */
	uint64_t words[16] = { 0 };

	return call3(SYSINFO, (long)words, 0, 0) < 0 ? 0 : words[5];
}

long fork_process(void)
{
	return call3(FORK, 0, 0, 0);
}

long process_id(void)
{
	return call3(GETPID, 0, 0, 0);
}

long end_with_parent(void)
{
	return call3(PRCTL, PR_SET_PDEATHSIG, SIGKILL, 0);
}

_Noreturn void leave(int status)
{
	for (;;)
		call3(EXIT_GROUP, status, 0, 0);
}

void sleep_forever(void)
{
	for (;;)
		call3(PAUSE, 0, 0, 0);
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return start;
}

void *memset(void *to, int byte, size_t n)
{
	void *start = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
	return start;
}
