/* Memory of several processes. */
#include "kinds.h"
#include "system.h"
#include "text.h"
#include "witness.h"

enum { SHARED_PAGES = 4, MOST_PROCESSES = 64 };

/* A byte in `go` lets one of the others testify; its number of lines comes back in `done`. */
static int go[2], done[2];
static uint64_t others;

/* Maps the file's pages, in each process at some other place. */
static bool map_shared(int fd, uint64_t away)
{
	uint64_t gap = away ? map(0, away * PAGE, NONE, PRIVATE | ANONYMOUS, -1) : 0;
	uint64_t va = map(0, SHARED_PAGES * PAGE, R | W, SHARED, fd);

	if (failed(va) || failed(gap))
		return false;
	write_to(va, PAGE, SHARED_PAGES);
	return remember((struct area){ "shared", va, PAGE, SHARED_PAGES, PAGE, R | W, WRITTEN });
}

static _Noreturn void be_another(int fd, uint64_t number)
{
	char byte;
	unsigned said;

	end_with_parent();
	forget_all();
	map_shared(fd, 1 + number * 7);
	if (read_file(go[0], &byte, 1) == 1) {
		lines_said = 0;
		testify();
		said = lines_said;
		write_file(done[1], &said, sizeof(said));
	}
	park("sleep");
}

/* Frames that this process has at two places, and `n` - 1 others at one.  The others are forked
   before anything else is mapped, or this one's private pages would all be copy-on-write. */
void make_shared(uint64_t n)
{
	long fd = memory_file(SHARED_PAGES * PAGE);

	if (fd < 0 || pipe_pair(go) < 0 || pipe_pair(done) < 0) {
		say("without shared: this kernel has no memory files");
		return;
	}
	if (n > MOST_PROCESSES) {
		say("without %u of %u shared: %u processes are enough", n - MOST_PROCESSES, n,
		    (uint64_t)MOST_PROCESSES);
		n = MOST_PROCESSES;
	}
	while (others + 1 < n) {
		long pid = fork_process();

		if (pid == 0)
			be_another(fd, others);
		if (pid < 0) {
			say("without %u of %u shared: no more processes", n - others - 1, n);
			break;
		}
		others++;
	}
	close_file(done[1]);	/* so that a read ends should the others die */
	map_shared(fd, 0);
	map_shared(fd, 3);
	close_file(fd);
}

unsigned others_testify(void)
{
	unsigned said, sum = 0;

	for (; others; others--) {
		if (write_file(go[1], "", 1) != 1 ||
		    read_file(done[0], &said, sizeof(said)) != sizeof(said))
			break;
		sum += said;
	}
	return sum;
}
