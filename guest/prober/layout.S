/* Gives the constants of layout.h to whoever reads the ELF file's symbols. */
#define LAYOUT_GLOBAL
#include "layout.h"

	.section .note.GNU-stack, "", @progbits
