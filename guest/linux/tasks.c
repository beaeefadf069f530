#include "tasks.h"

#include "btf.h"
#include "kcore.h"
#include "system.h"

enum { MOST_TASKS = 4096 };

static struct task tasks[MOST_TASKS];
static unsigned count;

bool root_of(uint64_t mm, uint64_t *root)
{
	uint64_t pgd, at;

	return offset_of("mm_struct", "pgd", &at) && kernel_word(mm + at, &pgd) &&
	       kernel_physical(pgd, root);
}

/* A circular list of struct task_struct, through its member `tasks`, from init_task on. */
static void read_tasks(void)
{
	uint64_t first, list, pid, mm, at;

	if (!symbol("init_task", &first) || !offset_of("task_struct", "tasks", &list) ||
	    !offset_of("task_struct", "pid", &pid) || !offset_of("task_struct", "mm", &mm))
		return;
	for (at = first; count < MOST_TASKS;) {
		struct task *task = &tasks[count];

		if (!kernel_word(at + list, &at) || (at -= list) == first)
			return;
		if (!kernel_word(at + pid, &task->pid) || !kernel_word(at + mm, &task->mm))
			return;
		task->pid &= 0xffffffff;
		if (!task->mm || root_of(task->mm, &task->root))
			count++;
	}
}

bool task_of(uint64_t pid, struct task *task)
{
	static bool done;

	if (!done)
		read_tasks();
	done = true;
	for (unsigned i = 0; i < count; i++) {
		if (tasks[i].pid != pid)
			continue;
		*task = tasks[i];
		return true;
	}
	return false;
}
