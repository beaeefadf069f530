/*
 * How operations come in and what became of them, at a fixed place of physical memory, so that
 * whoever sits outside needs nothing but the memory.  The same for a guest and for a process that
 * plays one.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdint.h>

#define MAILBOX_PA	0x1000000ul
#define TABLES_PA	0x2000000ul	/* frames for tables: 32 MiB of them */
#define TABLES_COUNT	0x2000ul
#define MAILBOX_MAGIC	0x70742d6d61696c31ul

enum { COMMANDS = 1024, EVENTS = 1 << 16, VISITS = 1 << 16, SPACES = 2 };

enum operation {
	OP_UNMAP = 1,
	OP_COPY,	/* to the other address space */
	OP_REMAP,	/* of what is unmapped first */
	OP_PROTECT,
	OP_WALK,
	OP_LIMIT,	/* only so many more frames for tables, or ~0 */
	OP_LOAD,	/* executed: 8 bytes at start; only a guest has an MMU */
	OP_STORE,
	OP_SWITCH,	/* another address space into CR3 */
};

struct command {
	uint64_t op, space;
	uint64_t start, end;
	uint64_t pa, prot, max_shift;	/* of a remap and a protect; pa: what OP_STORE stores */
};

struct result {
	int64_t ret;		/* as the operation says; of an access its vector, or 0 */
	uint64_t value;		/* what was loaded; of a fault the error code */
	uint64_t flushed_one, flushed_all;
	uint64_t tables;	/* in use afterwards, of all address spaces */
	uint64_t first_event, first_visit;	/* those of this command */
};

struct event {
	uint64_t what, value;	/* enum trace */
};

struct visit {
	uint64_t addr, next, entry;	/* entry 0: a hole */
	uint64_t shift;			/* what entries there map; of a hole its depth */
};

struct mailbox {
	uint64_t magic, levels, mixture;	/* mixture: bit n for operation n + 1 on the new way */
	uint64_t root[SPACES];
	volatile uint64_t asked, done;	/* batches, counted */
	uint64_t commands, events, visits;	/* how many there are; too many events are not kept */
	struct command command[COMMANDS];
	struct result result[COMMANDS];
	struct event event[EVENTS];
	struct visit visit[VISITS];
};

extern const uint64_t mixture;	/* config.c */

void mailbox_init(void);
void mailbox_serve(void);	/* one batch */
void mailbox_trace(uint64_t what, uint64_t value);

/* The machine's: an executed access, another address space in CR3, and what a new one needs. */
struct result execute(const struct command *command);
void load_space(uint64_t root);
struct mm_struct;
void prepare_space(struct mm_struct *mm);

#endif
