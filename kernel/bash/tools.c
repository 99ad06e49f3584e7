/* Completion and inspection. bash finds the names, with compgen, type and help; here is told which
 * kind of name stands at the cursor. What runs is bash's own alone, never a function of the
 * user's. */
#include "kernel/bash/tools.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MATCHES_MOST 1000
#define NAMES_MOST   8192 /* looked at, of those that bash finds */
#define SPECIAL      " \t\"'\\$`&|;()<>*?[]#!{}"

/* The word at the cursor. */
struct place {
    size_t start;       /* of what is replaced */
    bool is_command;    /* it names what is run */
    bool is_variable;   /* behind a $ */
    char quote;         /* the word stands in such, or 0 */
    struct buffer word; /* owned; without quotes and backslashes */
    char before[32];    /* the command of the word, "" when it is not known */
};

static bool ends_word(char c)
{
    return strchr(" \t\n;|&()<>", c) != NULL;
}

static bool begins_command(char c)
{
    return strchr("\n;|&(", c) != NULL;
}

/* Words behind which a command begins. */
static bool opens_command(const char *word)
{
    static const char *const words[] = {"then", "do", "else", "elif", "if",      "while", "until",
                                        "!",    "{",  "time", "sudo", "command", "exec"};
    for (size_t i = 0; i < countof(words); i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

/* The word that ends here has been read whole. */
static void end_word(struct place *p, char by)
{
    const char *word = buffer_text(&p->word);
    bool some = p->word.len > 0;
    if (some && p->is_command && !opens_command(word) && !strchr(word, '=')) {
        snprintf(p->before, sizeof p->before, "%.31s", word);
        p->is_command = false;
    }
    if (begins_command(by))
        p->is_command = true;
    else if (strchr("<>", by) && by)
        p->is_command = false;
    buffer_clear(&p->word);
    p->quote = 0;
}

static bool names_variable(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void find_variable(struct place *p, const char *code, size_t cursor)
{
    size_t at = cursor;
    while (at > p->start && names_variable(code[at - 1]))
        at--;
    size_t dollar = at > p->start && code[at - 1] == '{' ? at - 1 : at;
    if (p->quote == '\'' || dollar == p->start || code[dollar - 1] != '$')
        return;
    p->is_variable = true;
    p->start = at;
    buffer_clear(&p->word);
    buffer_add(&p->word, code + at, cursor - at);
}

static void find_place(struct place *p, const char *code, size_t cursor)
{
    *p = (struct place){.is_command = true};
    for (size_t at = 0; at < cursor; at++) {
        char c = code[at];
        if (p->quote == 0 && ends_word(c)) {
            end_word(p, c);
            p->start = at + 1;
        } else if (p->quote == 0 && (c == '"' || c == '\'')) {
            p->quote = c;
            if (p->word.len == 0)
                p->start = at + 1;
        } else if (p->quote && c == p->quote) {
            p->quote = 0;
        } else if (c == '\\' && p->quote != '\'' && at + 1 < cursor) {
            buffer_add(&p->word, &code[++at], 1);
        } else {
            buffer_add(&p->word, &c, 1);
        }
    }
    find_variable(p, code, cursor);
}

/* Which names compgen is to give. */
static const char *actions_for(struct place *p)
{
    static const struct {
        const char *command, *actions;
    } known[] = {
        {"cd", "-d"},
        {"pushd", "-d"},
        {"rmdir", "-d"},
        {"unset", "-v -A function"},
        {"export", "-v"},
        {"declare", "-v"},
        {"local", "-v"},
        {"type", "-c"},
        {"help", "-A helptopic"},
        {"shopt", "-A shopt"},
        {"set", "-A setopt"},
        {"trap", "-A signal"},
        {"unalias", "-a"},
        {"alias", "-a"},
    };
    if (p->is_variable)
        return "-v";
    const char *word = buffer_text(&p->word);
    if (p->is_command && !strchr(word, '/') && word[0] != '~' && word[0] != '.')
        return "-c";
    for (size_t i = 0; !p->is_command && i < countof(known); i++)
        if (strcmp(known[i].command, p->before) == 0)
            return known[i].actions;
    return "-f";
}

static bool are_files(const char *actions)
{
    return strcmp(actions, "-f") == 0 || strcmp(actions, "-d") == 0;
}

/* A name as it is typed where the word stands; a folder with a slash. */
static json_t *as_typed(const struct place *p, const char *name, int folder_fd)
{
    scoped(buffer) struct buffer typed = {0};
    struct stat found;
    for (const char *at = name; *at; at++) {
        if (folder_fd >= 0 && p->quote == 0 && strchr(SPECIAL, *at))
            buffer_add_text(&typed, "\\");
        buffer_add(&typed, at, 1);
    }
    if (folder_fd >= 0 && fstatat(folder_fd, name, &found, 0) == 0 && S_ISDIR(found.st_mode))
        buffer_add_text(&typed, "/");
    return driver_text(buffer_view(&typed));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of text, each once and in their order, as matches. folder_fd: where files are, or
 * -1. */
static json_t *matches_of(const struct place *p, struct buffer *text, int folder_fd)
{
    char *names[NAMES_MOST], *state = NULL;
    size_t count = 0;
    buffer_text(text);
    for (char *name = strtok_r(text->data, "\n", &state); name && count < NAMES_MOST;
         name = strtok_r(NULL, "\n", &state))
        names[count++] = name;
    qsort(names, count, sizeof *names, by_name);
    json_t *matches = json_array();
    for (size_t i = 0; i < count && json_array_size(matches) < MATCHES_MOST; i++)
        if (i == 0 || strcmp(names[i - 1], names[i]) != 0)
            json_array_append_new(matches, as_typed(p, names[i], folder_fd));
    return matches;
}

json_t *tools_complete(struct shell *s, const struct driver_question *q, size_t *start, size_t *end)
{
    struct place place;
    scoped(buffer) struct buffer code = {0}, names = {0};
    find_place(&place, q->code, q->cursor);
    const char *actions = actions_for(&place);
    buffer_printf(&code, "builtin compgen %s -- ", actions);
    shell_quote(&code, buffer_view(&place.word));
    buffer_add_text(&code, " 2>/dev/null || :");
    if (place.word.len > 0 || strcmp(actions, "-c") != 0)
        shell_aside(s, buffer_text(&code), &names);
    int folder_fd = are_files(actions) ? shell_folder(s) : -1;
    json_t *matches = matches_of(&place, &names, folder_fd);
    if (folder_fd >= 0)
        close(folder_fd);
    buffer_free(&place.word);
    *start = place.start;
    *end = q->cursor;
    return matches;
}

static bool in_word(char c)
{
    return c && !ends_word(c) && !strchr("\"'`$={}", c);
}

json_t *tools_inspect(struct shell *s, const struct driver_question *q)
{
    scoped(buffer) struct buffer code = {0}, text = {0}, word = {0};
    size_t start = q->cursor, end = q->cursor;
    while (start > 0 && in_word(q->code[start - 1]))
        start--;
    while (in_word(q->code[end]))
        end++;
    if (start == end)
        return NULL;
    shell_quote(&word, (struct bytes){q->code + start, end - start});
    size_t dollar = start > 0 && q->code[start - 1] == '{' ? start - 1 : start;
    bool variable = dollar > 0 && q->code[dollar - 1] == '$';
    const char *name = buffer_text(&word);
    if (!variable)
        buffer_printf(&code,
                      "if builtin type -- %s 2>/dev/null; then "
                      "case $(builtin type -t -- %s) in builtin|keyword) "
                      "builtin echo; builtin help -- %s 2>/dev/null;; esac; "
                      "else builtin declare -p -- %s 2>/dev/null; fi || :",
                      name, name, name, name);
    else
        buffer_printf(&code, "builtin declare -p -- %s 2>/dev/null || :", name);
    shell_aside(s, buffer_text(&code), &text);
    return text.len > 0 ? driver_plain(buffer_view(&text)) : NULL;
}
