/* The clock of the interpreter is read when an execution begins; how far it came is told with the
 * interpreter's end. What its children used is counted when they end: the interpreter says with
 * each reply how much that was, and what came since is of the execution that ran last. */
#include "kernel/host/spent.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/json.h"

#define NUMBER_MOST  40 /* digits */
#define NUMBER_LIMIT 1e12

void spent_begin(struct spent *s, const struct interpreter *i)
{
    s->cpu_us = process_cpu_us(interpreter_pid(i));
}

/* -1: it is none. It may say anything. */
static double number_of(struct bytes raw)
{
    char text[NUMBER_MOST] = "";
    if (!raw.len || raw.len >= sizeof text || raw.data[0] < '0' || raw.data[0] > '9')
        return -1;
    memcpy(text, raw.data, raw.len);
    double number = strtod(text, NULL);
    return number >= 0 && number < NUMBER_LIMIT ? number : -1;
}

void spent_hear(struct spent *s, struct bytes usage)
{
    struct slice children[] = {{.name = "children_cpu_s"}, {.name = "children_peak_bytes"}};
    if (json_slice_is_object(usage))
        json_slices(usage, children, countof(children), NULL);
    double seconds = number_of(children[0].value), bytes = number_of(children[1].value);
    s->children_us = seconds < 0 ? -1 : (int64_t)(seconds * 1e6);
    s->children_peak_bytes = bytes < 0 ? -1 : (int64_t)bytes;
}

/* What children that ended before the run have had stands in the number, too. Also one that only
 * began as a copy of the interpreter had as much as that then. */
static bool peak_is_of_run(const struct spent *s, const struct process_use *use)
{
    return s->children_peak_bytes < 0 ? use->children_cpu_us == 0
                                      : use->memory_peak_bytes > s->children_peak_bytes;
}

void spent_tell(const struct spent *s, const struct interpreter_end *end, struct buffer *out)
{
    const struct process_use *use = &end->use;
    if (s->apart || !use->known || s->cpu_us < 0)
        return;
    int64_t own = use->cpu_us - s->cpu_us;
    int64_t children = s->children_us >= 0 ? use->children_cpu_us - s->children_us : 0;
    buffer_printf(out, "{\"usage\":{\"cpu_s\":%.6f",
                  (double)((own > 0 ? own : 0) + (children > 0 ? children : 0)) / 1e6);
    if (peak_is_of_run(s, use))
        buffer_printf(out, ",\"memory_peak_bytes\":%lld", (long long)use->memory_peak_bytes);
    buffer_add_text(out, "}}");
}
