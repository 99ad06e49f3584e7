/* The languages that kernels run. One table: the contexts of sandboxes, the kernelspecs that
 * `warmcell kernelspec install` writes, what sandboxes show of this machine, and /v1/languages come
 * from its rows (docs/languages.md says how one is added). */
#ifndef WARMCELL_GATEWAY_LAUNCH_LANGUAGE_H
#define WARMCELL_GATEWAY_LAUNCH_LANGUAGE_H

#include <jansson.h>

#include "gateway/launch/spawn.h"
#include "protocol/err.h"

#define LANGUAGE_WORDS_MOST 8

/* A row; all of it is constant. */
struct language {
    const char *name;           /* as requests, contexts and kernelspecs have it: "javascript" */
    const char *title;          /* what runs it, for people: "Node" */
    const char *display_name;   /* of its kernelspec: "JavaScript (warmcell)" */
    const char *kernelspec;     /* the name of that: "warmcell-javascript" */
    const char *mime_type;      /* as in Jupyter's language_info, as the next */
    const char *file_extension; /* ".js" */

    /* Of a language with a driver; NULL, 0: our own Python, which the host knows how to start. */
    const char *program; /* looked up on PATH: "node" */
    const char *package; /* Debian's that has it: "nodejs" */
    const char *driver;  /* below kernel/ of a build tree, and below warmcell/ of the data folder:
                            "node/driver.js"; its folder is all that it needs of ours */
    const char *words[LANGUAGE_WORDS_MOST]; /* the command, ended by NULL: "{program}" and
                                               "{driver}" are put in, other words stay */
    const char *version_mark; /* what "--version" prints right before the number: "v" */
    int oldest;               /* the oldest major version that its driver runs on */

    bool keeps_variables; /* snapshots and forks of its contexts are there */
};

/* NULL ends the table; index 0 is Python. */
const struct language *language_at(size_t index);
/* What a request without a language means: Python. */
const struct language *language_default(void);
/* NULL: 400, which names those there are. e may be NULL. */
const struct language *language_find(const char *name, struct err *e);
/* Of a file's name, by its extension; NULL: none. */
const struct language *language_of_file(const char *name);
/* Of a kernel.json, and the default where it is none of the table. */
const struct language *language_of_spec(json_t *spec);

/* Where its program is; given; "": nowhere on PATH, or it is Python. */
char *language_program(const struct language *l);
/* Can a context of it be started? 422: its program or driver is not installed; names the package.
 */
bool language_check(const struct language *l, struct err *e);
/* The words that run its driver, [program, …, driver]; given. program: NULL: the one on PATH. NULL:
 * 422, as above. Not for Python, which has no driver. */
json_t *language_command(const struct language *l, const char *program, struct err *e);
/* What a sandbox must be shown so that contexts of all languages run: absolute paths. */
void language_paths(struct words *out);

#endif
