/* The keeper goes before what it starts: a sandbox that is asked for does not wait for the cells
 * and the starting interpreters of others. Only who may raise a priority does. */
#ifndef WARMCELL_SANDBOX_PRIORITY_H
#define WARMCELL_SANDBOX_PRIORITY_H

void priority_raise(void);   /* of the calling process; nothing where it is not allowed */
void priority_restore(void); /* in a child, which has inherited it */

#endif
