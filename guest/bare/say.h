/* What the guests of other architectures share: lines of text, and a probe's result. */
#ifndef SAY_H
#define SAY_H

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

void put_char(char c); /* each guest's own UART */

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

void say_outcome(const char *access, u64 va, const struct outcome *outcome);

void fill(void *at, u64 value, u64 bytes);

#endif
