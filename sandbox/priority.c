#include "sandbox/priority.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/resource.h>

#define RAISED_BY 10

static bool raised;
static int usual;

void priority_raise(void)
{
    errno = 0;
    usual = getpriority(PRIO_PROCESS, 0);
    raised = errno == 0 && setpriority(PRIO_PROCESS, 0, usual - RAISED_BY) == 0;
}

void priority_restore(void)
{
    if (raised)
        setpriority(PRIO_PROCESS, 0, usual);
}
