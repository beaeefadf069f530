/* Lines out, numbers and words in. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Prints a line that begins with "mapper: " and counts it.  %s text, %9s filled up with spaces,
 * %u a decimal number, %x 0x and hexadecimal digits, %16x with leading zeros; numbers are
 * uint64_t.
 */
void say(const char *format, ...);

/* How many lines say() printed in this process. */
extern unsigned lines_said;

/* As say(), without the prefix, uncounted: for a person. */
void print(const char *format, ...);

bool same(const char *a, const char *b);

/* If `text` begins with `word` returns what follows it, else NULL. */
const char *after(const char *text, const char *word);

/* Reads digits; advances *text behind them.  False where there is none, or too many. */
bool decimal(const char **text, uint64_t *number);
bool hexadecimal(const char **text, uint64_t *number);

/* Of small files, such as those of /proc and /sys; all are false for one that is not there. */
bool get_number(const char *path, uint64_t *number);
bool file_has(const char *path, const char *text);

/* Hands over each line of a file, without its end; longer ones are cut. */
bool each_line(const char *path, void (*take)(char *line));

/* Reads the beginning of a small file, and ends it with a zero. */
bool get_file(const char *path, char *text, unsigned size);

/* Writes a formatted text of at most `size` bytes with its final zero, as for a path. */
void format(char *text, unsigned size, const char *format, ...);

/* Changes a setting of the whole system: in our guest only, see in_our_guest(). */
bool set_number(const char *path, uint64_t number);
bool set_text(const char *path, const char *text);

/*
 * Whether this system is there for us.  The program is a static one that would run on any Linux,
 * as root on the computer of whoever built it: there it must neither take memory out of the
 * system's hands nor turn on swap.  Our initramfs has a file that says so.
 */
bool in_our_guest(void);

#endif
