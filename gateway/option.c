/* Values are first collected as text, one place a row, each source writing over the weaker one
 * before it; then each is decoded once. So a bad value that a stronger source replaces does no
 * harm. */
#include "gateway/option.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "gateway/ini.h"
#include "gateway/settings.h"

#define NAME_LIMIT 64

/* The text of one row while sources are gone through. */
struct pending {
    char *text;                /* owned; NULL: not said */
    char from[2 * NAME_LIMIT]; /* how the source calls it, for error sentences */
    bool from_flag;
};

struct collector {
    const struct option_table *table;
    struct pending *pending;
    const char *ini_path;
};

/* "drain-s" -> "WARMCELL_DRAIN_S" */
static void env_name(const char *name, char out[NAME_LIMIT])
{
    size_t len = (size_t)snprintf(out, NAME_LIMIT, "WARMCELL_%s", name);
    for (size_t i = 0; i < len && i < NAME_LIMIT; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* Are they the same name, with - and _ alike? */
static bool name_is(struct bytes text, const char *name)
{
    if (text.len != strlen(name))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((text.data[i] == '_' ? '-' : text.data[i]) != name[i])
            return false;
    return true;
}

static const struct option *find_flag(const struct option_table *table, struct bytes name)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *row = &table->rows[i];
        if (name_is(name, row->name))
            return row;
        for (size_t j = 0; j < countof(row->also) && row->also[j]; j++)
            if (bytes_is(name, row->also[j]))
                return row;
    }
    return NULL;
}

__attribute__((format(printf, 4, 5))) static void say(struct pending *p, struct bytes text,
                                                      bool append, const char *from, ...)
{
    va_list args;
    va_start(args, from);
    vsnprintf(p->from, sizeof p->from, from, args);
    va_end(args);
    char *before = p->text;
    p->text = append && before ? xasprintf("%s,%.*s", before, (int)text.len, text.data)
                               : xstrndup(text.data ? text.data : "", text.len);
    free(before);
}

static bool on_ini_pair(void *user, struct bytes key, struct bytes value, int line, struct err *e)
{
    struct collector *c = user;
    for (size_t i = 0; i < c->table->count; i++) {
        const struct option *row = &c->table->rows[i];
        if (!row->flag_only && name_is(key, row->name)) {
            say(&c->pending[i], value, false, "%s (line %d of %.60s)", row->name, line,
                c->ini_path);
            return true;
        }
    }
    return fail(e, 400, "%s, line %d: unknown key %.*s", c->ini_path, line,
                key.len > 60 ? 60 : (int)key.len, key.data);
}

static bool collect_ini(struct collector *c, const struct option_sources *sources, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    if (!sources->ini_path)
        return true;
    c->ini_path = sources->ini_path;
    bool found;
    if (!ini_read(sources->ini_path, &text, &found, e))
        return false;
    if (!found)
        return !sources->ini_must_exist ||
               fail(e, 400, "--config: %s does not exist", sources->ini_path);
    return ini_parse(buffer_view(&text), on_ini_pair, c, e);
}

static void collect_environment(struct collector *c)
{
    for (size_t i = 0; i < c->table->count; i++) {
        const struct option *row = &c->table->rows[i];
        char name[NAME_LIMIT];
        if (row->flag_only)
            continue;
        env_name(row->name, name);
        const char *value = getenv(name);
        const char *used = name;
        if (!value && row->also_env)
            value = getenv(used = row->also_env);
        if (value)
            say(&c->pending[i], bytes_of(value), false, "%s", used);
    }
}

/* "--no-name" for a bool: its row. */
static const struct option *find_negated(const struct option_table *table, struct bytes name)
{
    if (name.len < 4 || memcmp(name.data, "no-", 3) != 0)
        return NULL;
    const struct option *row = find_flag(table, (struct bytes){name.data + 3, name.len - 3});
    return row && row->kind == OPTION_BOOL ? row : NULL;
}

/* One flag at args[*at]; moves *at over a value that stands apart. */
static bool collect_flag(struct collector *c, char *const *args, size_t count, size_t *at,
                         struct err *e)
{
    const char *arg = args[*at] + 2;
    const char *equals = strchr(arg, '=');
    struct bytes name = {arg, equals ? (size_t)(equals - arg) : strlen(arg)};
    struct bytes value = bytes_of(equals ? equals + 1 : NULL);
    const struct option *row = find_flag(c->table, name);
    if (!row && !equals && (row = find_negated(c->table, name)))
        value = bytes_of("false");
    else if (row && !equals && (row->kind == OPTION_BOOL || row->kind == OPTION_IGNORED))
        value = bytes_of("true");
    else if (row && !equals && *at + 1 < count)
        value = bytes_of(args[++*at]);
    else if (row && !equals)
        return fail(e, 400, "--%s: needs a value", row->name);
    if (!row)
        return fail(e, 400, "unknown option --%.*s", name.len > 80 ? 80 : (int)name.len, name.data);
    struct pending *p = &c->pending[row - c->table->rows];
    say(p, value, row->kind == OPTION_LIST && p->from_flag, "--%.*s",
        name.len > 80 ? 80 : (int)name.len, name.data);
    p->from_flag = true;
    return true;
}

static bool decode_int(const struct option *row, const struct pending *p, int64_t *out,
                       struct err *e)
{
    char *end;
    errno = 0;
    long long value = strtoll(p->text, &end, 10);
    if (end == p->text || *end || errno)
        return fail(e, 400, "%s: %.80s is not a whole number", p->from, p->text);
    if (value < row->low || value > row->high)
        return fail(e, 400, "%s: %lld is out of range (%lld to %lld)", p->from, value,
                    (long long)row->low, (long long)row->high);
    *out = value;
    return true;
}

static bool decode_bool(const struct pending *p, bool *out, struct err *e)
{
    static const char *const words[2][4] = {{"false", "no", "off", "0"},
                                            {"true", "yes", "on", "1"}};
    for (int value = 0; value < 2; value++) {
        for (size_t i = 0; i < countof(words[value]); i++) {
            if (strcasecmp(p->text, words[value][i]) == 0) {
                *out = value;
                return true;
            }
        }
    }
    return fail(e, 400, "%s: %.80s is neither true nor false", p->from, p->text);
}

static bool decode_level(const struct pending *p, enum log_level *out, struct err *e)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"error", LOG_ERROR},    {"warn", LOG_WARN},    {"info", LOG_INFO}, {"debug", LOG_DEBUG},
        {"critical", LOG_ERROR}, {"warning", LOG_WARN}, {"40", LOG_ERROR},  {"30", LOG_WARN},
        {"20", LOG_INFO},        {"10", LOG_DEBUG},
    };
    for (size_t i = 0; i < countof(levels); i++) {
        if (strcasecmp(p->text, levels[i].name) == 0) {
            *out = levels[i].level;
            return true;
        }
    }
    return fail(e, 400, "%s: %.80s is not one of error, warn, info, debug", p->from, p->text);
}

/* "A, B" or "['A', 'B']" as Python programs write it. */
static void decode_list(const char *text, struct string_list *out)
{
    static const char around[] = " \t[]'\"";
    out->item = xcalloc(strlen(text) + 2, sizeof *out->item);
    while (*text) {
        size_t len = strcspn(text, ",");
        const char *start = text, *end = text + len;
        while (start < end && strchr(around, *start))
            start++;
        while (end > start && strchr(around, end[-1]))
            end--;
        if (end > start)
            out->item[out->count++] = xstrndup(start, (size_t)(end - start));
        text += len + (text[len] == ',');
    }
}

static bool decode(const struct option *row, struct pending *p, void *settings, struct err *e)
{
    void *field = (char *)settings + row->offset;
    switch (row->kind) {
    case OPTION_TEXT:
        *(char **)field = take(&p->text);
        return true;
    case OPTION_INT:
        return decode_int(row, p, field, e);
    case OPTION_BOOL:
        return decode_bool(p, field, e);
    case OPTION_LIST:
        decode_list(p->text, field);
        return true;
    case OPTION_LEVEL:
        return decode_level(p, field, e);
    case OPTION_IGNORED:
        return true;
    }
    return true;
}

static bool collect_args(struct collector *c, char *const *args, size_t count, const char **words,
                         size_t words_room, size_t *word_count, struct err *e)
{
    *word_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(args[i], "--", 2) == 0 && args[i][2]) {
            if (!collect_flag(c, args, count, &i, e))
                return false;
        } else if (args[i][0] == '-' && args[i][1]) {
            return fail(e, 400, "unknown option %.80s", args[i]);
        } else if (*word_count < words_room) {
            words[(*word_count)++] = args[i];
        } else {
            return fail(e, 400, "%.80s: not expected here", args[i]);
        }
    }
    return true;
}

static bool decode_all(struct collector *c, void *settings, struct err *e)
{
    for (size_t i = 0; i < c->table->count; i++) {
        const struct option *row = &c->table->rows[i];
        struct pending *p = &c->pending[i];
        if (!p->text && row->fallback)
            say(p, bytes_of(row->fallback), false, "%s", row->name);
        if (p->text && !decode(row, p, settings, e))
            return false;
        if (!p->text && row->kind == OPTION_LIST &&
            !((struct string_list *)(void *)((char *)settings + row->offset))->item)
            decode_list("", (void *)((char *)settings + row->offset));
    }
    return true;
}

bool option_parse(const struct option_table *table, char *const *args, size_t count,
                  const struct option_sources *sources, void *settings, const char **words,
                  size_t words_room, size_t *word_count, struct err *e)
{
    struct collector c = {.table = table, .pending = xcalloc(table->count, sizeof *c.pending)};
    bool ok = collect_ini(&c, sources, e);
    if (ok && sources->environment)
        collect_environment(&c);
    ok = ok && collect_args(&c, args, count, words, words_room, word_count, e) &&
         decode_all(&c, settings, e);
    for (size_t i = 0; i < table->count; i++)
        free(c.pending[i].text);
    free(c.pending);
    return ok;
}

const char *option_peek(char *const *args, size_t count, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = count; i > 0; i--) {
        const char *arg = args[i - 1];
        if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, len) != 0)
            continue;
        if (arg[2 + len] == '=')
            return arg + 3 + len;
        if (!arg[2 + len])
            return i < count ? args[i] : NULL;
    }
    return NULL;
}

void option_free(const struct option_table *table, void *settings)
{
    for (size_t i = 0; i < table->count; i++) {
        void *field = (char *)settings + table->rows[i].offset;
        if (table->rows[i].kind == OPTION_TEXT) {
            free(*(char **)field);
            *(char **)field = NULL;
        } else if (table->rows[i].kind == OPTION_LIST) {
            struct string_list *list = field;
            for (size_t j = 0; j < list->count; j++)
                free(list->item[j]);
            free(list->item);
            *list = (struct string_list){0};
        }
    }
}

void option_unset_environment(const struct option *row)
{
    char name[NAME_LIMIT];
    env_name(row->name, name);
    unsetenv(name);
    if (row->also_env)
        unsetenv(row->also_env);
}

static const char *value_word(enum option_kind kind)
{
    switch (kind) {
    case OPTION_INT:
        return " N";
    case OPTION_LIST:
        return " A,B";
    case OPTION_LEVEL:
        return " LEVEL";
    case OPTION_TEXT:
        return " TEXT";
    default:
        return "";
    }
}

static bool has_default(const struct option *row)
{
    return row->fallback && *row->fallback && row->kind != OPTION_IGNORED;
}

void option_help(const struct option_table *table, struct buffer *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *row = &table->rows[i];
        if (row->kind == OPTION_IGNORED)
            continue;
        buffer_printf(out, "  --%s%s\n      %s", row->name, value_word(row->kind), row->help);
        if (has_default(row))
            buffer_printf(out, " (default: %s)", row->fallback);
        buffer_add_text(out, "\n");
    }
}

void option_markdown(const struct option_table *table, struct buffer *out)
{
    buffer_add_text(out, "| flag | environment | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct option *row = &table->rows[i];
        char name[NAME_LIMIT];
        env_name(row->name, name);
        buffer_printf(out, "| `--%s%s`", row->name, value_word(row->kind));
        for (size_t j = 0; j < countof(row->also) && row->also[j]; j++)
            buffer_printf(out, "<br>`--%s`", row->also[j]);
        if (row->flag_only)
            buffer_add_text(out, " | ");
        else
            buffer_printf(out, " | `%s`", name);
        if (row->also_env)
            buffer_printf(out, "<br>`%s`", row->also_env);
        buffer_printf(out, " | %s%s%s | %s |\n", has_default(row) ? "`" : "",
                      has_default(row) ? row->fallback : "", has_default(row) ? "`" : "",
                      row->help);
    }
}
