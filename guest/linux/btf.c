#include "btf.h"

#include <stddef.h>

#include "system.h"
#include "text.h"

enum { MAGIC = 0xeb9f, LARGEST = 1 << 25, DEEPEST = 8 };
enum kind {
	INT = 1, ARRAY = 3, STRUCT = 4, UNION = 5, ENUM = 6, FUNC_PROTO = 13, VAR = 14, DATASEC = 15,
	DECL_TAG = 17, ENUM64 = 19,
};

struct header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t length, types, types_length, strings, strings_length;
};

struct type {
	uint32_t name, info, size;
};

struct member {
	uint32_t name, type, offset;
};

static const char *strings;
static const struct type **types;	/* by number, from 1 */
static uint32_t count;

static unsigned kind_of(const struct type *type)
{
	return type->info >> 24 & 31;
}

static unsigned members_of(const struct type *type)
{
	return type->info & 0xffff;
}

/* The bytes that follow a type. */
static uint32_t more(const struct type *type)
{
	unsigned n = members_of(type);

	switch (kind_of(type)) {
	case INT: case VAR: case DECL_TAG:
		return 4;
	case ARRAY:
		return 12;
	case STRUCT: case UNION: case DATASEC: case ENUM64:
		return 12 * n;
	case ENUM: case FUNC_PROTO:
		return 8 * n;
	default:
		return 0;
	}
}

static bool load(void)
{
	uint64_t data = map(0, LARGEST, R | W, PRIVATE | ANONYMOUS | NORESERVE, -1), table;
	long fd = open_file("/sys/kernel/btf/vmlinux", O_RDONLY), n, got = 0;
	const struct header *header = (const struct header *)data;
	const char *at, *end;

	if (fd < 0 || failed(data))
		return false;
	while (got < LARGEST && (n = read_file(fd, (char *)data + got, LARGEST - got)) > 0)
		got += n;
	close_file(fd);
	if (got < (long)sizeof(*header) || header->magic != MAGIC)
		return false;
	at = (const char *)data + header->length + header->types;
	end = at + header->types_length;
	strings = (const char *)data + header->length + header->strings;
	table = map(0, header->types_length, R | W, PRIVATE | ANONYMOUS | NORESERVE, -1);
	if (failed(table))
		return false;
	types = (const struct type **)table;
	while (at < end) {
		const struct type *type = (const struct type *)at;

		types[++count] = type;
		at += sizeof(*type) + more(type);
	}
	return true;
}

/* Looks into members without a name too: what is in them is the structure's own. */
static bool find(const struct type *type, const char *name, uint64_t base, unsigned depth,
		 uint64_t *offset)
{
	const struct member *members = (const struct member *)(type + 1);
	bool bitfields = type->info >> 31;

	for (unsigned i = 0; i < members_of(type); i++) {
		uint32_t bits = members[i].offset & (bitfields ? 0xffffff : ~0u);
		const struct type *inner = members[i].type <= count ? types[members[i].type] : NULL;

		if (same(strings + members[i].name, name)) {
			*offset = base + bits / 8;
			return true;
		}
		if (!*(strings + members[i].name) && inner && depth < DEEPEST &&
		    (kind_of(inner) == STRUCT || kind_of(inner) == UNION) &&
		    find(inner, name, base + bits / 8, depth + 1, offset))
			return true;
	}
	return false;
}

bool offset_of(const char *structure, const char *member, uint64_t *offset)
{
	static bool tried, loaded;

	if (!tried)
		loaded = load();
	tried = true;
	for (uint32_t i = 1; loaded && i <= count; i++)
		if (kind_of(types[i]) == STRUCT && same(strings + types[i]->name, structure) &&
		    find(types[i], member, 0, 0, offset))
			return true;
	return false;
}
