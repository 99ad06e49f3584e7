/* `warmcell gc`: forgets what need not be kept, by a gateway that runs, or in the state folder of
 * one that does not. */
#include <stdio.h>

#include "gateway/cli/call.h"
#include "gateway/cli/cli.h"
#include "gateway/store/retention_table.h"
#include "protocol/json.h"

struct gc_options {
    struct cli_options common;
    bool dry_run;
    char *state_dir;
    int64_t executions_days, artifacts_days, artifacts_keep, artifacts_bytes;
};

static const struct option rows[] = {
    CLI_ROWS,
    {"dry-run", OPTION_BOOL, offsetof(struct gc_options, dry_run), NULL,
     .help = "only count what would go", .flag_only = true},
    {"state-dir", OPTION_TEXT, offsetof(struct gc_options, state_dir), NULL,
     .help = "the state folder of a gateway that does not run; the rules that follow are for it "
             "alone, a gateway that runs has its own",
     .flag_only = true},
    {"executions-days", OPTION_INT, offsetof(struct gc_options, executions_days), "0", .low = 0,
     .high = 100000, .help = "as the gateway's option", .flag_only = true},
    {"artifacts-days", OPTION_INT, offsetof(struct gc_options, artifacts_days), "0", .low = 0,
     .high = 100000, .help = "as the gateway's option", .flag_only = true},
    {"artifacts-keep", OPTION_INT, offsetof(struct gc_options, artifacts_keep), "0", .low = 0,
     .high = 1000000000, .help = "as the gateway's option", .flag_only = true},
    {"artifacts-bytes", OPTION_INT, offsetof(struct gc_options, artifacts_bytes), "0", .low = 0,
     .high = INT64_C(1) << 50, .help = "as the gateway's option", .flag_only = true},
};

static json_t *run_offline(const struct gc_options *o, struct err *e)
{
    struct retention_report r;
    const struct retention rules = {o->executions_days, o->artifacts_days, o->artifacts_keep,
                                    o->artifacts_bytes};
    if (!retention_run_offline(o->state_dir, &rules, o->dry_run, &r, e))
        return NULL;
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "dry_run", (int)o->dry_run, "executions",
                     (json_int_t)r.executions, "kernels", (json_int_t)r.kernels, "artifacts",
                     (json_int_t)r.artifacts, "blobs", (json_int_t)r.blobs, "blob_bytes",
                     (json_int_t)r.blob_bytes);
}

static json_t *run_online(const struct cli *c, const struct gc_options *o, struct err *e)
{
    struct target target = {0};
    json_t *found = NULL;
    scoped(json) json_t *body = json_pack("{s:b}", "dry_run", (int)o->dry_run);
    if (target_find(o->common.url, o->common.token_file, &target, e))
        found = call_json(&target, "POST", "/v1/gc", body, e);
    target_free(&target);
    (void)c;
    return found;
}

static bool gc_run_verb(struct cli *c, struct err *e)
{
    static const char *const names[] = {"executions", "kernels", "artifacts", "blobs",
                                        "blob_bytes"};
    const struct gc_options *o = c->options;
    scoped(json) json_t *report = o->state_dir ? run_offline(o, e) : run_online(c, o, e);
    if (!report)
        return false;
    if (c->json) {
        scoped(string) char *text = json_dumps(report, JSON_COMPACT);
        puts(text);
        return true;
    }
    for (size_t i = 0; i < countof(names); i++)
        printf("%-10s  %lld\n", names[i],
               (long long)json_integer_value(json_object_get(report, names[i])));
    return true;
}

const struct verb cli_gc = {
    .name = "gc",
    .words = "",
    .help = "forget what the rules of the gateway do not keep, and say what went",
    .options = rows,
    .option_count = countof(rows),
    .options_size = sizeof(struct gc_options),
    .offline = true,
    .run = gc_run_verb,
};
