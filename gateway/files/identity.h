/* Acting for a sandbox in the file system, on the calling thread alone.
 *
 * What is made then belongs to the sandbox, and what its code may not touch is refused to us too:
 * leaving fsuid 0 takes CAP_DAC_OVERRIDE and its like away (capabilities(7)). */
#ifndef WARMCELL_GATEWAY_FILES_IDENTITY_H
#define WARMCELL_GATEWAY_FILES_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/err.h"

/* Takes on uid and the gid of the same number, without supplementary groups. An ordinary user stays
 * what it is, whatever uid says: all its sandboxes have its own. 503: uid is none of a sandbox's
 * (root's, or not known), or the system does not let us; nothing has changed then. */
bool identity_enter(int64_t uid, struct err *e);

/* Back to what the process is. A thread that cannot may not go on: it aborts. */
void identity_leave(void);

#endif
