/* The thread that looks after the link while the main thread computes: it reads requests and input
 * into their queues, writes what waits, and sends text that is due. It needs no interpreter lock.
 * Invariant: when the host closes the link, or breaks its protocol, the process group is killed at
 * once. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/python/lane_state.h"

/* The group is ours alone when we lead it, as the host arranges; otherwise only this process may
 * go. */
static void die_with_the_host(void)
{
    if (getpgrp() == getpid())
        kill(0, SIGKILL);
    kill(getpid(), SIGKILL);
}

static struct lane_frame *copy_frame(const struct link_frame *from)
{
    size_t table = sizeof(struct lane_frame) + from->part_count * sizeof(struct bytes);
    size_t total = table;
    for (size_t i = 0; i < from->part_count; i++)
        total += from->parts[i].len;
    struct lane_frame *f = xmalloc(total);
    *f = (struct lane_frame){
        .kind = from->kind, .number = from->number, .part_count = from->part_count};
    char *at = (char *)f + table;
    for (size_t i = 0; i < from->part_count; i++) {
        f->parts[i] = (struct bytes){at, from->parts[i].len};
        if (f->parts[i].len)
            memcpy(at, from->parts[i].data, f->parts[i].len);
        at += f->parts[i].len;
    }
    return f;
}

static void queue_frame(struct lane *l, const struct link_frame *from)
{
    bool input = from->kind == LINK_INPUT;
    struct frame_queue *queue = input ? &l->inputs : &l->requests;
    struct lane_frame *f = copy_frame(from);
    pthread_mutex_lock(&l->lock);
    *queue->end = f;
    queue->end = &f->next;
    eventfd_write(input ? l->input_fd : l->wake_fd, 1);
    pthread_mutex_unlock(&l->lock);
    if (from->kind == LINK_SHUTDOWN)
        l->on_shutdown();
}

/* Those of the last frame that had some are kept. */
static void keep_descriptors(struct lane *l, struct cmsghdr *part)
{
    if (!part || part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
        return;
    pthread_mutex_lock(&l->lock);
    lane_drop_descriptors(l);
    l->descriptor_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(l->descriptors, CMSG_DATA(part), l->descriptor_count * sizeof(int));
    pthread_mutex_unlock(&l->lock);
}

static ssize_t receive(struct lane *l, char *space, size_t room)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(LANE_DESCRIPTORS_MOST * sizeof(int))];
    } ancillary;
    struct iovec part = {space, room};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = &ancillary,
                          .msg_controllen = sizeof ancillary};
    ssize_t got = recvmsg(l->fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got > 0 && head.msg_controllen > 0)
        keep_descriptors(l, CMSG_FIRSTHDR(&head));
    return got;
}

static void read_link(struct lane *l, struct link_reader *reader)
{
    size_t room;
    char *space = link_reader_space(reader, &room);
    ssize_t n = receive(l, space, room);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        die_with_the_host();
    if (n <= 0)
        return;
    link_reader_filled(reader, (size_t)n);
    struct link_frame frame;
    struct err e;
    int got;
    while ((got = link_reader_next(reader, &frame, &e)) > 0)
        queue_frame(l, &frame);
    if (got < 0) {
        dprintf(STDERR_FILENO, "%s: the host broke the link's protocol: %s\n",
                program_invocation_short_name, e.text);
        die_with_the_host();
    }
}

static void send_due_text(struct lane *l)
{
    uint64_t expirations;
    if (read(l->timer_fd, &expirations, sizeof expirations) < 0)
        return;
    pthread_mutex_lock(&l->lock);
    l->text.timer_armed = false;
    text_flush_due(l);
    pthread_mutex_unlock(&l->lock);
}

void *watch_run(void *argument)
{
    struct lane *l = argument;
    struct link_reader *reader = link_reader_new(LINK_LIMIT_BYTES);
    while (!l->stop) {
        pthread_mutex_lock(&l->lock);
        short wanted = l->chunks && !l->broken ? POLLIN | POLLOUT : POLLIN;
        pthread_mutex_unlock(&l->lock);
        struct pollfd fds[] = {
            {l->fd, wanted, 0}, {l->kick_fd, POLLIN, 0}, {l->timer_fd, POLLIN, 0}};
        if (poll(fds, countof(fds), -1) < 0)
            continue;
        if (fds[1].revents) {
            eventfd_t count;
            eventfd_read(l->kick_fd, &count);
        }
        if (fds[2].revents)
            send_due_text(l);
        if (fds[0].revents & POLLOUT) {
            pthread_mutex_lock(&l->lock);
            lane_push_chunks(l);
            pthread_mutex_unlock(&l->lock);
        }
        if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
            read_link(l, reader);
    }
    link_reader_free(reader);
    return NULL;
}
