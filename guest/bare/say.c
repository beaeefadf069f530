#include "say.h"

volatile u64 chosen __attribute__((section(".chosen")));

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

void say_outcome(const char *access, u64 va, const struct outcome *outcome)
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

void fill(void *at, u64 value, u64 bytes)
{
	volatile u64 *word = at;
	for (u64 n = 0; n < bytes / sizeof *word; n++)
		word[n] = value;
}
