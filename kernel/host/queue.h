/* The requests that wait for their turn, in order of arrival. */
#ifndef WARMCELL_KERNEL_HOST_QUEUE_H
#define WARMCELL_KERNEL_HOST_QUEUE_H

#include "kernel/host/request.h"

/* {0} is empty. Holds the references of its requests. */
struct queue {
    struct request *first, *last;
    size_t count;
};

void queue_add(struct queue *queue, struct request *request); /* the reference is taken */
struct request *queue_next(struct queue *queue);              /* given to the caller; NULL: empty */

/* Moves every request of that type, in order, to the end of another queue. */
void queue_move(struct queue *queue, const char *msg_type, struct queue *to);
void queue_clear(struct queue *queue);

#endif
