#include "console.h"

#include <stdarg.h>
#include <stdint.h>

#include "cpu.h"

enum { SERIAL = 0x3f8, LINE_STATUS = SERIAL + 5, CAN_SEND = 1 << 5, DEBUGCON = 0xe9 };

/* 115200 baud, 8n1, FIFO on, no interrupts. */
static const struct {
	uint16_t port;
	uint8_t value;
} serial_setup[] = {
	{ SERIAL + 1, 0x00 }, { SERIAL + 3, 0x80 }, { SERIAL + 0, 0x01 }, { SERIAL + 1, 0x00 },
	{ SERIAL + 3, 0x03 }, { SERIAL + 2, 0xc7 }, { SERIAL + 4, 0x03 },
};

void console_init(void)
{
	for (unsigned i = 0; i < sizeof(serial_setup) / sizeof(serial_setup[0]); i++)
		outb(serial_setup[i].port, serial_setup[i].value);
}

static void put(char c)
{
	outb(DEBUGCON, c);
	/* Bounded: a machine without the port must not hang here. */
	for (int tries = 0; tries < 100000 && !(inb(LINE_STATUS) & CAN_SEND); tries++)
		;
	outb(SERIAL, c);
}

static void put_number(uint64_t number, unsigned base)
{
	char digits[20];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	while (n)
		put(digits[--n]);
}

static void put_string(const char *s)
{
	while (*s)
		put(*s++);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (const char *f = format; *f; f++) {
		if (*f != '%') {
			put(*f);
			continue;
		}
		switch (*++f) {
		case 's':
			put_string(va_arg(args, const char *));
			break;
		case 'u':
			put_number(va_arg(args, unsigned), 10);
			break;
		case 'x':
			put_string("0x");
			put_number(va_arg(args, uint64_t), 16);
			break;
		}
	}
	va_end(args);
}

_Noreturn void stop(const char *why)
{
	say("menu: stopped: %s\n", why);
	for (;;)
		asm volatile("cli; hlt");
}
