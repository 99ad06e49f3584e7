/* What the host answers itself, whatever the interpreter is doing. */
#include "kernel/host/kernel.h"

#include "protocol/json.h"

static const char ok[] = "{\"status\":\"ok\"}";

char *kernel_info_content(const char *python_version)
{
    if (!python_version)
        return xstrdup("{\"status\":\"ok\",\"protocol_version\":\"5.5\",\"implementation\":"
                       "\"warmcell\",\"implementation_version\":\"" WARMCELL_VERSION "\","
                       "\"language_info\":{\"name\":\"\",\"version\":\"\",\"mimetype\":"
                       "\"text/plain\",\"file_extension\":\".txt\"},\"banner\":\"\","
                       "\"help_links\":[],\"debugger\":false,\"supported_features\":[]}");
    return xasprintf(
        "{\"status\":\"ok\",\"protocol_version\":\"5.5\",\"implementation\":\"warmcell\","
        "\"implementation_version\":\"" WARMCELL_VERSION "\",\"language_info\":{"
        "\"name\":\"python\",\"version\":\"%s\",\"mimetype\":\"text/x-python\","
        "\"codemirror_mode\":{\"name\":\"ipython\",\"version\":3},\"pygments_lexer\":\"ipython3\","
        "\"nbconvert_exporter\":\"python\",\"file_extension\":\".py\"},"
        "\"banner\":\"Python %s, warmcell " WARMCELL_VERSION "\",\"help_links\":[{\"text\":"
        "\"Python Reference\",\"url\":\"https://docs.python.org/3\"},{\"text\":\"IPython "
        "Reference\",\"url\":\"https://ipython.org/documentation.html\"}],"
        "\"debugger\":false,\"supported_features\":[]}",
        python_version, python_version);
}

void kernel_info_merge(struct kernel *k, json_t *members)
{
    scoped(json) json_t *info = json_loads(k->kernel_info, 0, NULL);
    if (!info || !json_is_object(members))
        return;
    json_object_update(info, members);
    json_object_set_new(info, "status", json_string("ok"));
    free(k->kernel_info);
    k->kernel_info = json_dumps(info, JSON_COMPACT);
}

static bool reply_text(struct kernel *k, const struct request *request, const char *content)
{
    publish_reply(&k->publisher, request, &(struct body){.content = bytes_of(content)});
    return true;
}

bool answer_kernel_info(struct kernel *k, struct request *request)
{
    return reply_text(k, request, k->kernel_info);
}

bool answer_connect(struct kernel *k, struct request *request)
{
    if (!k->connection)
        return reply_text(k, request, ok);
    const int *ports = k->connection->ports;
    scoped(string) char *content =
        xasprintf("{\"status\":\"ok\",\"shell_port\":%d,\"iopub_port\":%d,\"stdin_port\":%d,"
                  "\"hb_port\":%d,\"control_port\":%d}",
                  ports[PORT_SHELL], ports[PORT_IOPUB], ports[PORT_STDIN], ports[PORT_HB],
                  ports[PORT_CONTROL]);
    return reply_text(k, request, content);
}

bool answer_interrupt(struct kernel *k, struct request *request)
{
    kernel_interrupt(k);
    return reply_text(k, request, ok);
}

bool answer_usage(struct kernel *k, struct request *request)
{
    struct buffer content = {0};
    usage_content(k->usage, k->interpreter ? interpreter_pid(k->interpreter) : 0, &content);
    publish_reply(&k->publisher, request, &(struct body){.content = buffer_view(&content)});
    buffer_free(&content);
    return true;
}

/* Answered when the interpreter and its children have ended: see lifecycle.c. */
bool answer_shutdown(struct kernel *k, struct request *request)
{
    queue_add(&k->leaving, request_keep(request));
    kernel_leave(k, PHASE_ENDING);
    return false;
}
