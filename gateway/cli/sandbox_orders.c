/* `warmcell sandbox pause|resume|fork|interrupt|restart`: each is one order to a sandbox that is
 * there. */
#include <stdio.h>

#include "gateway/cli/body.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/model.h"
#include "gateway/cli/sandbox.h"
#include "protocol/json.h"

/* POST to what is below a sandbox; the answer is given to the caller. */
static json_t *order(const struct cli *c, const char *what, const json_t *body, struct err *e)
{
    char id[SANDBOX_ID_TEXT];
    if (!cli_sandbox_find(c->target, c->words[0], id, e))
        return NULL;
    scoped(string) char *path = xasprintf("/v1/sandboxes/%s/%s", id, what);
    return call_json(c->target, "POST", path, body, e);
}

/* Says nothing but, with --json, what the gateway answered. */
static bool order_quietly(const struct cli *c, const char *what, struct err *e)
{
    scoped(json) json_t *model = order(c, what, NULL, e);
    if (model && c->json)
        model_print(model);
    return model != NULL;
}

static bool pause_run(struct cli *c, struct err *e)
{
    return order_quietly(c, "pause", e);
}

static bool interrupt_run(struct cli *c, struct err *e)
{
    return order_quietly(c, "interrupt", e);
}

static bool restart_run(struct cli *c, struct err *e)
{
    return order_quietly(c, "restart", e);
}

/* What did not come back is told, on stderr: the sandbox runs. */
static void tell_missed_variables(const json_t *answer)
{
    const json_t *context, *variable;
    size_t i, j;
    json_array_foreach(json_object_get(answer, "contexts"), i, context)
    {
        scoped(string) char *name = model_shown(context, "name");
        scoped(string) char *problem = model_shown(context, "problem");
        if (json_is_string(json_object_get(context, "problem")))
            fprintf(stderr, "%s: %s\n", name, problem);
        json_array_foreach(json_object_get(context, "not_restored"), j, variable)
        {
            scoped(string) char *missed = model_shown(variable, "name");
            scoped(string) char *reason = model_shown(variable, "reason");
            fprintf(stderr, "%s: %s was not restored: %s\n", name, missed, reason);
        }
    }
}

static bool resume_run(struct cli *c, struct err *e)
{
    scoped(json) json_t *answer = order(c, "resume", NULL, e);
    if (answer && c->json)
        model_print(answer);
    else
        tell_missed_variables(answer);
    return answer != NULL;
}

/* --- fork */

struct fork_options {
    struct cli_options common;
    struct string_list labels;
    char *name;
    bool force;
};

#define FORK(field) offsetof(struct fork_options, field)

static const struct option fork_rows[] = {
    CLI_ROWS,
    {"name", OPTION_TEXT, FORK(name), NULL, .help = "what the copy is called", .flag_only = true},
    {"label", OPTION_LIST, FORK(labels), NULL,
     .help = "the labels of the copy, each as NAME=TEXT, in place of those of the first",
     .flag_only = true},
    {"force", OPTION_BOOL, FORK(force), NULL,
     .help = "contexts that are busy or cannot be saved begin empty in the copy",
     .flag_only = true},
};

static void tell_missed_files(const json_t *workspace)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(workspace, "changed"), i, one)
    {
        scoped(string) char *path = model_shown(one, NULL);
        fprintf(stderr, "%s was written to as it was copied\n", path);
    }
    json_array_foreach(json_object_get(workspace, "not_copied"), i, one)
    {
        scoped(string) char *path = model_shown(one, "path");
        scoped(string) char *reason = model_shown(one, "reason");
        fprintf(stderr, "%s was not copied: %s\n", path, reason);
    }
}

static bool fork_run(struct cli *c, struct err *e)
{
    const struct fork_options *o = c->options;
    scoped(json) json_t *body = json_object();
    if (!body_text(body, "name", o->name, e) || !body_pairs(body, "labels", "label", &o->labels, e))
        return false;
    if (o->force)
        json_object_set_new(body, "force", json_true());
    scoped(json) json_t *answer = order(c, "fork", body, e);
    if (answer && c->json) {
        model_print(answer);
    } else if (answer) {
        puts(model_text(json_object_get(answer, "sandbox"), "id"));
        tell_missed_variables(answer);
        tell_missed_files(json_object_get(answer, "workspace"));
    }
    return answer != NULL;
}

/* --- the verbs */

#define ONE_SANDBOX .words = "SANDBOX", .min_words = 1, .max_words = 1

const struct verb cli_sandbox_pause = {
    .name = "sandbox pause",
    ONE_SANDBOX,
    CLI_PLAIN,
    .help = "save its variables and end its processes; the files stay",
    .run = pause_run,
};

const struct verb cli_sandbox_resume = {
    .name = "sandbox resume",
    ONE_SANDBOX,
    CLI_PLAIN,
    .help = "start it again with its variables; those that do not come back are told on stderr",
    .run = resume_run,
};

const struct verb cli_sandbox_fork = {
    .name = "sandbox fork",
    ONE_SANDBOX,
    .help = "make another one with its variables and its files, and print its id; what is not in "
            "the copy is told on stderr",
    .options = fork_rows,
    .option_count = countof(fork_rows),
    .options_size = sizeof(struct fork_options),
    .run = fork_run,
};

const struct verb cli_sandbox_interrupt = {
    .name = "sandbox interrupt",
    ONE_SANDBOX,
    CLI_PLAIN,
    .help = "interrupt what its contexts run",
    .run = interrupt_run,
};

const struct verb cli_sandbox_restart = {
    .name = "sandbox restart",
    ONE_SANDBOX,
    CLI_PLAIN,
    .help = "begin its contexts anew, without variables; the files stay",
    .run = restart_run,
};
