/* What a row of the route table says of itself: /openapi.json, /docs and /api/swagger.json are made
 * from it.
 *
 * A dialect writes it beside its rows, as constants, with the words below:
 *
 *     static const struct doc_schema greeting = {
 *         .name = "Greeting",
 *         .whole = true,
 *         .fields = FIELDS(TEXT("text", "What is said."),
 *                          INTEGER("times", "How often.", .least = 1, .most = 9)),
 *     };
 *     static const struct doc greeting_show = {
 *         .tag = "Greetings",
 *         .path = FIELDS(TEXT("id", "Of a greeting.")),
 *         .replies = {REPLY(200, "The greeting.", .schema = &greeting)},
 *     };
 *
 * and the row gets .doc = &greeting_show. Errors are the row's own; here they get words where the
 * usual ones do not say enough. The unit test of the tables fails for a row without a doc. All
 * texts are plain, in whole sentences; `code` in backquotes is shown as such. */
#ifndef WARMCELL_GATEWAY_NET_DOC_H
#define WARMCELL_GATEWAY_NET_DOC_H

#include <stdbool.h>
#include <stdint.h>

enum doc_type {
    DOC_TEXT,
    DOC_INTEGER,
    DOC_NUMBER,
    DOC_BOOLEAN,
    DOC_OBJECT, /* of: its schema */
    DOC_LIST,   /* of, or items: what is in it */
    DOC_MAP,    /* an object with names of the user's own; of, or items: its values */
    DOC_ANY,
};

struct doc_schema;

/* A member of an object, a parameter, or a header. */
struct doc_field {
    const char *name; /* NULL ends a table */
    enum doc_type type;
    const char *about;
    const struct doc_schema *of; /* of an object, a list or a map */
    enum doc_type items;         /* of a list or a map without `of` */
    const char *words;           /* a text's: no other ones are there; "idle busy dead" */
    const char *format;          /* a text's: JSON Schema's "uuid", "date-time" */
    const char *pattern;         /* a text's: a regular expression */
    const char *initial;         /* JSON: what its absence means */
    const char *example;         /* JSON */
    int64_t least, most;         /* a number's value, a text's length; both 0: no bound */
    bool must;                   /* in a request: cannot be left out */
    bool null;                   /* may be null */
};

/* A named shape. */
struct doc_schema {
    const char *name; /* unique in the gateway */
    const char *about;
    const struct doc_field *fields; /* of an object */
    bool whole;                     /* its members are always all there, as in answers */
    const char *json;               /* instead of fields: JSON Schema of what is no plain object */
    bool closed;               /* in a request: other members are refused (dialect/members.h) */
    const char *elsewhere;     /* words: of those the refusal says … */
    const char *elsewhere_why; /* … this: "cannot be changed" */
};

struct doc_reply {
    int status; /* 0 ends */
    const char *about;
    const struct doc_schema *schema; /* NULL and no type: no body */
    const char *type;                /* NULL: application/json; else the media type */
    const struct doc_field *headers; /* NULL: none of its own */
};

struct doc_error {
    int status; /* one of the row's errors; 0 ends */
    const char *about;
};

struct doc {
    const char *tag;                 /* the group it is shown in */
    const char *about;               /* what the summary does not say; may be NULL */
    const struct doc_field *path;    /* for each {name} of the pattern */
    const struct doc_field *query;   /* NULL: none */
    const struct doc_field *headers; /* NULL: none of its own */
    const struct doc_schema *body;   /* JSON; NULL and no body_type: takes none */
    const char *body_type;           /* the body's, when it is not JSON */
    const char *body_example;        /* JSON */
    bool body_must;                  /* an absent body is not {} */
    bool streams;                    /* the answer comes as it is made */
    struct doc_reply replies[6];     /* several with one status: of several media types */
    struct doc_error errors[12];
};

/* A table of fields; each may go on with designated members: TEXT("id", "…", .format = "uuid"). */
#define FIELDS(...)                                                                                \
    (const struct doc_field[])                                                                     \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            .name = NULL                                                                           \
        }                                                                                          \
    }
#define FIELD_OF(type_, name_, about_, ...)                                                        \
    {                                                                                              \
        .name = name_, .type = type_, .about = about_, ##__VA_ARGS__                               \
    }
#define TEXT(name_, about_, ...)    FIELD_OF(DOC_TEXT, name_, about_, ##__VA_ARGS__)
#define INTEGER(name_, about_, ...) FIELD_OF(DOC_INTEGER, name_, about_, ##__VA_ARGS__)
#define NUMBER(name_, about_, ...)  FIELD_OF(DOC_NUMBER, name_, about_, ##__VA_ARGS__)
#define BOOLEAN(name_, about_, ...) FIELD_OF(DOC_BOOLEAN, name_, about_, ##__VA_ARGS__)
#define ANY(name_, about_, ...)     FIELD_OF(DOC_ANY, name_, about_, ##__VA_ARGS__)
#define REPLY(status_, about_, ...)                                                                \
    {                                                                                              \
        .status = status_, .about = about_, ##__VA_ARGS__                                          \
    }
/* schema_ is a pointer, or NULL when .items says it. */
#define OBJECT(name_, schema_, about_, ...)                                                        \
    FIELD_OF(DOC_OBJECT, name_, about_, .of = schema_, ##__VA_ARGS__)
#define LIST(name_, schema_, about_, ...)                                                          \
    FIELD_OF(DOC_LIST, name_, about_, .of = schema_, ##__VA_ARGS__)
#define MAP(name_, schema_, about_, ...)                                                           \
    FIELD_OF(DOC_MAP, name_, about_, .of = schema_, ##__VA_ARGS__)

#endif
