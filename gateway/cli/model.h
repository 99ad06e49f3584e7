/* What the gateway answers, shown to people or passed on, and what verbs do to each of their words.
 */
#ifndef WARMCELL_GATEWAY_CLI_MODEL_H
#define WARMCELL_GATEWAY_CLI_MODEL_H

#include <jansson.h>

#include "gateway/cli/cli.h"

/* A member's text, borrowed; "-" where there is none. */
const char *model_text(const json_t *model, const char *name);

/* Puts "?" in the place of each control character: what a sandbox chose orders nothing of a
 * terminal. Gives text back. */
char *model_visible(char *text);
/* What model_text has, so; given. Of a string itself: name NULL. */
char *model_shown(const json_t *model, const char *name);

/* As JSON, indented, to stdout. */
void model_print(const json_t *value);

/* Does `one` to every word, also behind one that fails, and with --json prints the list of what it
 * gave, unless nothing came of any. `one` gives what is to be said of a word; NULL: e is filled.
 * False: e is the first problem.
 */
bool model_each_word(struct cli *c, json_t *(*one)(struct cli *c, const char *word, struct err *e),
                     struct err *e);

#endif
