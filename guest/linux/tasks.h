/*
 * The kernel's own list of processes: which address space each has, and where its root table is.
 * Read from the kernel's memory with the kernel's own description of its types.
 */
#ifndef TASKS_H
#define TASKS_H

#include <stdbool.h>
#include <stdint.h>

struct task {
	uint64_t pid, mm, root;	/* mm is 0 for a kernel thread; root is physical */
};

/* Fills in what the kernel knows of a process; false when it cannot be had. */
bool task_of(uint64_t pid, struct task *task);

/* The root table of an address space, physical. */
bool root_of(uint64_t mm, uint64_t *root);

#endif
