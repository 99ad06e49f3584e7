/* One piece of work on a workspace, on libuv's threads; the first member of what it works on.
 * Shared by the file*.c of this folder alone. */
#ifndef WARMCELL_GATEWAY_CORE_FILE_JOB_H
#define WARMCELL_GATEWAY_CORE_FILE_JOB_H

#include "gateway/core/state.h"
#include "gateway/files/touched.h"

struct file_job {
    uv_work_t work;
    struct core *core;
    char *workspace;         /* owned */
    int64_t uid;             /* whom to act as */
    struct sandbox_use *use; /* owned: it keeps the sandbox awake; NULL */
    struct err why;          /* status 0: it went well */
    struct touched touched;  /* added to by run; synced when it has returned */
    bool goes_on; /* said by run: there are more steps of this change, and nobody is told yet */
    void (*before)(struct file_job *job); /* with the gateway's own identity; NULL: nothing */
    void (*run)(struct file_job *job, int root);
    void (*done)(struct file_job *job); /* on the loop; may free it */
};

void file_job_set(struct file_job *job, struct sandbox *s); /* it uses s from now on */
void file_job_clear(struct file_job *job);
/* One at a time. The core is not drained before done was called. 503: also of what is done, but not
 * on the disk where it must be. */
void file_job_start(struct file_job *job, void (*run)(struct file_job *job, int root),
                    void (*done)(struct file_job *job));

#endif
