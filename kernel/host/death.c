/* Causes, their names and their sentences. */
#include "kernel/host/death.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define MIB (1024 * 1024)

static const struct {
    const char *word;
    const char *error_name;
} causes[] = {
    [CAUSE_ASKED] = {"asked", "KernelEnded"},
    [CAUSE_EXIT_STATUS] = {"exit_status", "KernelDied"},
    [CAUSE_SIGNAL] = {"signal", "KernelDied"},
    [CAUSE_OOM] = {"oom", "OutOfMemory"},
    [CAUSE_DEADLINE] = {"deadline", "DeadlineExceeded"},
    [CAUSE_OUTPUT_LIMIT] = {"output_limit", "OutputLimitExceeded"},
    [CAUSE_LIMIT] = {"limit", "LimitExceeded"},
    [CAUSE_IDLE] = {"idle", "KernelEnded"},
    [CAUSE_LIFE] = {"life", "KernelEnded"},
    [CAUSE_LEASE] = {"lease", "KernelEnded"},
    [CAUSE_PARENT] = {"parent", "KernelEnded"},
    [CAUSE_START] = {"start", "KernelDied"},
    [CAUSE_CRASH_LOOP] = {"crash_loop", "KernelDied"},
    [CAUSE_KEEPER] = {"keeper", "KernelDied"},
    [CAUSE_RESTART] = {"restart", "KernelRestarted"},
};

const char *cause_word(enum cause cause)
{
    return causes[cause].word;
}

const char *cause_error_name(enum cause cause)
{
    return causes[cause].error_name;
}

enum cause death_cause(const struct interpreter_end *end)
{
    if (end->oom)
        return CAUSE_OOM;
    if (end->breach[0])
        return CAUSE_LIMIT;
    if (end->keeper_lost)
        return CAUSE_KEEPER;
    return !end->unknown && WIFSIGNALED(end->wait_status) ? CAUSE_SIGNAL : CAUSE_EXIT_STATUS;
}

/* "256 MiB", "1.5 MiB", "100 bytes" */
static char *size_text(int64_t bytes)
{
    if (bytes < MIB)
        return xasprintf("%lld bytes", (long long)bytes);
    return bytes % MIB ? xasprintf("%.1f MiB", (double)bytes / MIB)
                       : xasprintf("%lld MiB", (long long)bytes / MIB);
}

static char *memory_text(const struct interpreter_end *end)
{
    if (end->limit_bytes <= 0)
        return xstrdup("the kernel was ended because memory ran out");
    scoped(string) char *limit = size_text(end->limit_bytes);
    if (end->peak_bytes <= 0)
        return xasprintf("the kernel used more than its %s of memory", limit);
    scoped(string) char *peak = size_text(end->peak_bytes);
    return xasprintf("the kernel used more than its %s of memory (peak %s)", limit, peak);
}

char *death_text(const struct interpreter_end *end)
{
    int status = end->wait_status;
    if (end->oom)
        return memory_text(end);
    if (end->breach[0])
        return xstrdup(end->breach);
    if (end->keeper_lost)
        return xstrdup("the keeper of its sandbox ended, and with it everything inside");
    if (end->unknown)
        return xstrdup("the interpreter ended; its status is not known: its keeper had gone");
    if (!WIFSIGNALED(status))
        return xasprintf("the interpreter ended with status %d", WEXITSTATUS(status));
    const char *name = sigabbrev_np(WTERMSIG(status));
    return xasprintf("the interpreter was killed by signal %d (SIG%s)", WTERMSIG(status),
                     name ? name : "?");
}

void seconds_text(int64_t ms, char out[SECONDS_TEXT])
{
    int len = snprintf(out, SECONDS_TEXT, "%lld.%03d", (long long)ms / 1000, (int)(ms % 1000));
    while (out[len - 1] == '0')
        len--;
    if (out[len - 1] == '.')
        len--;
    memcpy(out + len, " s", 3);
}
