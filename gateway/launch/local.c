/* Starts hosts on this machine, each in a session of its own, so that they outlive the gateway.
 *
 * A spec whose program takes --uplink is that program; every other one runs behind warmcell-kernel
 * --relay, which gives it the same uplink, lease and unacknowledged log. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/launch/kernelspec.h"
#include "gateway/launch/process.h"
#include "gateway/launch/provisioner.h"
#include "gateway/launch/spawn.h"
#include "gateway/place.h"
#include "protocol/bytes.h"

#define UPLINK_BACKLOG 16

struct substitution {
    const char *name;
    const char *value;
};

/* Replaces {connection_file} and its like; what is not known stays as it is. */
static char *substitute(const char *text, const struct substitution *list, size_t count)
{
    struct buffer out = {0};
    while (*text) {
        size_t i = 0;
        while (i < count && strncmp(text, list[i].name, strlen(list[i].name)) != 0)
            i++;
        if (i < count) {
            buffer_add_text(&out, list[i].value);
            text += strlen(list[i].name);
        } else {
            buffer_add(&out, text++, 1);
        }
    }
    size_t len;
    return buffer_take(&out, &len);
}

static bool is_python(const char *word)
{
    return strcmp(word, "python") == 0 || strcmp(word, "python3") == 0;
}

static void add_uplink(const struct launch *launch, struct words *w)
{
    words_add(w, xstrdup("--uplink"));
    words_add(w, xasprintf("%s/host.sock", launch->dir));
    words_add(w, xstrdup("--uplink-fd"));
    words_add(w, xasprintf("%d", SPAWN_HANDED));
    words_add(w, xstrdup("--lease"));
    words_add(w, xasprintf("%lld", (long long)launch->lease_s));
    if (launch->keeper) {
        words_add(w, xstrdup("--keeper"));
        words_add(w, xstrdup(launch->keeper));
    }
    if (launch->sandbox) {
        words_add(w, xstrdup("--sandbox"));
        words_add(w, xstrdup(launch->sandbox));
        words_add(w, xstrdup("--sandbox-plan"));
        words_add(w, xstrdup(launch->sandbox_plan));
        words_add(w, xstrdup("--renew")); /* with its host, more of the sandbox would end */
    }
    if (launch->sandbox && launch->generation) {
        words_add(w, xstrdup("--generation"));
        words_add(w, xasprintf("%lld", (long long)launch->generation));
    }
    if (launch->await_branch) {
        words_add(w, xstrdup("--await-branch"));
        words_add(w, xstrdup(launch->await_branch));
    }
    if (launch->cold)
        words_add(w, xstrdup("--cold"));
}

/* The word number i of the spec's argv, as jupyter_client makes it. Given. */
static char *word_of(const struct launch *launch, size_t i, const char *text)
{
    if (i == 0 && is_python(text) && launch->python[0])
        return xstrdup(launch->python);
    scoped(string) char *connection = xasprintf("%s/connection.json", launch->dir);
    const char *slash = strrchr(launch->python, '/');
    scoped(string) char *bin =
        slash ? xstrndup(launch->python, (size_t)(slash - launch->python)) : xstrdup("/usr/bin");
    slash = strrchr(bin, '/');
    scoped(string) char *prefix = xstrndup(bin, slash ? (size_t)(slash - bin) : strlen(bin));
    const struct substitution known[] = {{"{connection_file}", connection},
                                         {"{resource_dir}", launch->resource_dir},
                                         {"{prefix}", prefix}};
    return substitute(text, known, countof(known));
}

/* The spec's own words without "-f {connection_file}": it is reached through the uplink, and no
 * ZeroMQ socket is needed. Ours come right behind the program, before a "--". */
static void uplink_words(const struct launch *launch, struct words *w)
{
    json_t *argv = json_object_get(launch->spec, "argv"), *word;
    size_t i;
    json_array_foreach(argv, i, word)
    {
        const char *text = json_string_value(word);
        const char *next = json_string_value(json_array_get(argv, i + 1));
        if (strcmp(text, "-f") == 0 && next && strcmp(next, "{connection_file}") == 0) {
            i++;
            continue;
        }
        words_add(w, word_of(launch, i, text));
        if (w->count == 1)
            add_uplink(launch, w);
    }
}

static bool relay_words(const struct launch *launch, struct words *w, struct err *e)
{
    char *program = place_kernel_host();
    if (!program)
        return fail(e, 503,
                    "warmcell-kernel was not found next to this program; set WARMCELL_KERNEL");
    scoped(string) char *connection = xasprintf("%s/connection.json", launch->dir);
    json_t *mode = json_object_get(launch->spec, "interrupt_mode");
    words_add(w, program);
    add_uplink(launch, w);
    words_add(w, xstrdup("--interrupt-mode"));
    words_add(w, xstrdup(mode ? json_string_value(mode) : "signal"));
    words_add(w, xstrdup("--relay"));
    words_add(w, xstrdup(connection));
    words_add(w, xstrdup("--"));
    size_t i;
    json_t *word;
    json_array_foreach(json_object_get(launch->spec, "argv"), i, word)
        words_add(w, word_of(launch, i, json_string_value(word)));
    return true;
}

static int local_listen(const char *dir, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/host.sock", dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        fail(e, 503, "the path %s is too long for a socket", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t old = umask(0177);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    umask(old);
    if (bound && listen(fd, UPLINK_BACKLOG) == 0)
        return fd;
    fail_errno(e, 503, "the socket of a kernel cannot be made");
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool local_start(const struct launch *launch, struct launched *out, struct err *e)
{
    __attribute__((cleanup(words_scoped))) struct words w = {0};
    if (kernelspec_has_uplink(launch->spec))
        uplink_words(launch, &w);
    else if (!relay_words(launch, &w, e))
        return false;
    scoped(string) char *log = xasprintf("%s/host.log", launch->dir);
    const struct spawn_plan plan = {w.word, launch->env->vars, launch->cwd, log, launch->listener};
    if (!spawn_session(&plan, &out->pid, e))
        return false;
    out->start_ticks = process_start(out->pid); /* 0: it ended already, and pidfd will tell */
    out->pidfd = process_watch(out->pid, 0);
    if (out->pidfd >= 0)
        return true;
    kill(out->pid, SIGKILL);
    return fail_errno(e, 503, "the started kernel cannot be watched");
}

const struct provisioner local_provisioner = {"local", local_listen, local_start};
