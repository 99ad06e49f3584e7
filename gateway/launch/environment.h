/* What a kernel finds in its environment.
 *
 * A request that names an environment gets PATH, what the operator lets through
 * (env_process_whitelist), and of what it names KERNEL_* and env_whitelist. A request without one
 * inherits the gateway's environment without its secrets. Each is built afresh from the request:
 * nothing is shared between requests. Source: jupyter kernel_gateway, docs "Environment". */
#ifndef WARMCELL_GATEWAY_LAUNCH_ENVIRONMENT_H
#define WARMCELL_GATEWAY_LAUNCH_ENVIRONMENT_H

#include <jansson.h>

#include "gateway/settings.h"
#include "protocol/err.h"
#include "protocol/memory.h"

#define ENVIRONMENT_LIMIT_BYTES (512 * 1024) /* of names and values that a request names */

/* "NAME=value" strings, owned; vars[count] is NULL, also when {0} was made by environment_init. */
struct environment {
    char **vars;
    size_t count;
};

void environment_init(struct environment *env);
void environment_free(struct environment *env);
static inline void environment_scoped(struct environment *env)
{
    environment_free(env);
}

/* The value of a name, or NULL; borrowed until the name is set again. */
const char *environment_get(const struct environment *env, const char *name);
void environment_set(struct environment *env, const char *name, const char *value);
void environment_copy(const struct environment *env, struct environment *out);

/* 400: asked is not an object of strings, a name is empty or holds "=", or it is too large. */
bool environment_check(json_t *asked, struct err *e);

/* Fills out by the rules above. server is an environ; asked is the body's "env" or NULL.
 * KERNEL_GATEWAY=1 is always there. 400: asked is not an object of strings, a name is empty or
 * holds "=", or it is too large. */
bool environment_build(const struct settings_core *settings, char *const *server, json_t *asked,
                       struct environment *out, struct err *e);

/* Adds a kernelspec's "env": "${NAME}" and "$NAME" in its values stand for what is there already.
 */
void environment_add_spec(struct environment *env, json_t *spec_env);

/* {"NAME": "value"} as a new reference; environment_from_json is its inverse (others than strings
 * are passed over). */
json_t *environment_json(const struct environment *env);
void environment_from_json(json_t *object, struct environment *out);

/* What turns `from` into `to`: {"NAME": "value" or null}, null where a name must go. A new
 * reference. */
json_t *environment_difference(const struct environment *from, const struct environment *to);

#endif
