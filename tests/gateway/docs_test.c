/* Every row of every route table says what it takes and answers, and says nothing that is not so:
 * the document that is made of them holds together. */
#include "tests/unit.h"

#include <string.h>

#include "gateway/dialect/members.h"
#include "gateway/dialect/openapi.h"
#include "gateway/dialect/tables.h"
#include "gateway/home.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define TABLES_MOST 32

static size_t all_tables(const struct route_table *out[TABLES_MOST])
{
    size_t count = 0;
    out[count++] = &home_routes;
    for (size_t i = 0; i < dialect_table_count; i++)
        out[count++] = dialect_tables[i];
    return count;
}

static void each_route(void (*check)(const struct route *route))
{
    const struct route_table *tables[TABLES_MOST];
    size_t count = all_tables(tables);
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < tables[t]->count; i++)
            check(&tables[t]->routes[i]);
}

static void check_documented(const struct route *r)
{
    if (!r->doc)
        stop_test("%s has no doc", r->pattern);
    if (!r->summary || !*r->summary || !r->doc->tag)
        stop_test("%s has no summary or no tag", r->pattern);
    if (!r->doc->replies[0].status)
        stop_test("%s answers nothing", r->pattern);
    for (size_t i = 0; i < countof(r->doc->replies) && r->doc->replies[i].status; i++)
        if (r->doc->replies[i].status < 100 || r->doc->replies[i].status > 499)
            stop_test("%s: %d is no answer", r->pattern, r->doc->replies[i].status);
}

static void every_route_is_documented(void **state)
{
    (void)state;
    each_route(check_documented);
}

static const struct doc_field *field_of(const struct doc_field *fields, const char *name,
                                        size_t len)
{
    for (const struct doc_field *f = fields; f && f->name; f++)
        if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
            return f;
    return NULL;
}

static void check_path(const struct route *r)
{
    size_t named = 0, documented = 0;
    for (const char *at = strchr(r->pattern, '{'); at; at = strchr(at + 1, '{'), named++)
        if (!field_of(r->doc->path, at + 1, strcspn(at + 1, "*}")))
            stop_test("%s: a parameter of the path is not documented", r->pattern);
    for (const struct doc_field *f = r->doc->path; f && f->name; f++)
        documented++;
    if (named != documented)
        stop_test("%s has %zu parameters, %zu are documented", r->pattern, named, documented);
}

static void parameters_of_paths_are_documented(void **state)
{
    (void)state;
    each_route(check_path);
}

static void check_errors(const struct route *r)
{
    for (size_t i = 0; i < countof(r->doc->errors) && r->doc->errors[i].status; i++) {
        bool known = false;
        for (size_t n = 0; n < countof(r->errors); n++)
            known = known || r->errors[n] == r->doc->errors[i].status;
        if (!known)
            stop_test("%s: %d is no error of this row", r->pattern, r->doc->errors[i].status);
    }
}

static void errors_with_words_are_those_of_the_row(void **state)
{
    (void)state;
    each_route(check_errors);
}

/* A field whose JSON does not parse became null, and so did what holds it. */
static void check_json(const char *text, const char *where)
{
    scoped(json) json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : json_null();
    if (!value)
        stop_test("%s: not JSON: %s", where, text);
}

static void check_fields(const struct doc_field *fields, const char *where);

static void check_schema(const struct doc_schema *s)
{
    static const struct doc_schema *seen[200];
    static size_t seen_count;
    for (size_t i = 0; s && i < seen_count; i++) {
        if (seen[i] == s)
            return;
        if (strcmp(seen[i]->name, s->name) == 0)
            stop_test("two schemas are called %s", s->name);
    }
    if (!s)
        return;
    assert_true(seen_count < countof(seen));
    seen[seen_count++] = s;
    check_json(s->json, s->name);
    if (!s->json == !s->fields)
        stop_test("%s needs either fields or json", s->name);
    check_fields(s->fields, s->name);
}

static void check_fields(const struct doc_field *fields, const char *where)
{
    for (const struct doc_field *f = fields; f && f->name; f++) {
        if (!f->about || !*f->about)
            stop_test("%s: %s says nothing of itself", where, f->name);
        check_json(f->initial, f->name);
        check_json(f->example, f->name);
        check_schema(f->of);
    }
}

static void check_shapes(const struct route *r)
{
    check_fields(r->doc->path, r->pattern);
    check_fields(r->doc->query, r->pattern);
    check_fields(r->doc->headers, r->pattern);
    check_json(r->doc->body_example, r->pattern);
    check_schema(r->doc->body);
    for (size_t i = 0; i < countof(r->doc->replies) && r->doc->replies[i].status; i++) {
        check_schema(r->doc->replies[i].schema);
        check_fields(r->doc->replies[i].headers, r->pattern);
    }
}

static void shapes_are_whole(void **state)
{
    (void)state;
    each_route(check_shapes);
}

/* Those of other dialects go on where a client says more than they know. */
static void check_closed(const struct route *r)
{
    if (r->doc->body && r->doc->body->closed != (strncmp(r->pattern, "/v1/", 4) == 0))
        stop_test("%s: its body is%s closed", r->pattern, r->doc->body->closed ? "" : " not");
    if (r->doc->body && !r->doc->body->elsewhere != !r->doc->body->elsewhere_why)
        stop_test("%s: words without a reason, or a reason without words", r->pattern);
}

static void bodies_of_the_native_api_are_closed(void **state)
{
    (void)state;
    each_route(check_closed);
}

static const struct doc_schema inner = {
    .name = "Inner",
    .closed = true,
    .fields = FIELDS(INTEGER("min", "One."), INTEGER("max", "Another.")),
};

static const struct doc_schema outer = {
    .name = "Outer",
    .closed = true,
    .elsewhere = "fixed kept",
    .elsewhere_why = "stays as it is",
    .fields = FIELDS(INTEGER("expires_in_s", "A number."), OBJECT("pool", &inner, "An object."),
                     LIST("items", &inner, "A list."), MAP("env", &inner, "A map."),
                     ANY("any", "Anything.")),
};

/* text NULL: nothing is wrong. */
static void check_members(const char *json, const char *text)
{
    struct err e = {0};
    scoped(json) json_t *body = json_loads(json, 0, NULL);
    assert_non_null(body);
    if (members_check(body, &outer, &e) != !text)
        stop_test("%s: %s", json, e.text);
    if (text) {
        assert_int_equal(e.status, 400);
        assert_text(e.text, text);
    }
}

static void members_that_nobody_reads_are_refused(void **state)
{
    (void)state;
    check_members("{}", NULL);
    check_members("{\"pool\": {\"min\": []}, \"items\": [{}, 1], \"any\": {\"a\": 1}}", NULL);
    check_members("{\"env\": {\"a\": {\"b\": 1}}, \"pool\": null, \"items\": {\"a\": 1}}", NULL);
    check_members("{\"expires_s\": 3}",
                  "expires_s: there is no such member; did you mean expires_in_s?");
    check_members("{\"expiresInS\": 3}",
                  "expiresInS: there is no such member; did you mean expires_in_s?");
    check_members("{\"any\": 1, \"\": 1}",
                  ": there is no such member; there are: expires_in_s, pool, items, env, any");
    check_members(
        "{\"timeout\": 1}",
        "timeout: there is no such member; there are: expires_in_s, pool, items, env, any");
    check_members("{\"pool\": {\"mix\": 1}}",
                  "pool.mix: there is no such member; did you mean min?");
    check_members("{\"items\": [{}, {\"maxx\": 1}]}",
                  "items[1]: maxx: there is no such member; did you mean max?");
    check_members("{\"kept\": null}", "kept: stays as it is");
    check_members("{\"kep\": 1}",
                  "kep: there is no such member; there are: expires_in_s, pool, items, env, any");
    check_members("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": 1}",
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: there is no such member; there are: "
                  "expires_in_s, pool, items, env, any");
}

/* Every "$ref" of value leads to something in document. */
static void check_references(json_t *value, json_t *document)
{
    const char *name;
    json_t *item;
    size_t i;
    const char *ref = json_string_value(json_object_get(value, "$ref"));
    const char *prefix = "#/components/schemas/";
    if (ref) {
        json_t *named = json_object_get(json_object_get(document, "components"), "schemas");
        if (strncmp(ref, prefix, strlen(prefix)) != 0 ||
            !json_is_object(json_object_get(named, ref + strlen(prefix))))
            stop_test("nothing is at %s", ref);
    }
    json_object_foreach(value, name, item) check_references(item, document);
    json_array_foreach(value, i, item) check_references(item, document);
}

static void the_document_has_all_routes_and_no_loose_ends(void **state)
{
    (void)state;
    const struct route_table *tables[TABLES_MOST];
    size_t count = all_tables(tables), routes = 0, operations = 0;
    scoped(json) json_t *document = openapi_document(tables, count, "/base");
    const char *path, *method, *id;
    json_t *item, *operation;
    scoped(json) json_t *ids = json_object();
    assert_non_null(document);
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            id = json_string_value(json_object_get(operation, "operationId"));
            if (!id || json_object_get(ids, id))
                stop_test("%s %s: its operationId is not its own", method, path);
            json_object_set_new(ids, id, json_true());
            operations++;
        }
        assert_null(strchr(path, '*'));
    }
    for (size_t t = 0; t < count; t++)
        routes += tables[t]->count;
    assert_int_equal(operations, routes);
    check_references(document, document);
    item = json_array_get(json_object_get(document, "servers"), 0);
    assert_text(json_string_value(json_object_get(item, "url")), "/base");
}

static void an_undocumented_row_is_served_by_its_summary(void **state)
{
    (void)state;
    static const struct route row[] = {{.method = PUT, .pattern = "/a/{b*}", .summary = "Put"}};
    static const struct route_table table = {row, 1};
    const struct route_table *const tables[] = {&table};
    scoped(json) json_t *document = openapi_document(tables, 1, "");
    json_t *path = json_object_get(json_object_get(document, "paths"), "/a/{b}");
    json_t *operation = json_object_get(path, "put");
    assert_text(json_string_value(json_object_get(operation, "summary")), "Put");
    assert_text(json_string_value(json_object_get(operation, "operationId")), "put_a_b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_documented),
        cmocka_unit_test(parameters_of_paths_are_documented),
        cmocka_unit_test(errors_with_words_are_those_of_the_row),
        cmocka_unit_test(shapes_are_whole),
        cmocka_unit_test(bodies_of_the_native_api_are_closed),
        cmocka_unit_test(members_that_nobody_reads_are_refused),
        cmocka_unit_test(the_document_has_all_routes_and_no_loose_ends),
        cmocka_unit_test(an_undocumented_row_is_served_by_its_summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
