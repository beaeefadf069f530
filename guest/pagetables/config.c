/* Which operations this was built with on the new way; the Makefile says. */
#include "mailbox.h"

const uint64_t mixture = CONFIG_PT_PTR_UNMAP << 0 | CONFIG_PT_PTR_COPY << 1 |
			 CONFIG_PT_PTR_REMAP << 2 | CONFIG_PT_PTR_PROTECT << 3 |
			 CONFIG_PT_PTR_WALK << 4;
