/* A small script says what the Python is. */
#include "gateway/python.h"

#include <string.h>

#include "gateway/probe.h"
#include "protocol/bytes.h"

static const char script[] = "import sys\n"
                             "print(sys.prefix)\n"
                             "print('%d.%d.%d' % sys.version_info[:3])\n"
                             "import IPython\n"
                             "print(IPython.__version__)\n";

static char *line_take(const char **text)
{
    size_t len = strcspn(*text, "\n");
    char *line = xstrndup(*text, len);
    *text += len + ((*text)[len] == '\n');
    return line;
}

static bool judge(struct python *p, const char *answer, struct err *e)
{
    p->prefix = line_take(&answer);
    p->version = line_take(&answer);
    scoped(string) char *ipython = line_take(&answer);
    if (strncmp(p->version, "3.", 2) != 0 || p->prefix[0] != '/')
        return fail(e, 400, "--python: %s does not run as a Python 3", p->executable);
    if (!*ipython)
        return fail(
            e, 400,
            "--python: %s cannot import IPython; install it with: %s -m pip install ipython",
            p->executable, p->executable);
    return true;
}

bool python_probe(const char *name, struct python *out, struct err *e)
{
    scoped(buffer) struct buffer answer = {0};
    *out = (struct python){.executable = probe_path(name)};
    if (!*out->executable)
        return fail(e, 400, "--python: there is no %s on PATH", name);
    char *argv[] = {out->executable, "-c", (char *)script, NULL};
    struct err why = {0};
    if (!probe_run(argv, &answer, &why))
        return fail(e, 400, "--python: %s", why.text);
    return judge(out, buffer_text(&answer), e);
}

void python_free(struct python *p)
{
    free(p->executable);
    free(p->prefix);
    free(p->version);
    *p = (struct python){0};
}
