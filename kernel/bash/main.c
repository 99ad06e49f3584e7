/* warmcell-bash: the interpreter of Bash behind a host. It speaks the link, and keeps one bash that
 * runs the cells. Started by warmcell-kernel, as `--driver -- warmcell-bash [BASH]` says. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "kernel/bash/shell_process.h"
#include "kernel/bash/tools.h"

#define USAGE                                                                                      \
    "usage: warmcell-bash [BASH] --link-fd N --pipes-fd N\n"                                       \
    "Runs Bash behind the link of a warmcell-kernel, which starts it.\n"                           \
    "  BASH  the path of the bash to run (default: /bin/bash)\n"

struct kernel {
    struct shell shell;
    const char *bash;
    struct buffer undo; /* code that puts back what enter() has changed */
};

static json_t *info(void *self)
{
    struct kernel *k = self;
    scoped(buffer) struct buffer version = {0};
    shell_aside(&k->shell, "builtin printf '%s' \"$BASH_VERSION\"", &version);
    scoped(string) char *banner = xasprintf("Bash %s", buffer_text(&version));
    return json_pack("{s:s, s:s, s:{s:s, s:o, s:s, s:s, s:s, s:s}, s:[{s:s, s:s}]}",
                     "implementation", "warmcell-bash", "banner", banner, "language_info", "name",
                     "bash", "version", driver_text(buffer_view(&version)), "mimetype", "text/x-sh",
                     "file_extension", ".sh", "pygments_lexer", "bash", "codemirror_mode", "shell",
                     "help_links", "text", "Bash", "url",
                     "https://www.gnu.org/software/bash/manual/");
}

/* Runs code that changes the place; what bash says when it cannot becomes the error. */
static bool change(struct kernel *k, const char *member, struct buffer *code, struct err *e)
{
    scoped(buffer) struct buffer words = {0};
    int status = shell_aside(&k->shell, buffer_text(code), &words);
    if (status == 0)
        return true;
    while (words.len > 0 && words.data[words.len - 1] == '\n')
        words.len--;
    return fail(e, 400, "%s: %s", member, buffer_text(&words));
}

static bool is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return *name && strspn(name, allowed) == strlen(name) && !(*name >= '0' && *name <= '9');
}

static bool check_env(json_t *env, struct err *e)
{
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
    {
        if (!is_name(name))
            return fail(e, 400, "env: %.100s is no name of a variable", name);
        if (!json_is_string(value) && !json_is_null(value))
            return fail(e, 400, "env: %.100s: must be a string or null", name);
    }
    return true;
}

static bool set_env(struct kernel *k, json_t *env, struct err *e)
{
    scoped(buffer) struct buffer code = {0};
    const char *name;
    json_t *value;
    buffer_add_text(&code, ":");
    json_object_foreach(env, name, value)
    {
        buffer_printf(&code, " && builtin unset -v %s", name); /* it may be an array */
        if (json_is_null(value))
            continue;
        buffer_printf(&code, " && builtin export %s=", name);
        shell_quote(&code, (struct bytes){json_string_value(value), json_string_length(value)});
    }
    return change(k, "env", &code, e);
}

static bool adopt(void *self, const struct driver_place *place, struct err *e)
{
    struct kernel *k = self;
    scoped(buffer) struct buffer code = {0};
    if (!check_env(place->env, e))
        return false;
    if (place->cwd) {
        buffer_add_text(&code, "builtin cd -- ");
        shell_quote(&code, bytes_of(place->cwd));
        if (!change(k, "cwd", &code, e))
            return false;
    }
    return set_env(k, place->env, e);
}

static void leave(void *self)
{
    struct kernel *k = self;
    scoped(buffer) struct buffer words = {0};
    shell_aside(&k->shell, buffer_text(&k->undo), &words);
    buffer_free(&k->undo);
}

/* Writes the code that puts back what the place is about to change, as bash itself has it. */
static void remember(struct kernel *k, const struct driver_place *place)
{
    scoped(buffer) struct buffer code = {0}, names = {0};
    const char *name;
    json_t *value;
    buffer_add_text(&names, place->cwd ? "OLDPWD" : "");
    json_object_foreach(place->env, name, value) buffer_printf(&names, " %s", name);
    if (place->cwd)
        buffer_add_text(&code, "builtin printf 'builtin cd -- %q;' \"$PWD\"; ");
    buffer_printf(&code, "builtin declare -p %s 2>/dev/null || :", buffer_text(&names));
    buffer_clear(&k->undo);
    buffer_printf(&k->undo, "builtin unset -v %s; ", buffer_text(&names));
    shell_aside(&k->shell, buffer_text(&code), &k->undo);
}

static bool enter(void *self, const struct driver_place *place, struct err *e)
{
    struct kernel *k = self;
    if (!check_env(place->env, e))
        return false;
    remember(k, place);
    if (adopt(k, place, e))
        return true;
    leave(k);
    return false;
}

static void describe_status(int status, struct driver_outcome *out)
{
    const char *name = status > 128 ? sigabbrev_np(status - 128) : NULL;
    if (name)
        driver_fail(out, "CommandFailed", "exit status %d (SIG%s)", status, name);
    else
        driver_fail(out, "CommandFailed", "exit status %d", status);
}

static void describe_syntax(const char *bash, const char *code, struct driver_outcome *out)
{
    scoped(string) char *why = tools_syntax_error(bash, code);
    driver_fail(out, "SyntaxError", "%s", *why ? why : "the code cannot be parsed");
}

/* bash has ended, not by a word of its own: `exec program`, or a signal. */
static void describe_end(struct kernel *k, struct driver_outcome *out)
{
    int status = k->shell.wait_status;
    if (WIFSIGNALED(status))
        driver_die(k->shell.driver, WTERMSIG(status));
    out->end = DRIVER_EXIT;
    out->status = WEXITSTATUS(status);
}

static void run(void *self, const struct driver_run *run, struct driver_outcome *out)
{
    struct kernel *k = self;
    struct shell_end end;
    shell_run(&k->shell, run->code, run->number, run->may_ask, &end);
    if (k->shell.pid == 0)
        describe_end(k, out);
    else if (end.kind == CONTROL_INTERRUPTED)
        driver_fail(out, "Interrupted", "the execution was interrupted");
    else if (end.kind == CONTROL_SYNTAX)
        describe_syntax(k->bash, run->code, out);
    else if (end.status != 0)
        describe_status(end.status, out);
    out->cpu_s = end.cpu_s;
    out->memory_peak_bytes = end.memory_peak_bytes;
}

/* What the commands of the expression write. */
static json_t *evaluate(void *self, const struct driver_run *run, struct driver_outcome *out)
{
    struct kernel *k = self;
    scoped(buffer) struct buffer text = {0};
    int status = shell_aside(&k->shell, run->code, &text);
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (status == 0)
        return driver_plain(buffer_view(&text));
    driver_fail(out, "CommandFailed", "exit status %d%s%s", status, text.len ? ": " : "",
                buffer_text(&text));
    return NULL;
}

static json_t *complete(void *self, const struct driver_question *q, size_t *start, size_t *end)
{
    return tools_complete(&((struct kernel *)self)->shell, q, start, end);
}

static json_t *inspect(void *self, const struct driver_question *q)
{
    return tools_inspect(&((struct kernel *)self)->shell, q);
}

static json_t *is_whole(void *self, const char *code)
{
    return tools_is_whole(((struct kernel *)self)->bash, code);
}

static void finish(void *self)
{
    shell_end(&((struct kernel *)self)->shell);
}

static size_t watch(void *self, struct pollfd *fds)
{
    struct kernel *k = self;
    if (k->shell.pid == 0)
        return 0;
    shell_watch(&k->shell, fds);
    return SHELL_WATCHED;
}

static bool attend(void *self)
{
    struct kernel *k = self;
    struct driver_outcome out = {0};
    if (shell_attend(&k->shell))
        return true;
    describe_end(k, &out);
    driver_exit(k->shell.driver, out.status);
    return false;
}

static const struct driver_language language = {
    .runs_apart = true,
    .info = info,
    .adopt = adopt,
    .enter = enter,
    .leave = leave,
    .run = run,
    .evaluate = evaluate,
    .complete = complete,
    .inspect = inspect,
    .is_whole = is_whole,
    .finish = finish,
    .watch = watch,
    .attend = attend,
};

static int serve(const char *bash, int link_fd, int pipes_fd, struct err *e)
{
    struct kernel k = {.bash = bash};
    fcntl(link_fd, F_SETFD, FD_CLOEXEC);
    fcntl(pipes_fd, F_SETFD, FD_CLOEXEC);
    if (!shell_start(&k.shell, bash, pipes_fd, e))
        return -1;
    struct driver *d = driver_new(link_fd, pipes_fd, &language, &k, e);
    if (!d)
        return -1;
    k.shell.driver = d;
    int status = driver_serve(d);
    driver_free(d);
    buffer_free(&k.undo);
    return status;
}

int main(int argc, char **argv)
{
    struct err e;
    int link_fd, pipes_fd;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(USAGE, stdout);
        return 0;
    }
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    bool told = driver_take_options(&argc, argv, &link_fd, &pipes_fd, &e);
    if (told && argc > 2)
        told = fail(&e, 400, "one path of a bash is enough; see --help");
    if (!told) {
        fprintf(stderr, "warmcell-bash: %s\n", e.text);
        return 2;
    }
    int status = serve(argc == 2 ? argv[1] : "/bin/bash", link_fd, pipes_fd, &e);
    if (status < 0)
        fprintf(stderr, "warmcell-bash: %s\n", e.text);
    return status < 0 ? 1 : status;
}
