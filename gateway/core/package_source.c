/* Read once to check the options, and again for each installation. */
#include "gateway/core/package_source.h"

#include <string.h>
#include <strings.h>

#include "protocol/memory.h"
#include "sandbox/proxy.h"

/* Indexes whose files lie elsewhere. */
static const struct {
    const char *index, *files;
} known[] = {
    {"pypi.org", "files.pythonhosted.org"},
    {"test.pypi.org", "test-files.pythonhosted.org"},
};

static bool split(const char *url, struct package_source *out, char **host, struct err *e)
{
    bool tls = strncasecmp(url, "https://", 8) == 0;
    const char *from = tls ? url + 8 : strncasecmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    if (!from || strpbrk(url, " \t\r\n\"'\\?#@") || !strcspn(from, "/"))
        return fail(e, 400,
                    "package-index: must be a URL as https://HOST[:PORT]/PATH, without a name or "
                    "a password in it");
    *host = xstrndup(from, strcspn(from, "/"));
    if (!tls)
        out->trusted = xstrdup(*host);
    return true;
}

static bool read_index(const struct settings_core *settings, struct package_source *out,
                       struct err *e)
{
    scoped(string) char *host = NULL;
    enum network kind;
    struct err why;
    if (!split(settings->package_index, out, &host, e))
        return false;
    json_t *list = json_pack("[s]", host);
    for (size_t i = 0; i < countof(known); i++)
        if (strcasecmp(host, known[i].index) == 0)
            json_array_append_new(list, json_string(known[i].files));
    for (size_t i = 0; i < settings->package_hosts.count; i++)
        json_array_append_new(list, json_string(settings->package_hosts.item[i]));
    out->index = settings->package_index;
    out->network = json_pack("{s:o}", "allow", list);
    return network_read(out->network, &kind, &why) ||
           fail(e, 400, "package-index, package-hosts: %s", why.text);
}

bool package_source_read(const struct settings_core *settings, struct package_source *out,
                         struct err *e)
{
    *out = (struct package_source){.wheels = *settings->wheels ? settings->wheels : NULL};
    if (*settings->package_index)
        return read_index(settings, out, e);
    out->network = json_string("none");
    return true;
}

void package_source_free(struct package_source *source)
{
    json_decref(source->network);
    free(source->trusted);
    *source = (struct package_source){0};
}
