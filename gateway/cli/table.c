/* Widths are counted in characters of UTF-8, not in columns of a terminal: ids, states and numbers
 * are what stands in tables. */
#include "gateway/cli/table.h"
#include "gateway/cli/model.h"

#include <stdio.h>
#include <unistd.h>

#include "protocol/memory.h"

#define COLUMNS_LIMIT 16
#define GAP           2

struct table {
    const char *const *headers;
    size_t columns;
    char **cells;
    size_t count;
};

struct table *table_new(const char *const *headers, size_t columns)
{
    struct table *t = xcalloc(1, sizeof *t);
    t->headers = headers;
    t->columns = columns < COLUMNS_LIMIT ? columns : COLUMNS_LIMIT;
    return t;
}

void table_add(struct table *t, const char *text)
{
    char *cell = model_visible(xstrdup(text ? text : "-"));
    t->cells = xrealloc(t->cells, (t->count + 1) * sizeof *t->cells);
    t->cells[t->count++] = cell;
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void print_row(const struct table *t, const char *const *cells, const size_t *widths)
{
    for (size_t i = 0; i < t->columns; i++) {
        fputs(cells[i], stdout);
        if (i + 1 < t->columns)
            printf("%*s", (int)(widths[i] - characters(cells[i]) + GAP), "");
    }
}

void table_print(struct table *t)
{
    size_t widths[COLUMNS_LIMIT];
    bool bold = colour_wanted(STDOUT_FILENO);
    for (size_t i = 0; i < t->columns; i++)
        widths[i] = characters(t->headers[i]);
    for (size_t i = 0; i < t->count; i++)
        if (characters(t->cells[i]) > widths[i % t->columns])
            widths[i % t->columns] = characters(t->cells[i]);
    fputs(bold ? "\033[1m" : "", stdout);
    print_row(t, t->headers, widths);
    puts(bold ? "\033[0m" : "");
    for (size_t row = 0; (row + 1) * t->columns <= t->count; row++) {
        print_row(t, (const char *const *)t->cells + row * t->columns, widths);
        putchar('\n');
    }
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}

bool colour_wanted(int fd)
{
    const char *no = getenv("NO_COLOR");
    return (!no || !*no) && isatty(fd);
}
