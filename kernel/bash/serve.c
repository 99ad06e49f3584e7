/* The module that warmcell-bash loads into its bash: the loop that runs the code of cells, in place
 * of the one that reads commands from a terminal or a file. So a cell has no text on its stdin, and
 * an error or an interrupt ends the cell, not the shell, as at a prompt.
 *
 * Invariant: top_level is set wherever code of the user runs; what bash has jumped out of is undone
 * before the next code. */
#include "kernel/bash/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/bash/control.h"
#include "kernel/python/memory_peak.h"
#include "protocol/pipe_page.h"

#define LEAST_INNER_STATUS 256 /* bash's own for code that it cannot parse */
#define SYNTAX_STATUS      2

/* Static: it is looked at after a jump. */
static struct {
    const struct pipe_page *page;
    bool early; /* a SIGINT came while no cell ran */
    char *code; /* what runs; freed when it has */
    int how;
} served;

bool shell_say(const struct control *what, const char *text, const int *fds, size_t count)
{
    struct control head = *what;
    head.text_bytes = (uint32_t)(text ? what->text_bytes : 0);
    struct iovec parts[] = {{&head, sizeof head}, {(void *)text, head.text_bytes}};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(CONTROL_DESCRIPTORS * sizeof(int))];
    } ancillary = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (count) {
        message.msg_control = &ancillary;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
    }
    ssize_t sent;
    while ((sent = sendmsg(CONTROL_FD, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    return sent >= 0;
}

bool shell_await(int fd)
{
    sigset_t interrupt, before;
    struct pollfd wanted = {fd, POLLIN, 0};
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    while (!interrupt_state && ppoll(&wanted, 1, NULL, &before) < 0)
        ;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !interrupt_state;
}

char *shell_answer(int fd)
{
    size_t len = 0, room = 256;
    char *text = malloc(room);
    ssize_t got = 0;
    while (text && shell_await(fd) && (got = read(fd, text + len, room - len - 1)) > 0) {
        len += (size_t)got;
        if (room - len < 2)
            text = realloc(text, room *= 2);
    }
    close(fd);
    if (interrupt_state) {
        free(text);
        throw_to_top_level();
        return NULL;
    }
    if (text)
        text[len] = '\0';
    return text;
}

static int64_t cpu_us(void)
{
    int64_t sum = 0;
    static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (size_t i = 0; i < 2; i++) {
        struct rusage used;
        getrusage(whose[i], &used);
        sum += (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * INT64_C(1000000) +
               used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    }
    return sum;
}

/* What was used before a run. */
struct used {
    int64_t cpu_us, children_peak_bytes;
};

static const struct used nothing;

static void tell_end(enum control_kind kind, int status, const struct used *before)
{
    struct control end = {.kind = kind,
                          .status = status,
                          .cpu_us = cpu_us() - before->cpu_us,
                          .memory_peak_bytes = memory_peak_bytes(before->children_peak_bytes)};
    if (!shell_say(&end, NULL, NULL, 0))
        _exit(1);
}

/* The next order and its code (owned); false: the driver wants the shell to end. */
static bool next_order(struct control *order, char **code)
{
    struct iovec part = {order, sizeof *order};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } ancillary;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof ancillary};
    ssize_t got;
    while ((got = recvmsg(CONTROL_FD, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *rights = got == sizeof *order ? CMSG_FIRSTHDR(&message) : NULL;
    if (!rights)
        return false;
    int fd;
    memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    struct stat found;
    size_t len = fstat(fd, &found) == 0 ? (size_t)found.st_size : 0, at = 0;
    *code = malloc(len + 1);
    while (*code && at < len && (got = pread(fd, *code + at, len - at, (off_t)at)) > 0)
        at += (size_t)got;
    close(fd);
    if (*code)
        (*code)[at] = '\0';
    return *code != NULL;
}

/* What a jump has left of loops, functions and temporary environments: bash itself undoes it. */
static void undo(void)
{
    int status = last_command_exit_value;
    interrupt_state = 0;
    if (sigsetjmp(top_level, 0) == JUMP_NONE)
        throw_to_top_level();
    last_command_exit_value = status;
    set_pipestatus_from_exit(status);
}

/* How the code ended. */
static enum shell_jump run(char *code)
{
    served.code = code;
    served.how = sigsetjmp(top_level, 0);
    if (served.how == JUMP_NONE)
        parse_and_execute(served.code, "cell",
                          EXECUTE_NO_HISTORY | EXECUTE_NO_FREE | EXECUTE_RESET_LINE);
    else if (served.how != JUMP_DISCARD && !subshell_environment)
        undo();
    free(served.code);
    fflush(stdout);
    return (enum shell_jump)served.how;
}

static bool wants_exit(enum shell_jump how)
{
    return how == JUMP_EXIT || how == JUMP_EXIT_BUILTIN || how == JUMP_SIGEXIT;
}

static void run_cell(const struct control *order, char *code)
{
    static struct used before; /* as all here, it must survive a jump */
    bool early = served.early;
    served.early = false;
    before = (struct used){cpu_us(), memory_peak_of_children()};
    memory_peak_forget();
    if (early && served.page && atomic_load(&served.page->interrupted) == order->number) {
        free(code);
        tell_end(CONTROL_INTERRUPTED, 128 + SIGINT, &before);
        return;
    }
    enum shell_jump how = run(code);
    int status = last_command_exit_value;
    if (subshell_environment)
        exit_shell(status);
    if (wants_exit(how)) {
        tell_end(CONTROL_EXIT, status, &before);
        exit_shell(status);
    }
    bool interrupted = how == JUMP_DISCARD && status == 128 + SIGINT;
    tell_end(interrupted                    ? CONTROL_INTERRUPTED
             : status >= LEAST_INNER_STATUS ? CONTROL_SYNTAX
                                            : CONTROL_DONE,
             status, &before);
    if (status >= LEAST_INNER_STATUS)
        last_command_exit_value = SYNTAX_STATUS;
}

static void run_aside(char *code)
{
    static int saved[2], status;
    static sigset_t interrupt, before;
    int there = last_command_exit_value;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    for (int fd = 1; fd <= 2; fd++) {
        saved[fd - 1] = fcntl(fd, F_DUPFD_CLOEXEC, CONTROL_FD);
        dup2(CONTROL_ASIDE_FD, fd);
    }
    run(code);
    status = last_command_exit_value;
    for (int fd = 1; fd <= 2; fd++) {
        if (saved[fd - 1] >= 0)
            dup2(saved[fd - 1], fd);
        else
            close(fd); /* as the user has left it */
        close(saved[fd - 1]);
    }
    last_command_exit_value = there;
    set_pipestatus_from_exit(there);
    sigprocmask(SIG_SETMASK, &before, NULL);
    tell_end(CONTROL_DONE, status, &nothing);
}

static void keep_descriptors_from_children(void)
{
    for (int fd = CONTROL_FD; fd <= CONTROL_STDIN_FD; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Never returns: what called it has been forgotten, so that a jump ends here. */
static int serve(struct word_list *words)
{
    (void)words;
    void *page = mmap(NULL, sizeof(struct pipe_page), PROT_READ, MAP_SHARED, CONTROL_PAGE_FD, 0);
    served.page = page == MAP_FAILED ? NULL : page;
    keep_descriptors_from_children();
    clear_unwind_protect_list(0);
    parse_and_execute_level = 0;
    interactive = interactive_shell = startup_state = 1;
    set_sigint_handler();
    tell_end(CONTROL_READY, 0, &nothing);
    static struct control order;
    static char *code;
    while (next_order(&order, &code)) {
        served.early = served.early || interrupt_state;
        interrupt_state = 0;
        if (order.kind == CONTROL_RUN)
            run_cell(&order, code);
        else
            run_aside(code);
    }
    exit_shell(last_command_exit_value);
}

static const char *const serve_doc[] = {"Runs the cells of a kernel; the kernel itself starts it.",
                                        NULL};
extern struct builtin warmcell_serve_struct;
struct builtin warmcell_serve_struct = {
    "warmcell_serve", serve, BUILTIN_ENABLED, serve_doc, "warmcell_serve", NULL,
};
