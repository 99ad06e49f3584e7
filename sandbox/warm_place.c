/* The rule is in the header; the command that starts the keeper and the hosts that look for it must
 * come to the same path from different names of one Python. */
#include "sandbox/warm_place.h"

#include <libgen.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/memory.h"

#define HEX_BYTES 8

/* What tells one Python from another; NULL: it does not exist. Given. */
static char *identity_of(const char *python)
{
    char real[PATH_MAX];
    scoped(string) char *copy = xstrdup(python);
    const char *folder = dirname(copy);
    scoped(string) char *mark = xasprintf("%s/../pyvenv.cfg", folder);
    const char *what = access(mark, F_OK) == 0 ? folder : python;
    return realpath(what, real) && access(python, X_OK) == 0 ? xstrdup(real) : NULL;
}

static bool is_folder(const char *path)
{
    struct stat found;
    return path && path[0] == '/' && stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static char *base_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
    if (is_folder(runtime))
        return xstrdup(runtime);
    char *path = xasprintf("/run/user/%u", (unsigned)getuid());
    if (is_folder(path))
        return path;
    free(path);
    return is_folder(home) ? xasprintf("%s/.local/state", home) : NULL;
}

char *warm_place(const char *python, struct err *e)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * HEX_BYTES + 1];
    scoped(string) char *identity = identity_of(python);
    if (!identity) {
        fail(e, 400, "%s is no program", python);
        return NULL;
    }
    scoped(string) char *base = base_folder();
    if (!base || EVP_Digest(identity, strlen(identity), digest, NULL, EVP_sha256(), NULL) != 1) {
        fail(e, 503, "there is no folder for sockets: XDG_RUNTIME_DIR and HOME are not set");
        return NULL;
    }
    for (int n = 0; n < HEX_BYTES; n++)
        snprintf(hex + 2 * n, 3, "%02x", digest[n]);
    return xasprintf("%s/warmcell/warm-%s.sock", base, hex);
}
