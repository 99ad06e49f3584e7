/* Docs as JSON Schema, draft 2020-12, which OpenAPI 3.1 has. A schema that speaks of itself is no
 * trouble: its name is taken before its members are looked at. */
#include "gateway/dialect/openapi_schema.h"

#include <string.h>

#include "protocol/memory.h"

static const char *const types[] = {
    [DOC_TEXT] = "string",     [DOC_INTEGER] = "integer", [DOC_NUMBER] = "number",
    [DOC_BOOLEAN] = "boolean", [DOC_OBJECT] = "object",   [DOC_LIST] = "array",
    [DOC_MAP] = "object",      [DOC_ANY] = NULL,
};

static json_t *type_alone(enum doc_type type)
{
    return types[type] ? json_pack("{s:s}", "type", types[type]) : json_object();
}

static json_t *items_of(const struct doc_field *f, json_t *named)
{
    return f->of ? openapi_schema(f->of, named) : type_alone(f->items);
}

static json_t *words_of(const char *words)
{
    json_t *list = json_array();
    for (size_t len; *words; words += len) {
        words += strspn(words, " ");
        len = strcspn(words, " ");
        if (len)
            json_array_append_new(list, json_stringn(words, len));
    }
    return list;
}

static void add_bounds(json_t *schema, const struct doc_field *f)
{
    bool text = f->type == DOC_TEXT;
    if (f->least || f->most)
        json_object_set_new(schema, text ? "minLength" : "minimum", json_integer(f->least));
    if (f->most)
        json_object_set_new(schema, text ? "maxLength" : "maximum", json_integer(f->most));
}

static void add_text(json_t *schema, const char *name, const char *text)
{
    if (text)
        json_object_set_new(schema, name, json_string(text));
}

static void add_json(json_t *schema, const char *name, const char *text)
{
    if (text)
        json_object_set_new(schema, name, json_loads(text, JSON_DECODE_ANY, NULL));
}

static json_t *plain(const struct doc_field *f, json_t *named)
{
    if (f->type == DOC_OBJECT && f->of)
        return openapi_schema(f->of, named);
    json_t *schema = type_alone(f->type);
    if (f->type == DOC_LIST)
        json_object_set_new(schema, "items", items_of(f, named));
    if (f->type == DOC_MAP)
        json_object_set_new(schema, "additionalProperties", items_of(f, named));
    if (f->words)
        json_object_set_new(schema, "enum", words_of(f->words));
    add_bounds(schema, f);
    add_text(schema, "format", f->format);
    add_text(schema, "pattern", f->pattern);
    return schema;
}

/* null beside what it is else: in "type" where there is one, so that it stays readable. */
static json_t *with_null(json_t *schema)
{
    json_t *type = json_object_get(schema, "type"), *words = json_object_get(schema, "enum");
    if (!type)
        return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null");
    json_object_set_new(schema, "type", json_pack("[O, s]", type, "null"));
    if (words)
        json_array_append_new(words, json_null());
    return schema;
}

json_t *openapi_field(const struct doc_field *f, json_t *named)
{
    json_t *schema = plain(f, named);
    if (f->null && f->type != DOC_ANY)
        schema = with_null(schema);
    add_text(schema, "description", f->about);
    add_json(schema, "default", f->initial);
    if (f->example)
        json_object_set_new(schema, "examples",
                            json_pack("[o]", json_loads(f->example, JSON_DECODE_ANY, NULL)));
    return schema;
}

static json_t *object_schema(const struct doc_schema *s, json_t *named)
{
    json_t *properties = json_object(), *required = json_array();
    json_t *schema = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
    for (const struct doc_field *f = s->fields; f && f->name; f++) {
        json_object_set_new(properties, f->name, openapi_field(f, named));
        if (s->whole || f->must)
            json_array_append_new(required, json_string(f->name));
    }
    if (json_array_size(required))
        json_object_set(schema, "required", required);
    json_decref(required);
    if (s->closed)
        json_object_set_new(schema, "additionalProperties", json_false());
    return schema;
}

json_t *openapi_schema(const struct doc_schema *s, json_t *named)
{
    scoped(string) char *ref = xasprintf("#/components/schemas/%s", s->name);
    if (!json_object_get(named, s->name)) {
        json_object_set_new(named, s->name, json_true());
        json_t *schema =
            s->json ? json_loads(s->json, JSON_DECODE_ANY, NULL) : object_schema(s, named);
        add_text(schema, "description", s->about);
        json_object_set_new(named, s->name, schema);
    }
    return json_pack("{s:s}", "$ref", ref);
}

static const struct doc_schema problem = {
    .name = "Problem",
    .about = "An error (RFC 9457). The last three are there where a quota was met.",
    .fields =
        FIELDS(TEXT("type", "Always `about:blank`.", .must = true),
               TEXT("title", "The status in words.", .must = true),
               INTEGER("status", "The status.", .least = 400, .most = 599, .must = true),
               TEXT("detail", "What is wrong, in one sentence.", .must = true),
               TEXT("quota", "Which quota, as `/v1/usage` names it."),
               INTEGER("limit", "How much there may be."), INTEGER("used", "How much there is.")),
};

static const struct doc_schema jupyter = {
    .name = "JupyterError",
    .about = "An error as Jupyter Server says it.",
    .fields = FIELDS(TEXT("message", "What is wrong, in one sentence.", .must = true),
                     TEXT("reason", "The status in words.", .null = true)),
};

static const struct doc_schema cloud = {
    .name = "CloudError",
    .about = "An error as cloud_sandbox says it; of 401 `error` is `unauthorized`.",
    .fields = FIELDS(TEXT("error", "What is wrong, in one sentence.", .must = true),
                     TEXT("message", "The sentence of a 401.")),
};

json_t *openapi_errors(void)
{
    json_t *named = json_object();
    json_decref(openapi_schema(&problem, named));
    json_decref(openapi_schema(&jupyter, named));
    json_decref(openapi_schema(&cloud, named));
    return named;
}
