/* Text out: the first serial port and QEMU's debug console, both at once. */
#ifndef CONSOLE_H
#define CONSOLE_H

void console_init(void);

/* A small printf: %s, %u (unsigned), %x (uint64_t, with 0x). */
void say(const char *format, ...);

/* Says why and halts for good, for what the guest cannot go on without. */
_Noreturn void stop(const char *why);

#endif
