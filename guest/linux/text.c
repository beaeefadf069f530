#include "text.h"

#include <stdarg.h>

#include "system.h"

enum { LONGEST = 256, STDOUT = 1 };

unsigned lines_said;

struct line {
	char text[LONGEST];
	unsigned n;
};

static void put(struct line *line, char c)
{
	if (line->n < LONGEST)
		line->text[line->n++] = c;
}

static void put_string(struct line *line, const char *s, unsigned width)
{
	for (; *s; width -= width > 0)
		put(line, *s++);
	for (; width; width--)
		put(line, ' ');
}

static void put_number(struct line *line, uint64_t number, unsigned base, unsigned width)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number || n < width);
	while (n)
		put(line, digits[--n]);
}

static void put_format(struct line *line, const char *f, va_list args)
{
	for (; *f; f++) {
		uint64_t width = 0;

		if (*f != '%') {
			put(line, *f);
			continue;
		}
		f++;
		decimal(&f, &width);
		switch (*f) {
		case 's':
			put_string(line, va_arg(args, const char *), width);
			break;
		case 'u':
			put_number(line, va_arg(args, uint64_t), 10, width);
			break;
		case 'x':
			put_string(line, "0x", 0);
			put_number(line, va_arg(args, uint64_t), 16, width);
			break;
		}
	}
}

/* One write for a line, so that those of several processes do not mix. */
static void finish(struct line *line)
{
	if (line->n == LONGEST)
		line->n--;
	put(line, '\n');
	write_file(STDOUT, line->text, line->n);
}

void say(const char *format, ...)
{
	struct line line = { .n = 0 };
	va_list args;

	va_start(args, format);
	put_string(&line, "mapper: ", 0);
	put_format(&line, format, args);
	va_end(args);
	finish(&line);
	lines_said++;
}

void print(const char *format, ...)
{
	struct line line = { .n = 0 };
	va_list args;

	va_start(args, format);
	put_format(&line, format, args);
	va_end(args);
	finish(&line);
}

void format(char *text, unsigned size, const char *how, ...)
{
	struct line line = { .n = 0 };
	va_list args;

	va_start(args, how);
	put_format(&line, how, args);
	va_end(args);
	if (line.n > size - 1)
		line.n = size - 1;
	memcpy(text, line.text, line.n);
	text[line.n] = 0;
}

const char *after(const char *text, const char *word)
{
	while (*word)
		if (*text++ != *word++)
			return NULL;
	return text;
}

bool same(const char *a, const char *b)
{
	const char *rest = after(a, b);

	return rest && !*rest;
}

static bool digits(const char **text, unsigned base, uint64_t *number)
{
	const char *at = *text;
	uint64_t value = 0;

	for (;; at++) {
		unsigned digit = base;

		if (*at >= '0' && *at <= '9')
			digit = *at - '0';
		else if (*at >= 'a' && *at <= 'f')
			digit = *at - 'a' + 10;
		if (digit >= base)
			break;
		if (value >> 60)
			return false;
		value = value * base + digit;
	}
	if (at == *text)
		return false;
	*text = at;
	*number = value;
	return true;
}

bool decimal(const char **text, uint64_t *number)
{
	return digits(text, 10, number);
}

bool hexadecimal(const char **text, uint64_t *number)
{
	return digits(text, 16, number);
}

bool in_our_guest(void)
{
	long fd = open_file("/ptlive-guest", O_RDONLY);

	if (fd >= 0)
		close_file(fd);
	return fd >= 0;
}

static bool put_file(const char *path, const struct line *line)
{
	long fd = in_our_guest() ? open_file(path, O_WRONLY) : -1, written;

	if (fd < 0)
		return false;
	written = write_file(fd, line->text, line->n);
	close_file(fd);
	return written == line->n;
}

bool set_number(const char *path, uint64_t number)
{
	struct line line = { .n = 0 };

	put_number(&line, number, 10, 1);
	return put_file(path, &line);
}

bool set_text(const char *path, const char *text)
{
	struct line line = { .n = 0 };

	put_string(&line, text, 0);
	return put_file(path, &line);
}

bool get_file(const char *path, char *text, unsigned size)
{
	long fd = open_file(path, O_RDONLY), n;

	if (fd < 0)
		return false;
	n = read_file(fd, text, size - 1);
	close_file(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

bool get_number(const char *path, uint64_t *number)
{
	char text[LONGEST];
	const char *at = text;

	return get_file(path, text, sizeof(text)) && decimal(&at, number);
}

bool file_has(const char *path, const char *text)
{
	char found[LONGEST];

	if (!get_file(path, found, sizeof(found)))
		return false;
	for (const char *at = found; *at; at++)
		if (after(at, text))
			return true;
	return false;
}

bool each_line(const char *path, void (*take)(char *line))
{
	static char buffer[1 << 16], line[LONGEST];
	long fd = open_file(path, O_RDONLY), n;
	unsigned length = 0;

	if (fd < 0)
		return false;
	while ((n = read_file(fd, buffer, sizeof(buffer))) > 0) {
		for (long i = 0; i < n; i++) {
			if (buffer[i] != '\n') {
				if (length < sizeof(line) - 1)
					line[length++] = buffer[i];
				continue;
			}
			line[length] = 0;
			length = 0;
			take(line);
		}
	}
	close_file(fd);
	return true;
}
