/* JSON values as text. Jansson prints what must be escaped with printf, a character at a time,
 * which takes seconds for the outputs of megabytes that an answer may have in it. */
#include "protocol/json.h"

static int append(const char *text, size_t len, void *out)
{
    buffer_add(out, text, len);
    return 0;
}

static void write_object(struct buffer *out, json_t *object)
{
    const char *name, *before = "{";
    json_t *value;
    json_object_foreach(object, name, value)
    {
        buffer_add_text(out, before);
        json_quote(out, bytes_of(name));
        buffer_add_text(out, ":");
        json_write(out, value);
        before = ",";
    }
    buffer_add_text(out, *before == '{' ? "{}" : "}");
}

static void write_array(struct buffer *out, json_t *array)
{
    json_t *value;
    size_t i;
    buffer_add_text(out, "[");
    json_array_foreach(array, i, value)
    {
        buffer_add_text(out, i ? "," : "");
        json_write(out, value);
    }
    buffer_add_text(out, "]");
}

void json_write(struct buffer *out, json_t *value)
{
    if (json_is_object(value))
        write_object(out, value);
    else if (json_is_array(value))
        write_array(out, value);
    else if (json_is_string(value))
        json_quote(out, (struct bytes){json_string_value(value), json_string_length(value)});
    else
        json_dump_callback(value, append, out, JSON_ENCODE_ANY);
}
