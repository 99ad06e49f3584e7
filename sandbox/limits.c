/* The limits of a sandbox as JSON and as numbers. One table says what each is called, how it is
 * counted and between which bounds it makes sense; reading, writing and the texts of refusal come
 * from it. The keeper, the host and the gateway all read limits through here. */
#include "sandbox/limits.h"

#include <math.h>
#include <string.h>

#include "protocol/json.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PIB (1024 * 1024 * GIB)
#define DAY INT64_C(86400000)

const struct limits limits_default = {
    .memory_bytes = 2 * GIB,
    .cpu_millis = 2000,
    .processes = 256,
    .open_files = 1024,
    .workspace_bytes = 2 * GIB,
    .workspace_inodes = 200000,
    .tmp_bytes = 256 * MIB,
    .output_bytes = 256 * MIB,
};

/* scale: how many of our units one of the JSON's is. 1: a whole number there; otherwise a number
 * with a fraction. low and high are in our units; 0 is always allowed. */
static const struct limit {
    const char *name;
    size_t offset;
    int64_t scale;
    int64_t low, high;
} table[] = {
    {"memory_bytes", offsetof(struct limits, memory_bytes), 1, 16 * MIB, PIB},
    {"cpus", offsetof(struct limits, cpu_millis), 1000, 10, 4096000},
    {"processes", offsetof(struct limits, processes), 1, 4, 4194304},
    {"open_files", offsetof(struct limits, open_files), 1, 32, 1048576},
    {"workspace_bytes", offsetof(struct limits, workspace_bytes), 1, 64 * KIB, PIB},
    {"workspace_inodes", offsetof(struct limits, workspace_inodes), 1, 16, 1000000000},
    {"tmp_bytes", offsetof(struct limits, tmp_bytes), 1, 64 * KIB, PIB},
    {"output_bytes", offsetof(struct limits, output_bytes), 1, 1 * KIB, PIB},
    {"execution_s", offsetof(struct limits, execution_ms), 1000, 1, 366 * DAY},
    {"idle_s", offsetof(struct limits, idle_ms), 1000, 1, 366 * DAY},
    {"life_s", offsetof(struct limits, life_ms), 1000, 1, 366 * DAY},
};

static int64_t *place_of(struct limits *l, const struct limit *row)
{
    return (int64_t *)(void *)((char *)l + row->offset);
}

/* A whole number as one, so that 2000 ms read as 2 and not as 2.0. */
static json_t *value_of(int64_t units, int64_t scale)
{
    return units % scale == 0 ? json_integer(units / scale)
                              : json_real((double)units / (double)scale);
}

static bool out_of_range(const struct limit *row, struct err *e)
{
    return fail(e, 400, "%s: must be 0 (no limit) or from %.16g to %.16g", row->name,
                (double)row->low / (double)row->scale, (double)row->high / (double)row->scale);
}

static bool read_one(const struct limit *row, json_t *value, int64_t *out, struct err *e)
{
    int64_t units;
    if (json_is_integer(value)) {
        json_int_t whole = json_integer_value(value);
        if (whole < 0 || whole > row->high / row->scale)
            return out_of_range(row, e);
        units = whole * row->scale;
    } else if (json_is_real(value) && row->scale > 1) {
        double scaled = json_real_value(value) * (double)row->scale;
        /* the comparison refuses what is no number, too */
        if (!(scaled >= 0 && scaled <= (double)row->high))
            return out_of_range(row, e);
        units = llround(scaled);
        if (units == 0 && scaled > 0)
            return out_of_range(row, e);
    } else {
        return fail(e, 400, "%s: must be a %snumber", row->name, row->scale > 1 ? "" : "whole ");
    }
    if (units != 0 && units < row->low)
        return out_of_range(row, e);
    *out = units;
    return true;
}

bool limits_read(json_t *object, struct limits *out, struct err *e)
{
    struct limits read = *out;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        const struct limit *row = NULL;
        for (size_t i = 0; i < countof(table) && !row; i++)
            if (strcmp(name, table[i].name) == 0)
                row = &table[i];
        if (!row)
            return fail(e, 400, "limits: there is no limit called \"%.60s\"", name);
        if (!json_is_null(value) && !read_one(row, value, place_of(&read, row), e))
            return false;
    }
    *out = read;
    return true;
}

json_t *limits_json(const struct limits *l)
{
    struct limits copy = *l;
    json_t *object = json_object();
    for (size_t i = 0; i < countof(table); i++)
        json_object_set_new(object, table[i].name,
                            value_of(*place_of(&copy, &table[i]), table[i].scale));
    return object;
}
