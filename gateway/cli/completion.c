/* Each script finds the words that are no options, takes from a case (or a condition, in fish) what
 * may follow them, and asks the tool itself for the ids of sandboxes. */
#include "gateway/cli/completion.h"

#include <string.h>

#include "gateway/cli/cli.h"

/* One subcommand, whatever it is. */
struct entry {
    const char *name, *words, *help;
    const struct option *options;
    size_t option_count;
};

struct entries {
    struct entry *item;
    size_t count;
};

static void add(struct entries *all, struct entry one)
{
    all->item = xrealloc(all->item, (all->count + 1) * sizeof *all->item);
    all->item[all->count++] = one;
}

static struct entries collect(const struct completion_other *others, size_t count)
{
    struct entries all = {0};
    for (size_t i = 0; cli_verbs[i]; i++) {
        const struct verb *v = cli_verbs[i];
        add(&all, (struct entry){v->name, v->words, v->help, v->options, v->option_count});
    }
    for (size_t i = 0; i < count; i++) {
        const struct option_table *table = others[i].options;
        add(&all, (struct entry){others[i].name, "", others[i].help, table ? table->rows : NULL,
                                 table ? table->count : 0});
    }
    return all;
}

static size_t first_word(const char *name)
{
    return strcspn(name, " ");
}

static bool same_family(const struct entry *a, const struct entry *b)
{
    size_t len = first_word(a->name);
    return len == first_word(b->name) && strncmp(a->name, b->name, len) == 0;
}

/* Is it the first of those that begin with the same word? */
static bool leads(const struct entries *all, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (same_family(&all->item[i], &all->item[at]))
            return false;
    return true;
}

static void add_options(const struct entry *one, struct buffer *out)
{
    for (size_t i = 0; i < one->option_count; i++)
        if (one->options[i].kind != OPTION_IGNORED)
            buffer_printf(out, " --%s", one->options[i].name);
    buffer_add_text(out, " --help");
}

/* The words that any command line may begin with, and those of a family, each once. */
static void add_first_words(const struct entries *all, struct buffer *out)
{
    for (size_t i = 0; i < all->count; i++)
        if (leads(all, i))
            buffer_printf(out, " %.*s", (int)first_word(all->item[i].name), all->item[i].name);
}

static void add_second_words(const struct entries *all, size_t family, struct buffer *out)
{
    for (size_t i = 0; i < all->count; i++)
        if (same_family(&all->item[i], &all->item[family]))
            buffer_printf(out, "%s", all->item[i].name + first_word(all->item[i].name));
}

static bool two_words(const struct entry *one)
{
    return one->name[first_word(one->name)] == ' ';
}

/* What the tool itself is asked for, for the words of a subcommand: "sandbox", "template", or "".
 */
static const char *listed(const struct entry *one)
{
    return strstr(one->words, "SANDBOX")    ? "sandbox"
           : strstr(one->words, "TEMPLATE") ? "template"
                                            : "";
}

/* "case" arms for bash and zsh: they set offers, listed and files. */
static void add_arms(const struct entries *all, struct buffer *out)
{
    buffer_add_text(out, "    ' ') offers='");
    add_first_words(all, out);
    buffer_add_text(out, "' ;;\n");
    for (size_t i = 0; i < all->count; i++) {
        const struct entry *one = &all->item[i];
        buffer_printf(out, "    '%s'%s) offers='", one->name, two_words(one) ? "" : "\\ *");
        add_options(one, out);
        buffer_printf(out, "' listed=%s%s ;;\n", listed(one),
                      strstr(one->words, "FILE") ? " files=1" : "");
    }
    for (size_t i = 0; i < all->count; i++) {
        if (!two_words(&all->item[i]) || !leads(all, i))
            continue;
        buffer_printf(out, "    '%.*s'\\ *) offers='", (int)first_word(all->item[i].name),
                      all->item[i].name);
        add_second_words(all, i, out);
        buffer_add_text(out, "' ;;\n");
    }
}

static void write_bash(const struct entries *all, struct buffer *out)
{
    buffer_add_text(out, "_warmcell() {\n"
                         "    local current=${COMP_WORDS[COMP_CWORD]} offers= listed= files= i\n"
                         "    local -a plain=()\n"
                         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                         "        [[ ${COMP_WORDS[i]} != -- ]] || return 0\n"
                         "        [[ ${COMP_WORDS[i]} == -* ]] || plain+=(\"${COMP_WORDS[i]}\")\n"
                         "    done\n"
                         "    case \"${plain[0]:-} ${plain[1]:-}\" in\n");
    add_arms(all, out);
    buffer_add_text(out,
                    "    esac\n"
                    "    [[ -z $listed || $current == -* ]] ||\n"
                    "        offers+=\" $(\"${COMP_WORDS[0]}\" $listed ls --quiet 2>/dev/null)\"\n"
                    "    mapfile -t COMPREPLY < <(compgen -W \"$offers\" -- \"$current\"\n"
                    "        [[ -z $files ]] || compgen -f -- \"$current\")\n"
                    "}\n"
                    "complete -o bashdefault -o default -F _warmcell warmcell\n");
}

static void write_zsh(const struct entries *all, struct buffer *out)
{
    buffer_add_text(out, "#compdef warmcell\n"
                         "_warmcell() {\n"
                         "    local tool=$words[1] listed= files= i\n"
                         "    local -a plain line=(\"${words[@]}\")\n"
                         "    local offers=\n"
                         "    for ((i = 2; i < CURRENT; i++)); do\n"
                         "        [[ $line[i] != -- ]] || { _files; return }\n"
                         "        [[ $line[i] == -* ]] || plain+=(\"$line[i]\")\n"
                         "    done\n"
                         "    case \"$plain[1] $plain[2]\" in\n");
    add_arms(all, out);
    buffer_add_text(out, "    esac\n"
                         "    [[ -z $listed ]] ||\n"
                         "        offers+=\" $($tool $listed ls --quiet 2>/dev/null)\"\n"
                         "    compadd -- ${=offers}\n"
                         "    [[ -z $files ]] || _files\n"
                         "}\n"
                         "compdef _warmcell warmcell\n");
}

/* Between single quotes of fish. */
static void add_quoted(const char *text, struct buffer *out)
{
    buffer_add_text(out, "'");
    for (; *text; text++)
        buffer_printf(out, "%s%c", *text == '\'' || *text == '\\' ? "\\" : "", *text);
    buffer_add_text(out, "'");
}

/* " -n 'condition'": the words of the name were said. */
static void add_condition(const struct entry *one, struct buffer *out)
{
    size_t len = first_word(one->name);
    buffer_printf(out, "complete -c warmcell -n '__fish_seen_subcommand_from %.*s", (int)len,
                  one->name);
    if (two_words(one))
        buffer_printf(out, "; and __fish_seen_subcommand_from %s", one->name + len + 1);
    buffer_add_text(out, "'");
}

/* The second word is offered behind the first, and not behind both. */
static void add_second(const struct entries *all, const struct entry *one, struct buffer *out)
{
    size_t len = first_word(one->name);
    buffer_printf(out,
                  "complete -c warmcell -f -n '__fish_seen_subcommand_from %.*s; and not "
                  "__fish_seen_subcommand_from",
                  (int)len, one->name);
    for (size_t i = 0; i < all->count; i++)
        if (strncmp(all->item[i].name, one->name, len + 1) == 0)
            buffer_printf(out, " %s", all->item[i].name + len + 1);
    buffer_printf(out, "' -a %s -d ", one->name + len + 1);
}

static void write_fish_entry(const struct entries *all, const struct entry *one, struct buffer *out)
{
    if (two_words(one))
        add_second(all, one, out);
    else
        buffer_printf(out, "complete -c warmcell -f -n __fish_use_subcommand -a %s -d ", one->name);
    add_quoted(one->help, out);
    buffer_add_text(out, "\n");
    for (size_t i = 0; i < one->option_count; i++) {
        if (one->options[i].kind == OPTION_IGNORED)
            continue;
        add_condition(one, out);
        buffer_printf(out, " -l %s -d ", one->options[i].name);
        add_quoted(one->options[i].help, out);
        buffer_add_text(out, "\n");
    }
    if (*listed(one)) {
        add_condition(one, out);
        buffer_printf(out, "%s -a '(warmcell %s ls --quiet 2>/dev/null)'\n",
                      strstr(one->words, "FILE") ? "" : " -f", listed(one));
    }
}

static void write_fish(const struct entries *all, struct buffer *out)
{
    buffer_add_text(out, "complete -c warmcell -l help -d 'how it is used'\n");
    for (size_t i = 0; i < all->count; i++) {
        const struct entry *one = &all->item[i];
        if (two_words(one) && leads(all, i))
            buffer_printf(out, "complete -c warmcell -f -n __fish_use_subcommand -a %.*s\n",
                          (int)first_word(one->name), one->name);
        write_fish_entry(all, one, out);
    }
}

static const struct {
    const char *shell;
    void (*write)(const struct entries *all, struct buffer *out);
} shells[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};

bool completion_script(const char *shell, const struct completion_other *others, size_t count,
                       struct buffer *out)
{
    bool known = false;
    struct entries all = collect(others, count);
    for (size_t i = 0; i < countof(shells) && !known; i++) {
        known = strcmp(shell, shells[i].shell) == 0;
        if (known)
            shells[i].write(&all, out);
    }
    free(all.item);
    return known;
}
