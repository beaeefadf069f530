/* What the guests of other architectures share: lines of text, and accesses that are told. */
#ifndef SAY_H
#define SAY_H

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

/* Each guest's own: its UART, an access with nothing in the TLB, and an instruction that traps. */
struct outcome;
void put_char(char c);
void attempt(u64 va, u64 kind, u64 user, struct outcome *outcome);
extern const u32 call;

enum { READS, WRITES, FETCHES }; /* kinds; each start.S knows them, too */

void put(const char *text);
void put_hex(u64 value);
void say(const char *text);             /* a whole line */
void say_value(const char *name, u64 value); /* NAME 0x... */

/* Written into QEMU's command line (-device loader): which of its formats the guest is to use. */
extern volatile u64 chosen;

/* How an access ended. */
struct outcome {
	u64 fault;   /* the architecture's number of it, 0 if there was none */
	u64 code;    /* what else it says */
	u64 address; /* which one it names */
	u64 seen;    /* what was read: each frame begins with its own physical address */
};

/* A stretch that says where it is, and in which an instruction can be fetched. */
void mark(u64 at);

/* Under what the accesses that follow are made: two controls of the CPU's, and whether ... */
void say_state(const char *one, u64 is, const char *other, u64 other_is);
extern int lenient; /* ... the MMU may let pass what it should not */

/* Make all kinds of accesses to a stretch, and say what they came to. */
void say_accesses(u64 va);

void fill(void *at, u64 value, u64 bytes);

#endif
