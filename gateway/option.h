/* Options: rows of a table, and where their values come from.
 *
 * A row's one name gives all its spellings: "drain-s" is the flag --drain-s, the environment
 * variable WARMCELL_DRAIN_S and the ini key drain_s. Flags win over the environment, that over the
 * ini file, and that over the default. */
#ifndef WARMCELL_GATEWAY_OPTION_H
#define WARMCELL_GATEWAY_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

enum option_kind {
    OPTION_TEXT,    /* char *, owned */
    OPTION_INT,     /* int64_t between low and high */
    OPTION_BOOL,    /* bool; --name, --no-name or --name=true */
    OPTION_LIST,    /* struct string_list; commas, or the flag several times */
    OPTION_LEVEL,   /* enum log_level */
    OPTION_IGNORED, /* understood for the sake of old command lines, without effect */
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset;        /* of the field in the settings */
    const char *fallback; /* as it would be written; NULL: the field stays NULL or zero */
    int64_t low, high;
    const char *help;     /* one sentence or two, without a final full stop */
    const char *also_env; /* another environment variable, or NULL */
    const char *also[4];  /* further flags, as "KernelGatewayApp.port", NULL-terminated */
    bool flag_only;       /* neither environment nor ini file */
};

struct option_table {
    const struct option *rows;
    size_t count;
};

/* What was said outside of flags. */
struct option_sources {
    bool environment;     /* look at it */
    const char *ini_path; /* NULL: none */
    bool ini_must_exist;
};

/* Fills the fields of `settings` (zeroed before) from all sources. args are the words behind the
 * subcommand; words that are no flags are collected in `words` (borrowed), at most words_room. 400
 * names the option and the bad value. */
bool option_parse(const struct option_table *table, char *const *args, size_t count,
                  const struct option_sources *sources, void *settings, const char **words,
                  size_t words_room, size_t *word_count, struct err *e);

/* The value of one flag in args before everything is parsed (--config itself); NULL: not there.
 * Borrowed. */
const char *option_peek(char *const *args, size_t count, const char *name);

/* Releases the owned fields. */
void option_free(const struct option_table *table, void *settings);

/* Removes from this process's environment what may hold secrets, so that no child inherits it. */
void option_unset_environment(const struct option *row);

void option_help(const struct option_table *table, struct buffer *out); /* for a terminal */
void option_markdown(const struct option_table *table,
                     struct buffer *out); /* a table for the docs */

#endif
