/*
 * A census: every process, its mappings (/proc/PID/maps), and what is in them
 * (/proc/PID/pagemap).
 */
#include "census.h"

#include "system.h"
#include "tasks.h"
#include "text.h"

/* A line of each_line() has room for a name of this length behind the rest. */
enum { MOST_PROCESSES = 4096, ENTRIES = 8192, NAME = 80 };

/* PF_KTHREAD, include/linux/sched.h; /proc/PID/stat shows the flags. */
#define KERNEL_THREAD 0x200000u

static uint64_t pid;
static long pagemap;

/* What stands in a mapping: sums as in the lines "sum", and of n present pages those with a line
   whose number is a power of two, so that their number stays small. */
static void mapping_line(char *line)
{
	static uint64_t entries[ENTRIES];
	uint64_t va, end, present = 0, swapped = 0, weighted = 0;
	const char *at = line, *name;
	char prot[5];
	long n;

	if (!hexadecimal(&at, &va) || *at++ != '-' || !hexadecimal(&at, &end) || *at++ != ' ')
		return;
	format(prot, sizeof(prot), "%s", at);
	/* rights, offset, device, inode, and after many spaces a name */
	for (unsigned words = 0; words < 4; words++) {
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	name = at;
	for (uint64_t page = va; page < end; page += n * PAGE) {
		uint64_t wanted = (end - page) / PAGE;

		if (wanted > ENTRIES)
			wanted = ENTRIES;
		n = read_at(pagemap, entries, wanted * 8, page / PAGE * 8) / 8;
		if (n <= 0)
			break;
		for (long i = 0; i < n; i++) {
			uint64_t map = entries[i], pfn = map & ((1ul << 55) - 1);

			swapped += map >> 62 & 1;
			if (!(map >> 63))
				continue;
			present++;
			weighted += ((page - va) / PAGE + i + 1) * pfn;
			if (!(present & (present - 1)))
				say("at pid=%u va=%16x pfn=%14x", pid, page + i * PAGE, pfn);
		}
	}
	line[name - line + NAME] = 0;
	say("mapping pid=%u va=%16x last=%16x prot=%s present=%u swapped=%u weighted=%16x name=%s;",
	    pid, va, end - 1, prot, present, swapped, weighted, name);
}

/* The state and the flags of /proc/PID/stat, behind the name, which may have parentheses too. */
static bool state(char *letter, uint64_t *flags)
{
	char path[40], text[512];
	const char *at = text;

	format(path, sizeof(path), "/proc/%u/stat", pid);
	if (!get_file(path, text, sizeof(text)))
		return false;
	for (const char *c = text; *c; c++)
		if (*c == ')')
			at = c;
	if (!*at || !at[1] || !at[2])
		return false;
	*letter = at[2];
	for (unsigned words = 0; words < 7; words++) {
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return decimal(&at, flags);
}

static void process(void)
{
	static uint64_t threads[MOST_PROCESSES];
	struct task task = { 0 };
	char path[40], name[64] = "", letter;
	const char *kind;
	uint64_t flags, n;

	if (!state(&letter, &flags))
		return;	/* it has ended meanwhile */
	format(path, sizeof(path), "/proc/%u/comm", pid);
	get_file(path, name, sizeof(name));
	for (char *c = name; *c; c++)
		if (*c == '\n')
			*c = 0;
	kind = flags & KERNEL_THREAD ? "kernel" : letter == 'Z' || letter == 'X' ? "dead" : "user";
	format(path, sizeof(path), "/proc/%u/task", pid);
	n = numbers_in(path, threads, MOST_PROCESSES);
	task_of(pid, &task);
	say("process pid=%u kind=%s threads=%u mm=%16x root=%16x name=%s;", pid, kind, n, task.mm,
	    task.root, name);
	if (kind[0] != 'u')
		return;
	format(path, sizeof(path), "/proc/%u/pagemap", pid);
	pagemap = open_file(path, O_RDONLY);
	if (pagemap < 0)
		return;
	format(path, sizeof(path), "/proc/%u/maps", pid);
	each_line(path, mapping_line);
	close_file(pagemap);
}

void census(void)
{
	static uint64_t pids[MOST_PROCESSES];
	unsigned n;

	say("census begin pid=%u", process_id());
	n = numbers_in("/proc", pids, MOST_PROCESSES);
	for (unsigned i = 0; i < n; i++) {
		pid = pids[i];
		process();
	}
	say("census end lines=%u", (uint64_t)lines_said + 1);
}
