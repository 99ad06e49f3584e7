/* Deadly signals: what the user's code had written before a crash still goes out, then the signal
 * takes the course that it had before (faulthandler's report, then the end). Called once by open().
 */
#include <signal.h>
#include <stdbool.h>

#include "kernel/python/core.h"

static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static struct sigaction former[countof(deadly)];
static struct lane *lane;

static void on_deadly(int number)
{
    for (size_t i = 0; i < countof(deadly); i++)
        sigaction(deadly[i], &former[i], NULL);
    lane_flush_in_crash(lane);
    raise(number);
}

void crash_install(void)
{
    bool installed = lane != NULL;
    lane = core_lane();
    if (installed)
        return;
    for (size_t i = 0; i < countof(deadly); i++) {
        struct sigaction ours = {.sa_handler = on_deadly, .sa_flags = SA_ONSTACK};
        sigemptyset(&ours.sa_mask);
        sigaction(deadly[i], &ours, &former[i]);
    }
}
