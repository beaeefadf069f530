/*
 * Where the kernel keeps a member of a structure, by the description of its own types that it
 * carries: /sys/kernel/btf/vmlinux (Linux, Documentation/bpf/btf.rst).
 */
#ifndef BTF_H
#define BTF_H

#include <stdbool.h>
#include <stdint.h>

/* The offset of a member in bytes; false where the kernel does not say. */
bool offset_of(const char *structure, const char *member, uint64_t *offset);

#endif
