/* Processes that may not be our children: identity, end, and the sessions they lead. */
#ifndef WARMCELL_GATEWAY_LAUNCH_PROCESS_H
#define WARMCELL_GATEWAY_LAUNCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The start of a process in clock ticks since boot, which with the pid names it for ever. 0: there
 * is none, or it is a zombie. */
uint64_t process_start(pid_t pid);

/* A descriptor that becomes readable when the process ends. -1: it is gone already, or start_ticks
 * (unless 0) is not its start. Owned by the caller. */
int process_watch(pid_t pid, uint64_t start_ticks);

/* How a child that has ended went, reaping it. False: it was not our child. */
bool process_status(int pidfd, int *exit_status, int *signal);

/* Kills (SIGKILL) every process of the session that `leader` leads or led, if its leader is still
 * the process that started at start_ticks or is gone. Processes that are older than the leader are
 * left alone. */
void process_kill_session(pid_t leader, uint64_t start_ticks);

#endif
