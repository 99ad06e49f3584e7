/* history_request: parsed here, answered by the history's thread when its turn comes. */
#include "kernel/host/kernel.h"

bool answer_history(struct kernel *k, struct request *request)
{
    struct history_query query = {0};
    struct err e;
    if (!history_query_parse(request->content, &query, &e)) {
        kernel_answer_error(k, request, "BadMessage", e.text);
        return true;
    }
    if (!k->history) {
        static const char none[] = "{\"status\":\"ok\",\"history\":[]}";
        publish_reply(&k->publisher, request, &(struct body){.content = bytes_of(none)});
        history_query_free(&query);
        return true;
    }
    history_ask(k->history, request->number, &query);
    history_query_free(&query);
    return false;
}

void history_on_session(void *kernel, int64_t session)
{
    struct kernel *k = kernel;
    k->history_session = session;
    kernel_hello(k);
}

void history_on_answer(void *kernel, uint64_t number, struct bytes content)
{
    struct kernel *k = kernel;
    if (!k->running || k->running->number != number)
        return; /* the interpreter died meanwhile, and everything that was asked was answered */
    publish_reply(&k->publisher, k->running, &(struct body){.content = content});
    kernel_finish(k);
}
