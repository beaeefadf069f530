/* What the guest says of all its processes, and of its kernel. */
#ifndef CENSUS_H
#define CENSUS_H

void census(void);
void kernel(void);

#endif
