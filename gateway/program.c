#include "gateway/program.h"

#include <ctype.h>
#include <string.h>

#include "gateway/probe.h"
#include "protocol/bytes.h"

#define VERSION_CHARACTERS "0123456789."

/* Where the number begins that stands behind the mark; NULL: nowhere. */
static const char *number_of(const char *text, const char *mark)
{
    const char *at = strstr(text, mark);
    return at && isdigit((unsigned char)at[strlen(mark)]) ? at + strlen(mark) : NULL;
}

bool program_probe(const struct language *l, const char *name, struct program *out, struct err *e)
{
    scoped(buffer) struct buffer answer = {0};
    struct err why = {0};
    name = name ? name : l->program;
    *out = (struct program){.executable = probe_path(name)};
    if (!*out->executable)
        return fail(e, 400, "--program: there is no %s on PATH; install %s", name, l->package);
    char *argv[] = {out->executable, "--version", NULL};
    if (!probe_run(argv, &answer, &why))
        return fail(e, 400, "--program: %s", why.text);
    const char *number = number_of(buffer_text(&answer), l->version_mark);
    if (!number)
        return fail(e, 400, "--program: %s does not run as %s", out->executable, l->title);
    out->version = xstrndup(number, strspn(number, VERSION_CHARACTERS));
    return atoi(number) >= l->oldest ||
           fail(e, 400, "--program: %s is %s %s; %d or newer is needed", out->executable, l->title,
                out->version, l->oldest);
}

void program_free(struct program *p)
{
    free(p->executable);
    free(p->version);
    *p = (struct program){0};
}
