/* warmcell-r: the interpreter of R behind a host. It embeds libR, and speaks the link. Started by
 * warmcell-kernel, as `--driver -- warmcell-r [R]` says; it has R's own script set up the
 * environment, which starts it a second time. */
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/r/session.h"

#define USAGE                                                                                      \
    "usage: warmcell-r [R] --link-fd N --pipes-fd N\n"                                             \
    "Runs R behind the link of a warmcell-kernel, which starts it.\n"                              \
    "  R  the path of the R to run (default: /usr/bin/R)\n"

#define STARTED "WARMCELL_R_STARTED" /* its value: the process that R's script was started by */

static int complain(const struct err *e, int status)
{
    fprintf(stderr, "warmcell-r: %s\n", e->text);
    return status;
}

static bool has_started(void)
{
    const char *by = getenv(STARTED);
    scoped(string) char *us = xasprintf("%d", (int)getpid());
    return by && strcmp(by, us) == 0;
}

/* Texts of R are those of its locale: it must be one of UTF-8. */
static void use_utf8(void)
{
    setlocale(LC_ALL, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
        return;
    unsetenv("LC_ALL");
    setenv("LC_CTYPE", "C.UTF-8", 1);
}

/* R CMD has R's variables set, and then runs the program in its own place. */
static int start(const char *r, char **words)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    struct err e;
    if (len < 0)
        return complain(&e, !fail_errno(&e, 500, "this program cannot be found"));
    self[len] = '\0';
    scoped(string) char *us = xasprintf("%d", (int)getpid());
    setenv(STARTED, us, 1);
    use_utf8();
    char *argv[] = {(char *)r, "CMD", self, words[0], words[1], words[2], words[3], NULL};
    execv(r, argv);
    fail_errno(&e, 503, "cannot run %s; Debian's r-base-core has R", r);
    return complain(&e, 1);
}

static int serve(int link_fd, int pipes_fd)
{
    struct err e;
    struct session *s = session_open(link_fd, pipes_fd, &e);
    unsetenv(STARTED);
    if (!s)
        return complain(&e, 1);
    int status = session_serve(s);
    session_close(s);
    return status;
}

int main(int argc, char **argv)
{
    int link_fd, pipes_fd;
    struct err e;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (!driver_take_options(&argc, argv, &link_fd, &pipes_fd, &e))
        return complain(&e, 2);
    if (argc > 2) {
        fail(&e, 400, "one path of an R is enough; see --help");
        return complain(&e, 2);
    }
    if (has_started())
        return serve(link_fd, pipes_fd);
    scoped(string) char *link = xasprintf("%d", link_fd), *pipes = xasprintf("%d", pipes_fd);
    char *words[] = {"--link-fd", link, "--pipes-fd", pipes};
    return start(argc == 2 ? argv[1] : "/usr/bin/R", words);
}
