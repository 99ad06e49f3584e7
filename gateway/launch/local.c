/* Starts hosts on this machine, each in a session of its own, so that they outlive the gateway.
 *
 * A spec whose program takes --uplink is that program; every other one runs behind warmcell-kernel
 * --relay, which gives it the same uplink, lease and unacknowledged log. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/launch/kernelspec.h"
#include "gateway/launch/process.h"
#include "gateway/launch/provisioner.h"
#include "gateway/place.h"
#include "protocol/bytes.h"

/* Owned words; word[count] is NULL. */
struct words {
    char **word;
    size_t count;
};

static void words_scoped(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->word[i]);
    free(w->word);
}

static void add_word(struct words *w, char *word) /* taken */
{
    w->word = xrealloc(w->word, (w->count + 2) * sizeof(*w->word));
    w->word[w->count++] = word;
    w->word[w->count] = NULL;
}

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
    add_word(w, xstrdup("--uplink"));
    add_word(w, xasprintf("%s/host.sock", launch->dir));
    add_word(w, xstrdup("--lease"));
    add_word(w, xasprintf("%lld", (long long)launch->lease_s));
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
        add_word(w, xstrdup(text));
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
    const char *slash = strrchr(launch->python, '/');
    scoped(string) char *bin =
        slash ? xstrndup(launch->python, (size_t)(slash - launch->python)) : xstrdup("/usr/bin");
    slash = strrchr(bin, '/');
    scoped(string) char *prefix = xstrndup(bin, slash ? (size_t)(slash - bin) : strlen(bin));
    const struct substitution known[] = {{"{connection_file}", connection},
                                         {"{resource_dir}", launch->resource_dir},
                                         {"{prefix}", prefix}};
    json_t *mode = json_object_get(launch->spec, "interrupt_mode");
    add_word(w, program);
    add_uplink(launch, w);
    add_word(w, xstrdup("--interrupt-mode"));
    add_word(w, xstrdup(mode ? json_string_value(mode) : "signal"));
    add_word(w, xstrdup("--relay"));
    add_word(w, xstrdup(connection));
    add_word(w, xstrdup("--"));
    size_t i;
    json_t *word;
    json_array_foreach(json_object_get(launch->spec, "argv"), i, word)
    {
        const char *text = json_string_value(word);
        bool ours = i == 0 && is_python(text) && launch->python[0];
        add_word(w, ours ? xstrdup(launch->python) : substitute(text, known, countof(known)));
    }
    return true;
}

static bool set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF) == 0 &&
           posix_spawnattr_setsigmask(attributes, &none) == 0 &&
           posix_spawnattr_setsigdefault(attributes, &all) == 0;
}

static bool set_actions(posix_spawn_file_actions_t *actions, const struct launch *launch)
{
    scoped(string) char *log = xasprintf("%s/host.log", launch->dir);
    return posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
           posix_spawn_file_actions_addopen(actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600) ==
               0 &&
           posix_spawn_file_actions_adddup2(actions, 1, 2) == 0 &&
           posix_spawn_file_actions_addclosefrom_np(actions, 3) == 0 &&
           (!launch->cwd || posix_spawn_file_actions_addchdir_np(actions, launch->cwd) == 0);
}

static bool spawn(const struct launch *launch, struct words *w, pid_t *pid, struct err *e)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&actions);
    int result = ENOMEM;
    if (set_attributes(&attributes) && set_actions(&actions, launch))
        result = posix_spawnp(pid, w->word[0], &actions, &attributes, w->word, launch->env->vars);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    errno = result;
    return result == 0 || fail_errno(e, 502, "the kernel could not be started: %s", w->word[0]);
}

static bool local_start(const struct launch *launch, struct launched *out, struct err *e)
{
    __attribute__((cleanup(words_scoped))) struct words w = {0};
    if (kernelspec_has_uplink(launch->spec))
        uplink_words(launch, &w);
    else if (!relay_words(launch, &w, e))
        return false;
    if (!spawn(launch, &w, &out->pid, e))
        return false;
    out->start_ticks = process_start(out->pid); /* 0: it ended already, and pidfd will tell */
    out->pidfd = process_watch(out->pid, 0);
    if (out->pidfd >= 0)
        return true;
    kill(out->pid, SIGKILL);
    return fail_errno(e, 503, "the started kernel cannot be watched");
}

const struct provisioner local_provisioner = {"local", local_start};
