/*
 * mapper: an address space made to order, under Linux.
 *
 * It maps memory of the kinds that its arguments name, says what the kernel tells about those
 * pages, and stays, so that the tables can be looked at from outside.  Linux writes the tables;
 * this program knows nothing of them.
 */
#include "census.h"
#include "kinds.h"
#include "system.h"
#include "text.h"
#include "witness.h"

int mapper(int argc, char **argv);

/* In the order in which they are made: other processes before memory, large pages before small
   ones take the memory apart. */
static struct kind {
	const char *name, *meaning;
	uint64_t usual, most;
	void (*make)(uint64_t n);
	uint64_t asked;
} kinds[] = {
	{ "shared", "memory of N processes, in this one at two places", 3, 64, make_shared },
	{ "huge1g", "hugetlb pages of 1G", 1, 64, make_huge1g },
	{ "huge2m", "hugetlb pages of 2M", 4, 4096, make_huge2m },
	{ "folded", "one table of 2M pages, at N places", 4, 4096, make_folded },
	{ "thp", "transparent huge pages of 2M", 4, 4096, make_thp },
	{ "high", "pages from 2^47 to the end of the lower half (five levels)", 5, 512, make_high },
	{ "scattered", "4K pages far apart", 4096, 4000000, make_scattered },
	{ "zero", "pages read and never written", 4, 512, make_zero },
	{ "none", "PROT_NONE, written before and untouched", 4, 512, make_none },
	{ "ro", "read-only, and read-execute", 4, 512, make_ro },
	{ "wx", "writable and executable", 4, 512, make_wx },
	{ "xonly", "execute-only, by a protection key", 4, 512, make_xonly },
	{ "keys", "pages with N protection keys", 4, 15, make_keys },
	{ "swap", "pages swapped out, if there is a disk for it", 8, 4096, make_swap },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const char *how = "spin";

static int help(void)
{
	print("usage: mapper KIND[=N]... [stride=PAGES] [frames=N] [park=spin|sleep|exit]");
	print("");
	print("Maps memory of these kinds, says what the kernel tells about it, and stays.");
	print("Words are parted by spaces or commas; \"all\" is each kind but huge1g.");
	print("");
	for (unsigned i = 0; i < KINDS; i++)
		print("  %9s  %s (%u)", kinds[i].name, kinds[i].meaning, kinds[i].usual);
	print("");
	print("  %9s  scattered pages lie so many pages apart (%u)", "stride", stride);
	print("  %9s  and have at most so many frames (%u)", "frames", frames);
	print("  %9s  stay in user mode (spin), sleep, or exit", "park");
	print("");
	print("mapper kernel, mapper census: what the kernel says of itself, and of all processes.");
	return 0;
}

/* Reads "name", "name=N" or "name=word", up to a comma or the end; false if it means nothing. */
static bool understand(const char *word)
{
	const char *value;
	uint64_t number;

	if (same(word, "all")) {
		for (unsigned i = 0; i < KINDS; i++)
			if (kinds[i].make != make_huge1g && !kinds[i].asked)
				kinds[i].asked = kinds[i].usual;
		return true;
	}
	if ((value = after(word, "park="))) {
		how = same(value, "spin") ? "spin" : same(value, "sleep") ? "sleep" : "exit";
		return same(value, how);
	}
	if ((value = after(word, "stride=")))
		return decimal(&value, &stride) && !*value && stride >= 1 && stride <= 1 << 18;
	if ((value = after(word, "frames=")))
		return decimal(&value, &frames) && !*value && frames >= 4096;
	for (unsigned i = 0; i < KINDS; i++) {
		value = after(word, kinds[i].name);
		if (!value || (*value && *value != '='))
			continue;
		number = kinds[i].usual;
		if (*value++ == '=' && (!decimal(&value, &number) || *value))
			return false;
		kinds[i].asked = number;
		return number <= kinds[i].most;
	}
	return false;
}

static bool understand_all(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		for (char *at = argv[i], *word = at;; at++) {
			bool end = !*at;

			if (!end && *at != ',')
				continue;
			*at = 0;
			if (*word && !understand(word)) {
				print("mapper: '%s' means nothing, or too much; see mapper --help", word);
				return false;
			}
			if (end)
				break;
			word = at + 1;
		}
	}
	return true;
}

_Noreturn void park(const char *where)
{
	if (same(where, "exit"))
		leave(0);
	/* Who reads what we print must see its end. */
	for (int fd = 0; fd < 3; fd++)
		close_file(fd);
	if (same(where, "sleep"))
		sleep_forever();
	for (;;)
		asm volatile("pause");
}

static void make_all(void)
{
	uint64_t lines;

	say("begin pid=%u", process_id());
	/* What it says holds as long as the kernel moves no page. */
	set_number("/proc/sys/vm/compaction_proactiveness", 0);
	for (unsigned i = 0; i < KINDS; i++)
		if (kinds[i].asked)
			kinds[i].make(kinds[i].asked);
	say_pkru();
	testify();
	lines = others_testify();
	lines += lines_said + 1;
	say("parked pid=%u how=%s lines=%u", process_id(), how, lines);
}

int mapper(int argc, char **argv)
{
	int ready[2];
	char byte;
	long pid;

	if (argc < 2 || same(argv[1], "--help") || same(argv[1], "-h"))
		return help();
	/* Both in one go read the kernel's symbols once. */
	for (int i = 1; same(argv[i], "kernel") || same(argv[i], "census"); i++) {
		lines_said = 0;
		(same(argv[i], "kernel") ? kernel : census)();
		if (i + 1 == argc)
			return 0;
	}
	if (!understand_all(argc, argv))
		return 2;
	if (same(how, "exit")) {
		make_all();
		return 0;
	}
	/* The one that stays is a child, so that the prompt, or the boot, goes on. */
	if (pipe_pair(ready) < 0 || (pid = fork_process()) < 0)
		return 1;
	if (pid == 0) {
		close_file(ready[0]);
		make_all();
		write_file(ready[1], "", 1);
		close_file(ready[1]);
		park(how);
	}
	close_file(ready[1]);
	if (read_file(ready[0], &byte, 1) == 1)
		return 0;
	print("mapper: failed: the process that maps has died");
	return 1;
}
