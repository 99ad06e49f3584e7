/* Builds the seccomp program: verdicts by number in an array, runs of equal verdicts as leaves of a
 * binary tree of comparisons, behind each CHECK leaf a few instructions that look at arguments. The
 * tree keeps the program short to run, and made of nothing but what the kernel can evaluate when it
 * is installed, so that an allowed call costs one bit test. */
#include "sandbox/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/memory.h"

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system calls of this architecture have no table yet"
#endif

#define NUMBERS    512 /* the tables' highest is below */
#define X32_BIT    0x40000000u
#define TIOCLINUX_ 0x541Cu

enum verdict {
    ABSENT, /* ENOSYS */
    PASS,
    REFUSE, /* EPERM */
    CHECK_CLONE,
    CHECK_THREAD,
    CHECK_SOCKET,
    CHECK_SOCKETPAIR,
    CHECK_PERSONALITY,
    CHECK_IOCTL,
    CHECK_PRLIMIT,
    CHECK_SETRLIMIT,
    CHECK_MKNOD,
    CHECK_MKNODAT,
    CHECK_READING,
    CHECK_READING_AT,
};

struct call {
    uint16_t number;
    uint8_t verdict;
};

#define X(name, verdict) {SYS_##name, verdict},
static const struct call calls[] = {
#include "sandbox/filter_calls.inc"
};
static const struct call proxy_calls[] = {
#include "sandbox/filter_proxy.inc"
};
#undef X

static void emit(struct filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    if (f->len < FILTER_MOST)
        f->code[f->len] = (struct sock_filter){code, jt, jf, k};
    f->len++;
}

static void emit_return(struct filter *f, uint32_t action)
{
    emit(f, BPF_RET | BPF_K, action, 0, 0);
}

#define EPERM_RESULT  (SECCOMP_RET_ERRNO | EPERM)
#define ENOSYS_RESULT (SECCOMP_RET_ERRNO | ENOSYS)

/* Loads a half of an argument: the lower one is all that the kernel itself reads of an int. */
static void emit_load(struct filter *f, unsigned arg, bool high)
{
    size_t offset = offsetof(struct seccomp_data, args) + arg * 8 + (high ? 4 : 0);
    emit(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Compares what is loaded: equal ones end with action, others go on. */
static void emit_if_equal(struct filter *f, uint32_t value, uint32_t action)
{
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    emit_return(f, action);
}

static void check_clone(struct filter *f)
{
    emit_load(f, 0, false);
    emit(f, BPF_JMP | BPF_JSET | BPF_K,
         CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
             CLONE_NEWPID | CLONE_NEWNET,
         0, 1);
    emit_return(f, EPERM_RESULT);
    emit_return(f, SECCOMP_RET_ALLOW);
}

/* Threads, no processes. */
static void check_thread(struct filter *f)
{
    emit_load(f, 0, false);
    emit(f, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
    emit_return(f, EPERM_RESULT);
    check_clone(f);
}

/* Unix, IPv4 and IPv6 without raw ones; netlink for routes alone (libc lists interfaces by it). */
static void check_socket(struct filter *f)
{
    emit_load(f, 0, false);
    emit_if_equal(f, AF_UNIX, SECCOMP_RET_ALLOW);
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 4);
    emit_load(f, 2, false);
    emit_if_equal(f, 0 /* NETLINK_ROUTE */, SECCOMP_RET_ALLOW);
    emit_return(f, EPERM_RESULT);
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
    emit_return(f, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
    emit_load(f, 1, false);
    emit(f, BPF_ALU | BPF_AND | BPF_K, 0xf, 0, 0);
    emit_if_equal(f, SOCK_STREAM, SECCOMP_RET_ALLOW);
    emit_if_equal(f, SOCK_DGRAM, SECCOMP_RET_ALLOW);
    emit_return(f, EPERM_RESULT);
}

static void check_socketpair(struct filter *f)
{
    emit_load(f, 0, false);
    emit_if_equal(f, AF_UNIX, SECCOMP_RET_ALLOW);
    emit_return(f, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
}

/* What asks, and the two plain ones of Linux; no switch to another system's, or to fixed addresses.
 */
static void check_personality(struct filter *f)
{
    static const uint32_t allowed[] = {0, 0x8, 0x20000, 0x20008, 0xffffffff};
    emit_load(f, 0, false);
    for (size_t i = 0; i < countof(allowed); i++)
        emit_if_equal(f, allowed[i], SECCOMP_RET_ALLOW);
    emit_return(f, EPERM_RESULT);
}

/* No bytes are pushed into a terminal that somebody else reads. */
static void check_ioctl(struct filter *f)
{
    emit_load(f, 1, false);
    emit_if_equal(f, TIOCSTI, EPERM_RESULT);
    emit_if_equal(f, TIOCLINUX_, EPERM_RESULT);
    emit_return(f, SECCOMP_RET_ALLOW);
}

/* The limit of core dumps stays as it is: 1 is what keeps the kernel from handing a dump to the
 * host's handler (core(5)), where 0 does not. Who sets it anyway is told that it worked. */
static void check_prlimit(struct filter *f)
{
    emit_load(f, 1, false);
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_CORE, 1, 0);
    emit_return(f, SECCOMP_RET_ALLOW);
    for (int half = 0; half < 2; half++) {
        emit_load(f, 2, half);
        emit(f, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
        emit_return(f, SECCOMP_RET_ERRNO | 0);
    }
    emit_return(f, SECCOMP_RET_ALLOW);
}

static void check_setrlimit(struct filter *f)
{
    emit_load(f, 0, false);
    emit_if_equal(f, RLIMIT_CORE, SECCOMP_RET_ERRNO | 0);
    emit_return(f, SECCOMP_RET_ALLOW);
}

/* Pipes, sockets and files, no devices. */
static void check_mknod(struct filter *f, unsigned arg)
{
    emit_load(f, arg, false);
    emit(f, BPF_ALU | BPF_AND | BPF_K, S_IFMT, 0, 0);
    emit_if_equal(f, S_IFCHR, EPERM_RESULT);
    emit_if_equal(f, S_IFBLK, EPERM_RESULT);
    emit_return(f, SECCOMP_RET_ALLOW);
}

/* Files that are there, to be read. */
static void check_reading(struct filter *f, unsigned arg)
{
    emit_load(f, arg, false);
    emit(f, BPF_JMP | BPF_JSET | BPF_K, O_ACCMODE | O_CREAT | O_TRUNC, 0, 1);
    emit_return(f, EPERM_RESULT);
    emit_return(f, SECCOMP_RET_ALLOW);
}

static void emit_verdict(struct filter *f, uint8_t verdict)
{
    switch ((enum verdict)verdict) {
    case ABSENT:
        emit_return(f, ENOSYS_RESULT);
        break;
    case PASS:
        emit_return(f, SECCOMP_RET_ALLOW);
        break;
    case REFUSE:
        emit_return(f, EPERM_RESULT);
        break;
    case CHECK_CLONE:
        check_clone(f);
        break;
    case CHECK_THREAD:
        check_thread(f);
        break;
    case CHECK_SOCKET:
        check_socket(f);
        break;
    case CHECK_SOCKETPAIR:
        check_socketpair(f);
        break;
    case CHECK_PERSONALITY:
        check_personality(f);
        break;
    case CHECK_IOCTL:
        check_ioctl(f);
        break;
    case CHECK_PRLIMIT:
        check_prlimit(f);
        break;
    case CHECK_SETRLIMIT:
        check_setrlimit(f);
        break;
    case CHECK_MKNOD:
        check_mknod(f, 1);
        break;
    case CHECK_MKNODAT:
        check_mknod(f, 2);
        break;
    case CHECK_READING:
        check_reading(f, 1);
        break;
    case CHECK_READING_AT:
        check_reading(f, 2);
        break;
    }
}

struct run {
    uint16_t first; /* up to the next run's */
    uint8_t verdict;
};

/* The tree over runs[low, high): a number at or above the middle's first goes to the upper half.
 * The jump is a long one (JA), since a half may be longer than 255 instructions. */
static void emit_tree(struct filter *f, const struct run *runs, size_t low, size_t high)
{
    if (high - low == 1) {
        emit_verdict(f, runs[low].verdict);
        return;
    }
    size_t middle = low + (high - low) / 2;
    emit(f, BPF_JMP | BPF_JGE | BPF_K, runs[middle].first, 0, 1);
    unsigned short jump = f->len;
    emit(f, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_tree(f, runs, low, middle);
    if (jump < FILTER_MOST)
        f->code[jump].k = f->len - jump - 1u;
    emit_tree(f, runs, middle, high);
}

static void put_verdicts(uint8_t *verdicts, const struct call *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (from[i].number < NUMBERS)
            verdicts[from[i].number] = from[i].verdict;
}

static void decide(uint8_t *verdicts, enum filter_kind kind)
{
    put_verdicts(verdicts, calls, countof(calls));
    if (kind == FILTER_FORK_SERVER)
        verdicts[SYS_setns] = PASS;
    if (kind != FILTER_PROXY)
        return;
    for (size_t n = 0; n < NUMBERS; n++)
        if (verdicts[n] != ABSENT)
            verdicts[n] = REFUSE;
    put_verdicts(verdicts, proxy_calls, countof(proxy_calls));
}

void filter_build(struct filter *out, enum filter_kind kind)
{
    uint8_t verdicts[NUMBERS] = {0};
    struct run runs[NUMBERS];
    size_t count = 0;
    decide(verdicts, kind);
    for (uint16_t n = 0; n < NUMBERS; n++)
        if (n == 0 || verdicts[n] != verdicts[n - 1])
            runs[count++] = (struct run){n, verdicts[n]};
    out->len = 0;
    emit(out, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    emit(out, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    emit_return(out, SECCOMP_RET_KILL_PROCESS);
    emit(out, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
#ifdef __x86_64__
    emit(out, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    emit_return(out, SECCOMP_RET_KILL_PROCESS);
#endif
    emit_tree(out, runs, 0, count);
    if (out->len > FILTER_MOST)
        out->len = 0;
}

int filter_install(enum filter_kind kind)
{
    static struct filter built[FILTER_KINDS]; /* the same bytes whoever builds them */
    struct filter *f = &built[kind];
    if (f->len == 0)
        filter_build(f, kind);
    if (f->len == 0) {
        errno = E2BIG;
        return -1;
    }
    struct sock_fprog program = {f->len, f->code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
