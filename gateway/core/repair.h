/* What a power cut left is made whole while the gateway starts. */
#ifndef WARMCELL_GATEWAY_CORE_REPAIR_H
#define WARMCELL_GATEWAY_CORE_REPAIR_H

#include "gateway/core/core.h"

/* Where the machine was started anew since the state folder was last used: logs are cut behind the
 * last message that is as it was written, artifacts whose bytes are gone say so, executions whose
 * end is gone end as `lost`. One line of the log tells what was done. Before anything of the folder
 * is taken up. 503. */
bool repair_state(struct core *c, struct err *e);

#endif
