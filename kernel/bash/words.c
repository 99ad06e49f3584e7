/* The words that a cell has beside bash's own: display and clear_output; and read and exit, which
 * go on to bash's own after what a kernel does about them. They work in subshells and pipelines,
 * too. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/bash/control.h"
#include "kernel/bash/shell.h"

#define FAILED     1
#define USAGE      2
#define MOST_BYTES (512 * 1024 * 1024) /* of one output */

/* Sends the message with its data (-1: none; taken) and a pipe for the answer; NULL: it cannot be.
 */
static char *converse(struct control *what, const char *text, int data)
{
    int answer[2], fds[CONTROL_DESCRIPTORS];
    size_t count = 0;
    bool said = pipe2(answer, O_CLOEXEC) == 0;
    if (!said)
        answer[0] = answer[1] = -1;
    if (data >= 0)
        fds[count++] = data;
    fds[count++] = answer[1];
    said = said && shell_say(what, text, fds, count);
    close(data);
    close(answer[1]);
    if (said)
        return shell_answer(answer[0]);
    close(answer[0]);
    return NULL;
}

/* What a conversation about an output has come to, as a status. */
static int conclude(const char *word, char *answer)
{
    int status = answer && !*answer ? 0 : FAILED;
    if (status)
        fprintf(stderr, "%s: %s\n", word, answer ? answer : "the kernel cannot be reached");
    free(answer);
    return status;
}

/* --- display */

struct show {
    const char *type, *id; /* "": not given */
    bool update;
};

/* A copy, which nobody changes any more; -1 with errno. */
static int copy_of(int from)
{
    int copy = memfd_create("display", MFD_CLOEXEC);
    char piece[64 * 1024];
    for (size_t sum = 0;;) {
        errno = EINTR;
        ssize_t got = shell_await(from) ? read(from, piece, sizeof piece) : -1;
        if (got == 0 && copy >= 0)
            return copy;
        sum += got > 0 ? (size_t)got : 0;
        if (sum > MOST_BYTES) {
            errno = EFBIG;
            got = -1;
        }
        for (ssize_t at = 0, put; got > 0 && at < got; at += put)
            if ((put = write(copy, piece + at, (size_t)(got - at))) < 0)
                got = -1;
        if (got < 0 || copy < 0) {
            int cause = errno;
            close(copy);
            errno = cause;
            return -1;
        }
    }
}

static int refuse(const char *name, const char *why)
{
    fprintf(stderr, "display: %s: %s\n", name, why);
    return FAILED;
}

static int show_file(const struct show *s, const char *name)
{
    char text[CONTROL_TEXT_BYTES];
    bool is_stdin = strcmp(name, "-") == 0;
    int len = snprintf(text, sizeof text, "%s%c%s%c%s", s->type, 0, s->id, 0, name) + 1;
    if ((size_t)len > sizeof text)
        return refuse(name, "too long a name");
    int from = is_stdin ? 0 : open(name, O_RDONLY | O_CLOEXEC);
    int copy = from < 0 ? -1 : copy_of(from);
    int cause = errno;
    if (!is_stdin)
        close(from);
    if (copy < 0)
        return refuse(name, strerror(cause));
    struct control what = {.kind = CONTROL_SHOW,
                           .flags = s->update ? CONTROL_FLAG_SET : 0,
                           .text_bytes = (uint32_t)len};
    return conclude("display", converse(&what, text, copy));
}

static int display(struct word_list *words)
{
    struct show show = {"", "", false};
    for (; words && words->word->word[0] == '-' && words->word->word[1]; words = words->next) {
        const char *option = words->word->word;
        const char **value = strcmp(option, "-m") == 0   ? &show.type
                             : strcmp(option, "-i") == 0 ? &show.id
                                                         : NULL;
        if (strcmp(option, "--") == 0) {
            words = words->next;
            break;
        }
        if (value && words->next) {
            words = words->next;
            *value = words->word->word;
        } else if (strcmp(option, "-u") == 0) {
            show.update = true;
        } else {
            fputs("display: usage: display [-m TYPE] [-i ID [-u]] [FILE...]\n", stderr);
            return USAGE;
        }
    }
    if (show.update && !*show.id) {
        fputs("display: an update needs the id of what it updates: -i ID\n", stderr);
        return USAGE;
    }
    int status = words ? 0 : show_file(&show, "-");
    for (; words; words = words->next)
        if (show_file(&show, words->word->word) != 0)
            status = FAILED;
    return status;
}

static int clear_output(struct word_list *words)
{
    struct control what = {.kind = CONTROL_CLEAR};
    if (words && strcmp(words->word->word, "-w") == 0)
        what.flags = CONTROL_FLAG_SET;
    return conclude("clear_output", converse(&what, NULL, -1));
}

/* --- read */

static bool reads_the_client(void)
{
    struct stat in, kernels;
    return fstat(0, &in) == 0 && fstat(CONTROL_STDIN_FD, &kernels) == 0 &&
           in.st_ino == kernels.st_ino && in.st_dev == kernels.st_dev;
}

struct reading {
    const char *prompt;
    bool password, elsewhere; /* elsewhere: -u says from which descriptor */
};

/* Of read's options, as bash takes them: "-sp text" is -s and -p text. */
static struct reading look_at_options(const struct word_list *words)
{
    static const char with_value[] = "adinNptu";
    struct reading found = {.prompt = ""};
    for (; words && words->word->word[0] == '-' && words->word->word[1]; words = words->next)
        for (const char *at = words->word->word + 1; *at; at++) {
            if (*at == 's')
                found.password = true;
            if (!strchr(with_value, *at))
                continue;
            char option = *at;
            if (!at[1] && !words->next)
                return found;
            const char *value = at[1] ? at + 1 : (words = words->next)->word->word;
            if (option == 'p')
                found.prompt = value;
            if (option == 'u' && strcmp(value, "0") != 0)
                found.elsewhere = true;
            break;
        }
    return found;
}

/* bash's own read, with the line as its stdin. */
static int read_line(struct word_list *words, const char *line)
{
    int kept = fcntl(0, F_DUPFD_CLOEXEC, CONTROL_FD), in = memfd_create("line", MFD_CLOEXEC);
    size_t len = strlen(line);
    int status = FAILED;
    if (kept >= 0 && in >= 0 && write(in, line, len) == (ssize_t)len &&
        lseek(in, 0, SEEK_SET) == 0 && dup2(in, 0) == 0) {
        status = read_builtin(words);
        dup2(kept, 0);
    }
    close(in);
    close(kept);
    return status;
}

static int read_word(struct word_list *words)
{
    struct reading asked = look_at_options(words);
    if (asked.elsewhere || !reads_the_client())
        return read_builtin(words);
    size_t len = strlen(asked.prompt);
    struct control what = {.kind = CONTROL_ASK,
                           .flags = asked.password ? CONTROL_FLAG_SET : 0,
                           .text_bytes =
                               (uint32_t)(len < CONTROL_TEXT_BYTES ? len : CONTROL_TEXT_BYTES)};
    char *line = converse(&what, asked.prompt, -1);
    if (!line || !*line) {
        fputs("read: this client does not answer\n", stderr);
        free(line);
        return FAILED;
    }
    int status = read_line(words, line);
    free(line);
    return status;
}

/* --- exit: without the word that bash says at a prompt */

static int exit_word(struct word_list *words)
{
    int before = interactive;
    interactive = 0;
    int status = exit_builtin(words);
    interactive = before; /* it has not gone: there were too many arguments */
    return status;
}

extern const char *const read_doc[], *const exit_doc[];

static const char *const display_doc[] = {
    "Shows files in the notebook.",
    "",
    "Each FILE (standard input for - and for none) is shown by its type: of pictures (PNG, JPEG,",
    "GIF, SVG), PDF and HTML the content tells it, of others the name.",
    "",
    "  -m TYPE   the MIME type, whatever content and name say",
    "  -i ID     a name for the output, by which it can be updated",
    "  -u        updates the output with that name",
    NULL,
};

static const char *const clear_output_doc[] = {
    "Clears the output of the cell.",
    "",
    "  -w   not before there is something new to show",
    NULL,
};

#define WORD(name, function, doc, usage)                                                           \
    extern struct builtin name##_struct;                                                           \
    struct builtin name##_struct = {#name, function, BUILTIN_ENABLED, doc, usage, NULL}

WORD(display, display, display_doc, "display [-m TYPE] [-i ID [-u]] [FILE ...]");
WORD(clear_output, clear_output, clear_output_doc, "clear_output [-w]");
WORD(read, read_word, read_doc,
     "read [-ers] [-a array] [-d delim] [-i text] [-n nchars] [-N nchars] [-p prompt] [-t timeout] "
     "[-u fd] [name ...]");
WORD(exit, exit_word, exit_doc, "exit [n]");
