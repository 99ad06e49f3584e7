/* Whether code is whole: what `bash -n` says of it, in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/bash/tools.h"

#define CODE_FD       3
#define MESSAGE_BYTES 4096

/* What bash says of code that goes on in the next line. */
static const char *const unfinished[] = {
    "unexpected end of file",
    "unexpected EOF while looking for matching",
    "delimited by end-of-file",
};

/* Its status; what it says is in message. */
static int check(const char *bash, int code_fd, char message[MESSAGE_BYTES])
{
    char *const argv[] = {"bash",    "--norc", "--noprofile", "-O",
                          "extglob", "-n",     "/dev/fd/3",   NULL};
    char *const env[] = {"LC_ALL=C", NULL};
    int words = memfd_create("words", MFD_CLOEXEC), status = -1;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, words, 1);
    posix_spawn_file_actions_adddup2(&actions, words, 2);
    posix_spawn_file_actions_adddup2(&actions, code_fd, CODE_FD);
    if (posix_spawn(&pid, bash, &actions, NULL, argv, env) == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    posix_spawn_file_actions_destroy(&actions);
    ssize_t got = pread(words, message, MESSAGE_BYTES - 1, 0);
    message[got > 0 ? got : 0] = '\0';
    close(words);
    return status;
}

static bool goes_on(const char *message, const char *code)
{
    size_t len = strlen(code), slashes = 0;
    while (slashes < len && code[len - 1 - slashes] == '\\')
        slashes++;
    if (slashes % 2)
        return true;
    for (size_t i = 0; i < countof(unfinished); i++)
        if (strstr(message, unfinished[i]))
            return true;
    return false;
}

/* What the next line begins with: as the last, and deeper behind a word that opens a block. */
static json_t *indent_after(const char *code)
{
    static const char *const openers[] = {"do", "then", "else", "{", "(", "in"};
    const char *last = strrchr(code, '\n');
    last = last ? last + 1 : code;
    size_t indent = strspn(last, " \t"), len = strlen(last);
    while (len > indent && strchr(" \t", last[len - 1]))
        len--;
    bool deeper = false;
    for (size_t i = 0; i < countof(openers); i++) {
        size_t n = strlen(openers[i]);
        bool ends = len >= indent + n && memcmp(last + len - n, openers[i], n) == 0;
        deeper = deeper || (ends && (len == indent + n || strchr(" \t;", last[len - n - 1])));
    }
    scoped(string) char *text = xasprintf("%.*s%s", (int)indent, last, deeper ? "  " : "");
    return json_string(text);
}

/* The same for code; -1: it cannot be found out. */
static int check_code(const char *bash, const char *code, char message[MESSAGE_BYTES])
{
    int fd = memfd_create("code", MFD_CLOEXEC);
    size_t len = strlen(code);
    bool written = fd >= 0 && write(fd, code, len) == (ssize_t)len;
    *message = '\0';
    int status = written ? check(bash, fd, message) : -1;
    close(fd);
    return status;
}

char *tools_syntax_error(const char *bash, const char *code)
{
    char message[MESSAGE_BYTES];
    check_code(bash, code, message);
    const char *line = strstr(message, "line ");
    return line ? xstrndup(line, strcspn(line, "\n")) : xstrdup("");
}

json_t *tools_is_whole(const char *bash, const char *code)
{
    char message[MESSAGE_BYTES];
    int status = check_code(bash, code, message);
    if (status < 0)
        return json_pack("{s:s}", "status", "unknown");
    if (goes_on(message, code))
        return json_pack("{s:s, s:o}", "status", "incomplete", "indent", indent_after(code));
    return json_pack("{s:s}", "status", status == 0 ? "complete" : "invalid");
}
