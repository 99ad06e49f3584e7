/* The process of bash, and the datagrams to and from it. Invariant: an order is answered, or bash
 * has ended, before the next is sent. */
#include "kernel/bash/shell_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/bash/show.h"

#define MODULE      "warmcell-bash.so"
#define ASIDE_BYTES (16 * 1024 * 1024) /* of what an aside has written, so much is looked at */
#define ROOM_FD     (CONTROL_STDIN_FD + 1)

/* The script makes the words known and runs cells; the words of the user's are "$@" then: none. */
static const char script[] =
    "enable -f \"$1\" warmcell_serve display clear_output read exit || exit 1; "
    "set --; warmcell_serve";

struct said {
    struct control head;
    char text[CONTROL_TEXT_BYTES + 1];
    int fds[CONTROL_DESCRIPTORS];
    size_t fd_count;
};

/* The module stands beside this program; given. */
static char *module_path(void)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    return slash ? xasprintf("%.*s/" MODULE, (int)(slash - self), self) : xstrdup(MODULE);
}

/* fds: for CONTROL_FD and on. */
__attribute__((noreturn)) static void be_bash(const char *bash, const char *module, const int *fds,
                                              size_t count)
{
    int kept[4];
    for (size_t i = 0; i < count; i++)
        kept[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, ROOM_FD);
    for (size_t i = 0; i < count; i++)
        if (dup2(kept[i], CONTROL_FD + (int)i) < 0)
            _exit(127);
    dup2(CONTROL_STDIN_FD, 0);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    execl(bash, "bash", "--norc", "--noprofile", "-O", "expand_aliases", "-c", script, "bash",
          module, (char *)NULL);
    dprintf(STDERR_FILENO, "warmcell-bash: cannot run %s: %s\n", bash, strerror(errno));
    _exit(127);
}

static void reap(struct shell *s)
{
    pid_t got;
    while ((got = waitpid(s->pid, &s->wait_status, 0)) < 0 && errno == EINTR)
        ;
    s->pid = 0;
}

static void close_fds(struct said *said)
{
    while (said->fd_count > 0)
        close(said->fds[--said->fd_count]);
}

/* One datagram; false: there will be no more. */
static bool receive(struct shell *s, struct said *out)
{
    struct iovec parts[] = {{&out->head, sizeof out->head}, {out->text, CONTROL_TEXT_BYTES}};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(CONTROL_DESCRIPTORS * sizeof(int))];
    } ancillary;
    struct msghdr message = {.msg_iov = parts,
                             .msg_iovlen = countof(parts),
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof ancillary};
    ssize_t got;
    while ((got = recvmsg(s->control_fd, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    out->fd_count = 0;
    if (got < (ssize_t)sizeof out->head)
        return false;
    out->text[(size_t)got - sizeof out->head] = '\0';
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights && rights->cmsg_type == SCM_RIGHTS) {
        out->fd_count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(out->fds, CMSG_DATA(rights), out->fd_count * sizeof(int));
    }
    out->head.text_bytes = (uint32_t)((size_t)got - sizeof out->head);
    return true;
}

static bool is_end(uint32_t kind)
{
    return kind >= CONTROL_READY && kind <= CONTROL_EXIT;
}

/* Writes the answer that a word of bash waits for; it may have gone. */
static void answer(struct said *said, struct bytes text)
{
    if (said->fd_count == 0)
        return;
    int fd = said->fds[said->fd_count - 1];
    while (text.len > 0) {
        ssize_t put = write(fd, text.data, text.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            break;
        text.data += put;
        text.len -= (size_t)put;
    }
    close_fds(said);
}

struct course {
    bool may_ask;
    struct said asked; /* who waits for an input; fd_count 0: nobody */
};

static void ask(struct shell *s, struct course *c, struct said *said)
{
    if (!c->may_ask || c->asked.fd_count) {
        close_fds(said);
        return;
    }
    c->asked = *said;
    driver_ask(s->driver, said->text, said->head.flags & CONTROL_FLAG_SET);
}

/* What bash says before it has done. */
static void serve_word(struct shell *s, struct course *c, struct said *said)
{
    struct err e = {0};
    if (said->head.kind == CONTROL_ASK) {
        ask(s, c, said);
        return;
    }
    if (said->head.kind == CONTROL_CLEAR) {
        bool wait = said->head.flags & CONTROL_FLAG_SET;
        driver_publish(s->driver, "clear_output", json_pack("{s:b}", "wait", wait));
    } else if (said->head.kind == CONTROL_SHOW && said->fd_count == 2) {
        struct show show = {.update = said->head.flags & CONTROL_FLAG_SET};
        if (show_read(&show, said->text, said->head.text_bytes, said->fds[0], &e))
            driver_publish(s->driver, show.update ? "update_display_data" : "display_data",
                           take(&show.content));
    }
    answer(said, bytes_of(e.text));
}

static void take_input(struct shell *s, struct course *c)
{
    size_t len;
    scoped(string) char *text = driver_take_answer(s->driver, &len);
    if (!text)
        return;
    scoped(string) char *line = xasprintf("%s\n", text);
    answer(&c->asked, bytes_of(line));
}

void shell_watch(const struct shell *s, struct pollfd fds[SHELL_WATCHED])
{
    fds[0] = (struct pollfd){s->control_fd, POLLIN, 0};
    fds[1] = (struct pollfd){s->pid_fd, POLLIN, 0};
}

/* Looks once for what bash says. true: it is in *out. What has ended is reaped, when nothing that
 * it said is left. */
static bool hear(struct shell *s, const struct pollfd *fds, struct said *out)
{
    if (fds[0].revents && receive(s, out))
        return true;
    if (fds[0].revents) { /* another program is in its place */
        close(s->control_fd);
        s->control_fd = -1;
    } else if (fds[1].revents) {
        reap(s);
    }
    return false;
}

static void take_end(const struct control *head, struct shell_end *out)
{
    *out = (struct shell_end){.kind = (enum control_kind)head->kind,
                              .status = head->status,
                              .cpu_s = (double)head->cpu_us / 1e6,
                              .memory_peak_bytes = head->memory_peak_bytes};
}

/* Serves bash until the order is done; or it has ended, where that is the end. */
static void await_end(struct shell *s, struct course *c, struct shell_end *out)
{
    *out = (struct shell_end){0};
    while (s->pid > 0 && (out->kind == 0 || out->kind == CONTROL_EXIT)) {
        bool asked = c->asked.fd_count > 0;
        struct said said;
        struct pollfd fds[SHELL_WATCHED + 2];
        shell_watch(s, fds);
        fds[2] = (struct pollfd){asked ? driver_answer_fd(s->driver) : -1, POLLIN, 0};
        fds[3] = (struct pollfd){asked ? c->asked.fds[c->asked.fd_count - 1] : -1, 0, 0};
        if (poll(fds, countof(fds), -1) < 0)
            continue;
        if (fds[3].revents) /* it was interrupted, and reads no more */
            close_fds(&c->asked);
        else if (fds[2].revents)
            take_input(s, c);
        if (!hear(s, fds, &said))
            continue;
        if (is_end(said.head.kind)) {
            close_fds(&said);
            take_end(&said.head, out);
        } else {
            serve_word(s, c, &said);
        }
    }
    close_fds(&c->asked);
}

bool shell_attend(struct shell *s)
{
    struct course course = {0};
    struct said said;
    struct pollfd fds[SHELL_WATCHED];
    shell_watch(s, fds);
    if (poll(fds, countof(fds), 0) > 0 && hear(s, fds, &said))
        serve_word(s, &course, &said);
    return s->pid > 0;
}

bool shell_start(struct shell *s, const char *bash, int pipes_fd, struct err *e)
{
    int control[2], input[2];
    scoped(string) char *module = module_path();
    s->aside_fd = memfd_create("aside", MFD_CLOEXEC);
    if (s->aside_fd < 0 || pipe2(input, O_CLOEXEC) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
        return fail_errno(e, 503, "cannot open the descriptors of bash");
    fcntl(s->aside_fd, F_SETFL, O_APPEND);
    close(input[1]);
    int fds[] = {control[1], pipes_fd, s->aside_fd, input[0]};
    s->control_fd = control[0];
    s->pid = fork();
    if (s->pid == 0)
        be_bash(bash, module, fds, countof(fds));
    close(control[1]);
    close(input[0]);
    if (s->pid < 0 || (s->pid_fd = pidfd_open(s->pid, 0)) < 0)
        return fail_errno(e, 503, "cannot start bash");
    struct course course = {0};
    struct shell_end begun;
    await_end(s, &course, &begun);
    return begun.kind == CONTROL_READY ||
           fail(e, 503,
                "%s does not run as a kernel: it must be bash 5 or newer, with loadable "
                "builtins",
                bash);
}

static void give_order(struct shell *s, enum control_kind kind, const char *code, uint64_t number)
{
    struct control order = {.kind = kind, .number = number};
    int fd = memfd_create("cell", MFD_CLOEXEC);
    size_t len = strlen(code);
    for (size_t at = 0; fd >= 0 && at < len;) {
        ssize_t put = write(fd, code + at, len - at);
        if (put < 0 && errno != EINTR)
            break;
        at += put > 0 ? (size_t)put : 0;
    }
    struct iovec part = {&order, sizeof order};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } ancillary = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof ancillary};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    if (fd < 0 || sendmsg(s->control_fd, &message, MSG_NOSIGNAL) < 0)
        shutdown(s->control_fd, SHUT_RDWR);
    close(fd);
}

/* An order that cannot be given finds bash gone: its end is awaited all the same. */
static void order(struct shell *s, enum control_kind kind, const char *code, uint64_t number,
                  struct course *c, struct shell_end *out)
{
    *out = (struct shell_end){0};
    if (s->pid == 0)
        return;
    give_order(s, kind, code, number);
    await_end(s, c, out);
}

void shell_run(struct shell *s, const char *code, uint64_t number, bool may_ask,
               struct shell_end *out)
{
    struct course course = {.may_ask = may_ask};
    order(s, CONTROL_RUN, code, number, &course, out);
}

int shell_aside(struct shell *s, const char *code, struct buffer *out)
{
    struct course course = {0};
    struct shell_end end;
    struct stat written;
    order(s, CONTROL_ASIDE, code, 0, &course, &end);
    if (end.kind != CONTROL_DONE || fstat(s->aside_fd, &written) != 0)
        return -1;
    size_t len = written.st_size < ASIDE_BYTES ? (size_t)written.st_size : ASIDE_BYTES;
    ssize_t got = pread(s->aside_fd, buffer_reserve(out, len + 1), len, 0);
    out->len += got > 0 ? (size_t)got : 0;
    if (ftruncate(s->aside_fd, 0) != 0)
        return -1;
    return end.status;
}

int shell_folder(const struct shell *s)
{
    scoped(string) char *path = xasprintf("/proc/%d/cwd", (int)s->pid);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void shell_end(struct shell *s)
{
    shutdown(s->control_fd, SHUT_RDWR);
    if (s->pid > 0)
        reap(s);
}

void shell_quote(struct buffer *out, struct bytes text)
{
    buffer_add_text(out, "'");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'')
            buffer_add_text(out, "'\\''");
        else
            buffer_add(out, text.data + i, 1);
    }
    buffer_add_text(out, "'");
}
