/* How many requests a principal may make in a second: a bucket for each, which fills steadily and
 * holds what may come at once. */
#ifndef WARMCELL_GATEWAY_NET_RATE_H
#define WARMCELL_GATEWAY_NET_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate;

struct rate *rate_new(void);
void rate_free(struct rate *r);

/* One more of this principal, who may make per_second (1 or more), and as many at once; false: too
 * many. now_ms is monotonic. */
bool rate_take(struct rate *r, const char *principal, int64_t per_second, int64_t now_ms);

#endif
