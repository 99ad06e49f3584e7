/* R in this process, and the link that it is driven by. */
#ifndef WARMCELL_KERNEL_R_SESSION_H
#define WARMCELL_KERNEL_R_SESSION_H

#include "kernel/driver/driver.h"

struct session;

/* Starts R; a process has one. The descriptors are taken. NULL with e filled: 503. */
struct session *session_open(int link_fd, int pipes_fd, struct err *e);

/* Gives the exit status. */
int session_serve(struct session *s);

void session_close(struct session *s);

#endif
