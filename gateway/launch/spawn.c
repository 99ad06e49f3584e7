/* posix_spawn with what every program of ours needs. Used by the provisioner for hosts and by the
 * keeper's starter. */
#include "gateway/launch/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/bytes.h"
#include "protocol/utf8.h"

#define LAST_LINE_BYTES 300

void words_add(struct words *w, char *word)
{
    w->word = xrealloc(w->word, (w->count + 2) * sizeof(*w->word));
    w->word[w->count++] = word;
    w->word[w->count] = NULL;
}

void words_free(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->word[i]);
    free(w->word);
    *w = (struct words){0};
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

static bool set_actions(posix_spawn_file_actions_t *actions, const struct spawn_plan *plan)
{
    return posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
           posix_spawn_file_actions_addopen(actions, 1, plan->log, O_WRONLY | O_CREAT | O_APPEND,
                                            0600) == 0 &&
           posix_spawn_file_actions_adddup2(actions, 1, 2) == 0 &&
           (!plan->handed ||
            posix_spawn_file_actions_adddup2(actions, plan->handed, SPAWN_HANDED) == 0) &&
           posix_spawn_file_actions_addclosefrom_np(actions, plan->handed ? SPAWN_HANDED + 1
                                                                          : SPAWN_HANDED) == 0 &&
           (!plan->cwd || posix_spawn_file_actions_addchdir_np(actions, plan->cwd) == 0);
}

bool spawn_session(const struct spawn_plan *plan, pid_t *pid, struct err *e)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&actions);
    int result = ENOMEM;
    if (set_attributes(&attributes) && set_actions(&actions, plan))
        result = posix_spawnp(pid, plan->argv[0], &actions, &attributes, plan->argv, plan->env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    errno = result;
    return result == 0 || fail_errno(e, 502, "%s could not be started", plan->argv[0]);
}

int64_t spawn_log_bytes(const char *log)
{
    struct stat st;
    return stat(log, &st) == 0 ? st.st_size : 0;
}

char *spawn_last_line(const char *log, int64_t from)
{
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char text[LAST_LINE_BYTES + 1];
    off_t size = lseek(fd, 0, SEEK_END);
    off_t at = size - LAST_LINE_BYTES > from ? size - LAST_LINE_BYTES : (off_t)from;
    ssize_t len = at < size ? pread(fd, text, LAST_LINE_BYTES, at) : 0;
    close(fd);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\0'))
        len--;
    if (len <= 0)
        return NULL;
    text[len] = '\0';
    const char *newline = strrchr(text, '\n');
    struct buffer clean = {0};
    utf8_clean(&clean, bytes_of(newline ? newline + 1 : text));
    return buffer_take(&clean, NULL);
}
