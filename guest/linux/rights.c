/* Pages by what may be done with them. */
#include "kinds.h"
#include "system.h"
#include "text.h"
#include "witness.h"

/* `n` pages, touched while they may be, and then given `prot`. */
static void make(const char *kind, uint64_t n, int prot, enum touched touched)
{
	uint64_t va = small_pages(0, n, R | W);

	if (failed(va)) {
		say("without %s: no room for %u pages", kind, n);
		return;
	}
	if (touched == WRITTEN)
		write_to(va, PAGE, n);
	if (touched == READ_ONCE)
		read_from(va, PAGE, n);
	if (protect(va, n * PAGE, prot) < 0) {
		say("without %s: the kernel refused", kind);
		return;
	}
	/* mprotect may leave R/W at 0 for a write to set. */
	if (touched == WRITTEN && prot & W)
		write_to(va, PAGE, n);
	remember((struct area){ kind, va, PAGE, n, PAGE, prot, touched });
}

/* Read and never written: Linux maps its one page of zeros, without R/W whatever was asked. */
void make_zero(uint64_t n)
{
	make("zero", n, R | W, READ_ONCE);
}

/* Linux keeps the frame of a page that is PROT_NONE in its entry, whose P is 0 (pagemap calls
   that present); a page never touched has no entry. */
void make_none(uint64_t n)
{
	make("none", n, NONE, WRITTEN);
	make("none", n, NONE, NOT);
}

void make_ro(uint64_t n)
{
	make("ro", n, R, WRITTEN);
	make("ro", n, R, READ_ONCE);
	make("rx", n, R | X, WRITTEN);
}

void make_wx(uint64_t n)
{
	make("wx", n, R | W | X, WRITTEN);
}

/* CPUID.(EAX=07H,ECX=0):ECX.OSPKE[4] (SDM vol. 2A, CPUID): keys are there, and in use. */
static bool has_keys(void)
{
	uint32_t a = 7, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 4 & 1;
}

/* PROT_EXEC alone: Linux gives such pages a key of its own that forbids data accesses. */
void make_xonly(uint64_t n)
{
	if (has_keys())
		make("xonly", n, X, WRITTEN);
	else
		say("without xonly: no protection keys, with which Linux makes it");
}

static uint32_t pkru(void)
{
	uint32_t a, d;

	asm volatile("rdpkru" : "=a"(a), "=d"(d) : "c"(0));
	return a;
}

/* PKRU has two bits for each key: AD and WD (SDM vol. 3A, 4.6.2). */
static void deny(unsigned key, unsigned rights)
{
	uint32_t value = (pkru() & ~(3u << 2 * key)) | rights << 2 * key;

	asm volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

/* Two pages for each key, which has its own rights in PKRU: none denied, AD, WD, both, none ... */
void make_keys(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t va = small_pages(0, 2, R | W);
		long key = has_keys() ? allocate_key(0) : -1;

		if (key < 0 || failed(va)) {
			say("without %u of %u keys: %s", n - i, n,
			    has_keys() ? "all others are in use" :
					 "the CPU has none, or Linux does not use them");
			break;
		}
		if (protect_key(va, 2 * PAGE, R | W, key) < 0)
			continue;
		write_to(va, PAGE, 2);
		deny(key, i % 4);
		remember((struct area){ "keys", va, PAGE, 2, PAGE, R | W, WRITTEN });
	}
}

void say_pkru(void)
{
	if (has_keys())
		say("pkru value=%8x", (uint64_t)pkru());
}
