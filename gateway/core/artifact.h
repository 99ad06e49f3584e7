/* The scan: everything worth keeping that kernels display, found off the loop and stored once by
 * SHA-256.
 *
 * display_data, execute_result and update_display_data are looked at for what artifact_mime_wanted
 * says. One batch is scanned at a time, so that artifacts are numbered in the order of
 * the output. What does not fit the limits leaves a row that says so. */
#ifndef WARMCELL_GATEWAY_CORE_ARTIFACT_H
#define WARMCELL_GATEWAY_CORE_ARTIFACT_H

#include <uv.h>

#include "gateway/net/principal.h"
#include "gateway/net/websocket.h"
#include "gateway/store/artifact_table.h"
#include "protocol/bytes.h"

#define ARTIFACT_LIMIT_BYTES (512 * 1024 * 1024)
#define ARTIFACTS_PER_KERNEL 100000
#define SCAN_HIGH_WATER_BYTES                                                                      \
    (64 * 1024 * 1024) /* waiting to be scanned: kernels are not read beyond */
#define SCAN_LOW_WATER_BYTES (16 * 1024 * 1024)

struct core;
struct kernel;
struct scan;

/* Messages of this type may hold artifacts. */
bool artifact_may_hold(struct bytes msg_type);
/* image/, audio/, video/ and anything; PDF, HTML, Markdown, LaTeX; JSON, and all of vnd.…+json but
 * what Jupyter's widgets are made of. */
bool artifact_mime_wanted(struct bytes mime_type);

/* What was kept of who's (of everybody's for an admin), oldest first: see artifact_table_list. */
void artifacts_list(struct core *c, const struct principal *who, const struct artifact_query *query,
                    void (*done)(void *user, const struct artifact *list, size_t count,
                                 const struct err *e),
                    void *user);

/* Forgets one of who's (of anybody's for an admin): see artifact_table_remove. */
void artifact_remove(struct core *c, const struct principal *who, const char *id,
                     void (*done)(void *user, const struct err *e), void *user);

/* The file with an artifact's bytes; given to the caller. NULL: they were not kept. */
char *artifact_path(const struct core *c, const struct artifact *a);

struct scan *scan_new(struct core *c);

/* batch (whole journal records, referenced) is looked at; NULL: there is nothing in it. last is its
 * last sequence: the kernel's place of the scan moves there when all before it is stored. */
void scan_add(struct scan *s, struct kernel *k, struct shared *batch, uint64_t last);

/* Reads what a kernel's journal holds behind the place of the scan: after a restart of the gateway.
 */
void scan_catch_up(struct scan *s, struct kernel *k);

/* Forgets a kernel that ends; what was found already is stored. */
void scan_forget(struct scan *s, struct kernel *k);
/* What was added so far, and whether all of that is looked at and stored. */
uint64_t scan_ticket(const struct scan *s);
bool scan_passed(const struct scan *s, uint64_t ticket);
bool scan_idle(const struct scan *s);
void scan_free(struct scan *s); /* only when idle */

#endif
