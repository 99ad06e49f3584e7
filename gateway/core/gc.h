/* The pass that forgets what nobody wants kept any longer: by the clock, and when it is asked for.
 */
#ifndef WARMCELL_GATEWAY_CORE_GC_H
#define WARMCELL_GATEWAY_CORE_GC_H

#include "gateway/core/core.h"
#include "gateway/store/retention_table.h"

/* By the rules of the options; see retention_run. */
void gc_run(struct core *c, bool dry_run,
            void (*done)(void *user, const struct retention_report *report, const struct err *e),
            void *user);

/* Of core alone: soon after the start, for gateways that never live for long, and once an hour. */
void gc_tick(struct core *c, int64_t now_ms);

#endif
