#ifndef PROBE_H
#define PROBE_H

/* Executes every access of every line, fills observed[], says what differs; counts the result. */
void probe_all(void);

#endif
