#include "gateway/node.h"

#include <stdio.h>
#include <string.h>

#include "gateway/probe.h"
#include "protocol/bytes.h"

#define OLDEST_MAJOR 18 /* kernel/node/driver.js says so, too */

bool node_probe(const char *name, struct node *out, struct err *e)
{
    scoped(buffer) struct buffer answer = {0};
    struct err why = {0};
    int major = 0;
    *out = (struct node){.executable = probe_path(name)};
    if (!*out->executable)
        return fail(e, 400, "--node: there is no %s on PATH; install nodejs", name);
    char *argv[] = {out->executable, "--version", NULL};
    if (!probe_run(argv, &answer, &why))
        return fail(e, 400, "--node: %s", why.text);
    const char *text = buffer_text(&answer);
    if (sscanf(text, "v%d.", &major) != 1)
        return fail(e, 400, "--node: %s does not run as Node", out->executable);
    out->version = xstrndup(text + 1, strcspn(text + 1, "\n"));
    return major >= OLDEST_MAJOR || fail(e, 400, "--node: %s is Node %s; %d or newer is needed",
                                         out->executable, out->version, OLDEST_MAJOR);
}

void node_free(struct node *n)
{
    free(n->executable);
    free(n->version);
    *n = (struct node){0};
}
