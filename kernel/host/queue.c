/* A list of requests, first in first out. */
#include "kernel/host/queue.h"

void queue_add(struct queue *queue, struct request *request)
{
    request->next = NULL;
    *(queue->last ? &queue->last->next : &queue->first) = request;
    queue->last = request;
    queue->count++;
}

struct request *queue_next(struct queue *queue)
{
    struct request *request = queue->first;
    if (!request)
        return NULL;
    queue->first = request->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    request->next = NULL;
    return request;
}

void queue_move(struct queue *queue, const char *msg_type, struct queue *to)
{
    struct queue stay = {0};
    for (struct request *request; (request = queue_next(queue));)
        queue_add(strcmp(request->msg_type, msg_type) == 0 ? to : &stay, request);
    *queue = stay;
}

void queue_clear(struct queue *queue)
{
    for (struct request *request; (request = queue_next(queue));)
        request_release(request);
}
