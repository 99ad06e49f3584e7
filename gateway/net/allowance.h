/* What a principal whose role is user may have at most: the quotas of all, and those that the
 * operator named for one principal (--quotas NAME.WORD=N). */
#ifndef WARMCELL_GATEWAY_NET_ALLOWANCE_H
#define WARMCELL_GATEWAY_NET_ALLOWANCE_H

#include <jansson.h>

#include "gateway/settings.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

#define ALLOWANCES_LIMIT 10000 /* of single principals */
#define ALLOWANCE_MOST   INT64_C(999999999999999999)

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
int64_t allowance_number(const struct allowance *allowance, const struct allowance_word *word);

/* "NAME" of {"NAME": N or null}: 400 names what is no quota, or no whole number from 1 on; what is
 * null or not there is none. object: NULL: none at all. */
bool allowance_read(json_t *object, struct allowance *out, struct err *e);
/* Every word of it, null for none; given. */
json_t *allowance_json(const struct allowance *allowance);

/* 400: --quotas says what cannot be understood. */
bool allowances_check(const struct settings_quota *settings, struct err *e);
/* Of settings that were checked. */
void allowance_of(const struct settings_quota *settings, const char *principal,
                  struct allowance *out);

#endif
