#ifndef BUILD_H
#define BUILD_H

/* Puts the lines of all chapters into the tables and describes them in menu[]. */
void menu_build(void);

#endif
