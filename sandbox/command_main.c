/* warmcell-command: supervises one command of a sandbox (sandbox/command.h). Started by a gateway,
 * which it outlives. It has no right but those of its gateway, runs nothing itself, and reads
 * nothing that the command writes but to copy it. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/command.h"

struct places {
    const char *plan, *log, *socket, *input;
    int gate_fd;
};

static const struct option names[] = {
    {"plan", required_argument, NULL, 'p'},    {"log", required_argument, NULL, 'l'},
    {"socket", required_argument, NULL, 's'},  {"stdin", required_argument, NULL, 'i'},
    {"gate-fd", required_argument, NULL, 'g'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},       {0},
};

static const char help[] =
    "warmcell-command --plan FILE --log FILE --socket PATH [--stdin FILE] [--gate-fd N]\n"
    "Supervises one command of a sandbox for warmcell, which starts it.\n"
    "  --plan FILE     what to run, as JSON; removed when it has been read\n"
    "  --log FILE      an empty file for what the command writes, and how it ends\n"
    "  --socket PATH   where gateways reach it\n"
    "  --stdin FILE    what the command shall read first; removed when it has been opened\n"
    "  --gate-fd N     a connection to the gateway that started it\n";

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct places *out)
{
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'p')
            out->plan = optarg;
        else if (option == 'l')
            out->log = optarg;
        else if (option == 's')
            out->socket = optarg;
        else if (option == 'i')
            out->input = optarg;
        else if (option == 'g')
            out->gate_fd = (int)strtol(optarg, NULL, 10);
        else if (option == 'h')
            return fputs(help, stdout) < 0;
        else if (option == 'v')
            return printf("warmcell-command %s\n", WARMCELL_VERSION) < 0;
        else
            return 2;
    }
    if (out->plan && out->log && out->socket && optind == argc)
        return -1;
    fputs("warmcell-command: needs --plan, --log and --socket\n", stderr);
    return 2;
}

static int complain(const struct err *e)
{
    fprintf(stderr, "warmcell-command: %s\n", e->text);
    return 1;
}

/* A log with something in it is that of a command which a gateway has given up as lost. */
static bool is_fresh(const struct command_log *log, struct err *e)
{
    struct stat found;
    return (fstat(log->fd, &found) == 0 && found.st_size == 0) ||
           fail(e, 409, "the log has been written already");
}

int main(int argc, char **argv)
{
    struct err e;
    struct places places = {.gate_fd = -1};
    struct command_plan plan;
    struct command_log log;
    int status = read_options(argc, argv, &places);
    if (status >= 0)
        return status;
    if (places.gate_fd >= 0)
        fcntl(places.gate_fd, F_SETFD, FD_CLOEXEC);
    if (!command_log_open(places.log, &log, &e) || !is_fresh(&log, &e))
        return complain(&e);
    if (!command_plan_read(places.plan, &plan, &e)) {
        command_plan_free(&plan);
        return complain(&e);
    }
    int input = -1;
    if (places.input) {
        input = open(places.input, O_RDONLY | O_CLOEXEC);
        unlink(places.input);
    }
    status = command_run(&plan, &log, places.socket, places.gate_fd, input);
    command_plan_free(&plan);
    command_log_close(&log);
    return status;
}
