/* Memory that is not there: swapped out. */
#include "kinds.h"
#include "system.h"
#include "text.h"
#include "witness.h"

enum { TRIES = 20 };

/* Where a disk may be.  swapon(2) itself refuses one that mkswap has not prepared, so a disk with
   somebody's data is left alone. */
static const char *const devices[] = {
	"/dev/nvme0n1", "/dev/vda", "/dev/sda", "/dev/zram0", "/dev/ram0",
};

static bool have_swap(void)
{
	for (unsigned i = 0; in_our_guest() && i < sizeof(devices) / sizeof(devices[0]); i++)
		if (swap_on(devices[i]) == 0)
			return true;
	/* Somebody may have turned one on. */
	return file_has("/proc/swaps", "\n/");
}

/* How many of these pages pagemap calls swapped (bit 62). */
static uint64_t swapped(uint64_t va, uint64_t n)
{
	long fd = open_file("/proc/self/pagemap", O_RDONLY);
	uint64_t entry, out = 0;

	for (uint64_t i = 0; fd >= 0 && i < n; i++)
		if (read_at(fd, &entry, 8, (va / PAGE + i) * 8) == 8)
			out += entry >> 62 & 1;
	if (fd >= 0)
		close_file(fd);
	return out;
}

void make_swap(uint64_t n)
{
	uint64_t va;

	if (!have_swap()) {
		say("without swap: there is no disk that mkswap prepared");
		return;
	}
	va = small_pages(0, n, R | W);
	if (failed(va)) {
		say("without swap: no room for %u pages", n);
		return;
	}
	write_to(va, PAGE, n);
	for (int i = 0; i < TRIES && swapped(va, n) < n; i++)
		if (advise(va, n * PAGE, MADV_PAGEOUT) < 0)
			break;
	if (swapped(va, n) < n)
		say("without %u of %u swap: the kernel kept them in memory", n - swapped(va, n), n);
	remember((struct area){ "swap", va, PAGE, n, PAGE, R | W, WRITTEN });
}
