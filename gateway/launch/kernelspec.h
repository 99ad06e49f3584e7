/* The installed kernelspecs, and the one of this build.
 *
 * Searched, first found wins: the operator's kernel_dirs, JUPYTER_PATH, share/jupyter of the
 * configured Python's environment, JUPYTER_DATA_DIR or ~/.local/share/jupyter,
 * /usr/local/share/jupyter, /usr/share/jupyter, and at last the built-in "warmcell" and its like
 * for each further language whose program is installed, so that a gateway works without an
 * installation. Source: jupyter_core paths.py, jupyter_client
 * kernelspec.py. */
#ifndef WARMCELL_GATEWAY_LAUNCH_KERNELSPEC_H
#define WARMCELL_GATEWAY_LAUNCH_KERNELSPEC_H

#include <jansson.h>

#include "gateway/launch/language.h"
#include "gateway/settings.h"
#include "protocol/err.h"

#define KERNELSPEC_LIMIT_BYTES (256 * 1024)
#define KERNELSPEC_BUILT_IN    "warmcell"

struct kernelspecs;

/* One spec. Borrowed from its kernelspecs until the next call of kernelspecs_find or
 * kernelspecs_each. */
struct kernelspec {
    char *name;
    char *dir;         /* NULL: built in */
    json_t *spec;      /* argv, env, display_name, language, interrupt_mode, metadata (and
                          kernel_protocol_version) */
    json_t *resources; /* {"logo-64x64": "logo-64x64.png"}: file names */
};

/* settings is borrowed. */
struct kernelspecs *kernelspecs_new(const struct settings_core *settings);
void kernelspecs_free(struct kernelspecs *s);

/* Names of kernelspecs: 1..100 of [A-Za-z0-9._-], not starting with a dot. */
bool kernelspec_name_valid(const char *name);

/* Reads a kernel.json: fills in what is absent, 400 names the member that is wrong. A new reference
 * or NULL. */
json_t *kernelspec_parse(const char *text, size_t len, struct err *e);

/* What runs our host with that language; option and value are its first words. Given. NULL: 422 the
 * language is not installed; 503 there is no host. */
json_t *kernelspec_of_language(const struct settings_core *settings, const struct language *l,
                               const char *option, const char *value, struct err *e);

/* The spec of a name; what changed on disk is seen. NULL with e 404 (e may be NULL). */
const struct kernelspec *kernelspecs_find(struct kernelspecs *s, const char *name, struct err *e);

/* All of them, in search order. */
const struct kernelspec *const *kernelspecs_all(struct kernelspecs *s, size_t *count);

/* The name that a request without one means. Borrowed. */
const char *kernelspecs_default(struct kernelspecs *s);

/* The path of a file of a spec that `resources` lists or that is in its folder; given to the
 * caller. NULL with e 404: no such file, or a name that is not a plain file name. */
char *kernelspec_file(const struct kernelspec *spec, const char *file, struct err *e);

/* metadata.warmcell.uplink: the program of argv takes --uplink and --lease and can be adopted. */
bool kernelspec_has_uplink(json_t *spec);
/* And it runs our interpreter, not another language's driver: a keeper can fork it. */
bool kernelspec_can_fork(json_t *spec);

#endif
