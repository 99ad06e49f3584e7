/* What the routes of a sandbox's files share: v1_files.c reads and changes, v1_uploads.c writes. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_FILES_H
#define WARMCELL_GATEWAY_DIALECT_V1_FILES_H

#include "gateway/core/file.h"
#include "gateway/net/exchange.h"

/* The sandbox of the path; NULL: the exchange was answered. */
struct sandbox *v1_files_sandbox(struct exchange *x, struct core *c);

/* What the request names below the workspace; "" in a route without {path*}. */
const char *v1_files_path(const struct exchange *x);

/* To be saved by a browser, by the last part of path (the workspace: "workspace") and an ending. */
void v1_files_add_disposition(struct exchange *x, const char *path, const char *ending);

/* 413. */
bool v1_files_check_length(int64_t bytes, int64_t limit, struct err *e);

/* ?name, ?name=1, ?name=true; 0 and false are its absence. 400. */
bool v1_files_flag(const struct exchange *x, const char *name, bool *out, struct err *e);

/* If-None-Match (* alone) and If-Match; match is borrowed from the exchange. 400. */
bool v1_files_condition(const struct exchange *x, struct condition *out, struct err *e);

/* Where a path of this sandbox is served; given. */
char *v1_files_url(const struct exchange *x, const char *path);

/* 201 with Location, or 204. etag: NULL or "": none. */
void v1_files_reply_changed(struct exchange *x, bool created, const char *path, const char *etag);

/* "644" or "0755": permissions in octal. 400. */
bool v1_files_mode(const char *text, int *mode, struct err *e);

/* Handlers of v1_files_change.c. */
void v1_files_put_root(struct exchange *x, void *core);
void v1_files_put(struct exchange *x, void *core);
void v1_files_post(struct exchange *x, void *core);
void v1_files_patch(struct exchange *x, void *core);
void v1_files_delete(struct exchange *x, void *core);

/* Writes what the request brings: the whole of a file, or more at its end. */
void v1_files_receive(struct exchange *x, struct core *c, bool append);

/* A folder (or a file) as a tar, form being what ?tar= says; and a tar into a folder. */
void v1_files_pack(struct exchange *x, struct core *c, const char *form);
void v1_files_unpack(struct exchange *x, struct core *c);

/* A name as a JSON string, in which what is not UTF-8 is U+FFFD; given. */
json_t *v1_lossy_text(const char *bytes);

/* What changes in a folder, as events. */
void v1_files_watch(struct exchange *x, struct core *c);

#endif
