#include "say.h"

volatile u64 chosen __attribute__((section(".chosen")));
int lenient;

void put(const char *text)
{
	while (*text)
		put_char(*text++);
}

void put_hex(u64 value)
{
	put("0x");
	int digits = 16;
	while (digits > 1 && !(value >> (4 * digits - 4)))
		digits--;
	while (digits--)
		put_char("0123456789abcdef"[value >> (4 * digits) & 15]);
}

void say(const char *text)
{
	put(text);
	put("\n");
}

void say_value(const char *name, u64 value)
{
	put(name);
	put(" ");
	put_hex(value);
	put("\n");
}

static void say_outcome(const char *access, u64 va, const struct outcome *outcome)
{
	put("probe ");
	put_hex(va);
	put(" ");
	put(access);
	if (outcome->fault) {
		put(" fault ");
		put_hex(outcome->fault);
		put(" ");
		put_hex(outcome->code);
		put(" ");
		put_hex(outcome->address);
	} else {
		put(" seen ");
		put_hex(outcome->seen);
	}
	put("\n");
}

static void say_control(const char *name, u64 value)
{
	put(" ");
	put(name);
	put("=");
	put_hex(value);
}

void say_state(const char *one, u64 is, const char *other, u64 other_is)
{
	put("state");
	say_control(one, is);
	say_control(other, other_is);
	say_control("lenient", lenient);
	put("\n");
}

void say_accesses(u64 va)
{
	static const char *const names[2][3] = {
		{ "supervisor-read", "supervisor-write", "supervisor-fetch" },
		{ "user-read", "user-write", "user-fetch" },
	};
	/* What is written does not change what is read or fetched. */
	static const u8 inside[] = { [READS] = 0, [WRITES] = 16, [FETCHES] = 8 };

	for (int user = 0; user < 2; user++)
		for (int kind = READS; kind <= FETCHES; kind++) {
			struct outcome outcome = { 0 };
			u64 at = va + inside[kind];
			attempt(at, kind, user, &outcome);
			if (kind == FETCHES)
				outcome.seen = 0;
			say_outcome(names[user][kind], at, &outcome);
		}
}

void mark(u64 at)
{
	*(u64 *)at = at;
	*(u32 *)(at + 8) = call;
}

void fill(void *at, u64 value, u64 bytes)
{
	volatile u64 *word = at;
	for (u64 n = 0; n < bytes / sizeof *word; n++)
		word[n] = value;
}
