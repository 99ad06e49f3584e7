/* The table of languages, and what of them is on this machine. A program is looked for each time
 * that it is asked for, so that one that is installed while the gateway runs is there at once. */
#include "gateway/launch/language.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/launch/toolchain.h"
#include "gateway/place.h"
#include "protocol/json.h"

static const struct language rows[] = {
    {
        .name = "python",
        .title = "Python",
        .display_name = "Python 3 (warmcell)",
        .kernelspec = "warmcell",
        .mime_type = "text/x-python",
        .file_extension = ".py",
        .keeps_variables = true,
    },
    {
        .name = "javascript",
        .title = "Node",
        .display_name = "JavaScript (warmcell)",
        .kernelspec = "warmcell-javascript",
        .mime_type = "text/javascript",
        .file_extension = ".js",
        .program = "node",
        .package = "nodejs",
        .driver = "node/driver.js",
        .words = {"{program}", "{driver}"},
        .version_mark = "v",
        .oldest = 18,
    },
    {
        .name = "bash",
        .title = "Bash",
        .display_name = "Bash (warmcell)",
        .kernelspec = "warmcell-bash",
        .mime_type = "text/x-sh",
        .file_extension = ".sh",
        .program = "bash",
        .package = "bash",
        .driver = "bash/warmcell-bash",
        .words = {"{driver}", "{program}"},
        .version_mark = "bash, version ",
        .oldest = 5,
    },
    {
        .name = "r",
        .title = "R",
        .display_name = "R (warmcell)",
        .kernelspec = "warmcell-r",
        .mime_type = "text/x-r-source",
        .file_extension = ".r",
        .program = "R",
        .package = "r-base-core",
        .driver = "r/warmcell-r",
        .words = {"{driver}", "{program}"},
        .version_mark = "R version ",
        .oldest = 4,
    },
};

const struct language *language_at(size_t index)
{
    return index < countof(rows) ? &rows[index] : NULL;
}

const struct language *language_default(void)
{
    return &rows[0];
}

static const struct language *named(const char *name)
{
    for (size_t i = 0; name && i < countof(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

const struct language *language_find(const char *name, struct err *e)
{
    const struct language *found = named(name);
    scoped(buffer) struct buffer all = {0};
    for (size_t i = 0; i < countof(rows); i++)
        buffer_printf(&all, "%s%s",
                      i == 0                  ? ""
                      : i + 1 < countof(rows) ? ", "
                                              : " or ",
                      rows[i].name);
    if (!found && toolchain_find(name))
        fail(e, 400, "language: %s has no contexts: commands compile and run it; must be %s", name,
             buffer_text(&all));
    else if (!found)
        fail(e, 400, "language: must be %s", buffer_text(&all));
    return found;
}

const struct language *language_of_file(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < countof(rows); i++)
        if (strcmp(rows[i].file_extension, dot) == 0)
            return &rows[i];
    return NULL;
}

const struct language *language_of_spec(json_t *spec)
{
    const struct language *found = named(json_string_value(json_object_get(spec, "language")));
    return found ? found : language_default();
}

/* --- what is on this machine */

char *language_program(const struct language *l)
{
    return l->program ? place_on_path(l->program) : xstrdup("");
}

/* The file itself, not a link of the build tree to it: its folder is shown to sandboxes. Given;
 * NULL: it is nowhere. */
static char *real_driver(const struct language *l)
{
    scoped(string) char *place = l->driver ? place_driver(l->driver) : NULL;
    return place ? realpath(place, NULL) : NULL;
}

/* Given; NULL: 422. */
static char *find_program(const struct language *l, struct err *e)
{
    scoped(string) char *program = language_program(l);
    if (*program)
        return take(&program);
    fail(e, 422, "language: %s needs %s, which is not on the gateway's PATH; install %s", l->name,
         l->program, l->package);
    return NULL;
}

static char *find_driver(const struct language *l, struct err *e)
{
    char *driver = real_driver(l);
    if (!driver)
        fail(e, 422, "language: the driver of %s, %s, is not installed", l->name, l->driver);
    return driver;
}

bool language_check(const struct language *l, struct err *e)
{
    scoped(string) char *program = l->driver ? find_program(l, e) : NULL;
    scoped(string) char *driver = program ? find_driver(l, e) : NULL;
    return !l->driver || driver;
}

json_t *language_command(const struct language *l, const char *program, struct err *e)
{
    scoped(string) char *found = program ? xstrdup(program) : find_program(l, e);
    scoped(string) char *driver = found ? find_driver(l, e) : NULL;
    if (!driver)
        return NULL;
    json_t *command = json_array();
    for (const char *const *word = l->words; *word; word++) {
        const char *text = strcmp(*word, "{program}") == 0  ? found
                           : strcmp(*word, "{driver}") == 0 ? driver
                                                            : *word;
        json_array_append_new(command, json_string(text));
    }
    return command;
}

/* Of a program the file alone: what stands beside it, as the rest of a home folder, is not ours to
 * show. */
void language_paths(struct words *out)
{
    for (size_t i = 0; i < countof(rows); i++) {
        scoped(string) char *program = language_program(&rows[i]), *driver = real_driver(&rows[i]);
        char *real = *program ? realpath(program, NULL) : NULL;
        if (driver)
            words_add(out, xstrdup(dirname(driver)));
        if (real && strcmp(real, program) != 0)
            words_add(out, xstrdup(program));
        if (real)
            words_add(out, real);
    }
}
