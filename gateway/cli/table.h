/* Rows of text with columns aligned, for people. */
#ifndef WARMCELL_GATEWAY_CLI_TABLE_H
#define WARMCELL_GATEWAY_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct table;

/* headers are borrowed. */
struct table *table_new(const char *const *headers, size_t columns);
/* One more cell, left to right, row by row; copied. Control characters become '?'. */
void table_add(struct table *t, const char *text);
/* Writes all rows to stdout, the headers bold on a terminal unless NO_COLOR is set, and frees t. */
void table_print(struct table *t);

/* May what is written to fd (1 or 2) be coloured? A terminal, without NO_COLOR. */
bool colour_wanted(int fd);

#endif
