/* Requests that make something, from a file of JSON and the options that go over it. */
#ifndef WARMCELL_GATEWAY_CLI_BODY_H
#define WARMCELL_GATEWAY_CLI_BODY_H

#include <jansson.h>

#include "gateway/settings.h"
#include "protocol/err.h"

/* An object: what the file at path holds; - is stdin; NULL: {}. Given; NULL: CLI_USAGE. */
json_t *body_from(const char *path, struct err *e);
/* Puts a member in; false: text is not UTF-8 (CLI_USAGE). NULL: nothing is put. */
bool body_text(json_t *body, const char *member, const char *text, struct err *e);
/* "NAME=1.5" each, into the member "limits". CLI_USAGE. */
bool body_limits(json_t *body, const struct string_list *limits, struct err *e);
/* "NAME=TEXT" each, or "NAME" for an empty text, into the member, of which the option speaks. */
bool body_pairs(json_t *body, const char *member, const char *option,
                const struct string_list *pairs, struct err *e);
/* "network": a word, or else hosts; neither: nothing is put. */
bool body_network(json_t *body, const char *word, const struct string_list *allow, struct err *e);

#endif
