/* Looked up in the texts of the option for each request: a few short strings are compared faster
 * than a table of them would be kept up to date. */
#include "gateway/net/allowance.h"

#include <stddef.h>
#include <stdlib.h>

#include "gateway/net/principal.h"

#define DIGITS_MOST 18

const struct allowance_word allowance_words[] = {
    {"sandboxes", offsetof(struct allowance, sandboxes)},
    {"kernels", offsetof(struct allowance, kernels)},
    {"memory_bytes", offsetof(struct allowance, memory_bytes)},
    {"disk_bytes", offsetof(struct allowance, disk_bytes)},
    {"requests", offsetof(struct allowance, requests)},
};
const size_t allowance_word_count = countof(allowance_words);

/* "NAME.WORD=N": the name may have points in it, the word has none. */
struct parts {
    struct bytes name, word, number;
};

static bool split(const char *text, struct parts *out)
{
    const char *equals = strrchr(text, '=');
    const char *point = equals ? memrchr(text, '.', (size_t)(equals - text)) : NULL;
    if (!point)
        return false;
    out->name = (struct bytes){text, (size_t)(point - text)};
    out->word = (struct bytes){point + 1, (size_t)(equals - point - 1)};
    out->number = bytes_of(equals + 1);
    return true;
}

static const struct allowance_word *word_of(struct bytes name)
{
    for (size_t i = 0; i < allowance_word_count; i++)
        if (bytes_is(name, allowance_words[i].name))
            return &allowance_words[i];
    return NULL;
}

static bool is_good(const char *text)
{
    struct parts parts;
    if (!split(text, &parts) || !word_of(parts.word))
        return false;
    scoped(string) char *name = xstrndup(parts.name.data, parts.name.len);
    return principal_name_good(name) && parts.number.len >= 1 && parts.number.len <= DIGITS_MOST &&
           strspn(parts.number.data, "0123456789") == parts.number.len;
}

int64_t allowance_number(const struct allowance *allowance, const struct allowance_word *word)
{
    return *(const int64_t *)(const void *)((const char *)allowance + word->offset);
}

static int64_t *number_in(struct allowance *allowance, const struct allowance_word *word)
{
    return (int64_t *)(void *)((char *)allowance + word->offset);
}

bool allowance_read(json_t *object, struct allowance *out, struct err *e)
{
    const char *name;
    json_t *value;
    *out = (struct allowance){0};
    json_object_foreach(object, name, value)
    {
        const struct allowance_word *word = word_of(bytes_of(name));
        if (!word)
            return fail(e, 400,
                        "quotas.%.40s: is none of sandboxes, kernels, memory_bytes, disk_bytes "
                        "and requests",
                        name);
        if (json_is_null(value))
            continue;
        if (!json_is_integer(value) || json_integer_value(value) < 1 ||
            json_integer_value(value) > ALLOWANCE_MOST)
            return fail(e, 400, "quotas.%s: must be a whole number from 1 to %lld, or null", name,
                        (long long)ALLOWANCE_MOST);
        *number_in(out, word) = json_integer_value(value);
    }
    return true;
}

json_t *allowance_json(const struct allowance *allowance)
{
    json_t *object = json_object();
    for (size_t i = 0; i < allowance_word_count; i++) {
        int64_t number = allowance_number(allowance, &allowance_words[i]);
        json_object_set_new(object, allowance_words[i].name,
                            number ? json_integer(number) : json_null());
    }
    return object;
}

bool allowances_check(const struct settings_quota *settings, struct err *e)
{
    if (settings->single.count > ALLOWANCES_LIMIT)
        return fail(e, 400, "quotas: must be at most %d", ALLOWANCES_LIMIT);
    for (size_t i = 0; i < settings->single.count; i++)
        if (!is_good(settings->single.item[i]))
            return fail(e, 400,
                        "quotas: %.100s is not NAME.WORD=N with a word of sandboxes, kernels, "
                        "memory_bytes, disk_bytes and requests",
                        settings->single.item[i]);
    return true;
}

void allowance_of(const struct settings_quota *settings, const char *principal,
                  struct allowance *out)
{
    *out = (struct allowance){settings->sandboxes, settings->kernels, settings->memory_bytes,
                              settings->disk_bytes, settings->requests};
    for (size_t i = 0; i < settings->single.count; i++) {
        struct parts parts;
        if (split(settings->single.item[i], &parts) && bytes_is(parts.name, principal))
            *number_in(out, word_of(parts.word)) = strtoll(parts.number.data, NULL, 10);
    }
}
