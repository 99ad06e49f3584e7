/* What a principal whose role is user may have at most: the quotas of all, and those that the
 * operator named for one principal (--quotas NAME.WORD=N). */
#ifndef WARMCELL_GATEWAY_NET_ALLOWANCE_H
#define WARMCELL_GATEWAY_NET_ALLOWANCE_H

#include "gateway/settings.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

#define ALLOWANCES_LIMIT 10000 /* of single principals */

/* 0: no limit. memory_bytes and disk_bytes are sums of the limits of sandboxes. */
struct allowance {
    int64_t sandboxes, kernels, memory_bytes, disk_bytes, requests;
};

/* Its numbers by name: "sandboxes", "kernels", "memory_bytes", "disk_bytes", "requests". */
struct allowance_word {
    const char *name;
    size_t offset; /* of the int64_t in struct allowance */
};
extern const struct allowance_word allowance_words[];
extern const size_t allowance_word_count;

/* 400: --quotas says what cannot be understood. */
bool allowances_check(const struct settings_quota *settings, struct err *e);
/* Of settings that were checked. */
void allowance_of(const struct settings_quota *settings, const char *principal,
                  struct allowance *out);

#endif
