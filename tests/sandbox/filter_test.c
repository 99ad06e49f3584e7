/* The seccomp program, run by a small interpreter of its instructions: what each call is answered.
 */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "protocol/memory.h"
#include "sandbox/filter.h"

#if defined __x86_64__
#define HERE      AUDIT_ARCH_X86_64
#define ELSEWHERE AUDIT_ARCH_I386
#else
#define HERE      AUDIT_ARCH_AARCH64
#define ELSEWHERE AUDIT_ARCH_ARM
#endif

#define ALLOWED  SECCOMP_RET_ALLOW
#define REFUSED  (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT   (SECCOMP_RET_ERRNO | ENOSYS)
#define FAMILY   (SECCOMP_RET_ERRNO | EAFNOSUPPORT)
#define PRETENDS (SECCOMP_RET_ERRNO | 0)
#define KILLED   SECCOMP_RET_KILL_PROCESS

/* Jumps go forward only, so it ends; anything that the program should not have stops the test. */
static uint32_t run(const struct filter *f, const struct seccomp_data *data)
{
    uint32_t a = 0, word;
    for (size_t at = 0; at < f->len; at++) {
        const struct sock_filter *i = &f->code[at];
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k + 4 <= sizeof *data && i->k % 4 == 0);
            memcpy(&word, (const char *)data + i->k, sizeof word);
            a = word;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            at += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            at += a & i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            stop_test("instruction %zu is of no known kind", at);
        }
    }
    stop_test("the program has no end");
    return 0;
}

#define CALL(name, ...)                                                                            \
#name, SYS_##name,                                                                             \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static const struct row {
    const char *name;
    int number;
    uint64_t args[6];
    uint32_t expected;
} rows[] = {
    {CALL(read, 0), ALLOWED},
    {CALL(openat, 0), ALLOWED},
    {CALL(mmap, 0), ALLOWED},
    {CALL(futex, 0), ALLOWED},
    {CALL(execve, 0), ALLOWED},
    {CALL(memfd_create, 0), ALLOWED},
    {CALL(seccomp, 0), ALLOWED},
    {CALL(landlock_restrict_self, 0), ALLOWED},
    {CALL(pidfd_open, 0), ALLOWED},
    {CALL(exit_group, 0), ALLOWED},
    {CALL(mount, 0), REFUSED},
    {CALL(umount2, 0), REFUSED},
    {CALL(pivot_root, 0), REFUSED},
    {CALL(chroot, 0), REFUSED},
    {CALL(open_tree, 0), REFUSED},
    {CALL(move_mount, 0), REFUSED},
    {CALL(mount_setattr, 0), REFUSED},
    {CALL(fsopen, 0), REFUSED},
    {CALL(unshare, 0), REFUSED},
    {CALL(setns, 0), REFUSED},
    {CALL(ptrace, 0), REFUSED},
    {CALL(process_vm_readv, 0), REFUSED},
    {CALL(process_vm_writev, 0), REFUSED},
    {CALL(pidfd_getfd, 0), REFUSED},
    {CALL(kcmp, 0), REFUSED},
    {CALL(bpf, 0), REFUSED},
    {CALL(perf_event_open, 0), REFUSED},
    {CALL(io_uring_setup, 0), REFUSED},
    {CALL(io_uring_enter, 0), REFUSED},
    {CALL(userfaultfd, 0), REFUSED},
    {CALL(add_key, 0), REFUSED},
    {CALL(request_key, 0), REFUSED},
    {CALL(keyctl, 0), REFUSED},
    {CALL(init_module, 0), REFUSED},
    {CALL(finit_module, 0), REFUSED},
    {CALL(delete_module, 0), REFUSED},
    {CALL(kexec_load, 0), REFUSED},
    {CALL(open_by_handle_at, 0), REFUSED},
    {CALL(name_to_handle_at, 0), REFUSED},
    {CALL(reboot, 0), REFUSED},
    {CALL(swapon, 0), REFUSED},
    {CALL(settimeofday, 0), REFUSED},
    {CALL(clock_settime, 0), REFUSED},
    {CALL(acct, 0), REFUSED},
    {CALL(quotactl, 0), REFUSED},
    {CALL(syslog, 0), REFUSED},
    {CALL(sethostname, 0), REFUSED},
    {CALL(clone3, 0), ABSENT},
    {"a number without a call", 511, {0}, ABSENT},
    {"a number beyond all", 100000, {0}, ABSENT},
    {CALL(clone, SIGCHLD), ALLOWED},
    {CALL(clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND), ALLOWED},
    {CALL(clone, CLONE_NEWUSER | SIGCHLD), REFUSED},
    {CALL(clone, CLONE_NEWNS), REFUSED},
    {CALL(clone, CLONE_VM | CLONE_NEWNET), REFUSED},
    {CALL(clone, CLONE_NEWPID), REFUSED},
    {CALL(clone, CLONE_NEWCGROUP), REFUSED},
    {CALL(socket, AF_UNIX, SOCK_STREAM, 0), ALLOWED},
    {CALL(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ALLOWED},
    {CALL(socket, AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0), ALLOWED},
    {CALL(socket, AF_INET, SOCK_RAW, 1), REFUSED},
    {CALL(socket, AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58), REFUSED},
    {CALL(socket, AF_NETLINK, SOCK_RAW, 0), ALLOWED},
    {CALL(socket, AF_NETLINK, SOCK_RAW, 15), REFUSED},
    {CALL(socket, AF_PACKET, SOCK_RAW, 0), FAMILY},
    {CALL(socket, 40 /* AF_VSOCK */, SOCK_STREAM, 0), FAMILY},
    {CALL(socket, 38 /* AF_ALG */, SOCK_SEQPACKET, 0), FAMILY},
    {CALL(socketpair, AF_UNIX, SOCK_STREAM, 0), ALLOWED},
    {CALL(socketpair, AF_INET, SOCK_STREAM, 0), FAMILY},
    {CALL(personality, 0), ALLOWED},
    {CALL(personality, 0xffffffff), ALLOWED},
    {CALL(personality, 0x0040000), REFUSED},
    {CALL(ioctl, 0, TIOCGWINSZ), ALLOWED},
    {CALL(ioctl, 0, TIOCSTI), REFUSED},
    {CALL(ioctl, 0, TIOCSTI | 1ULL << 32), REFUSED},
    {CALL(ioctl, 0, 0x541C), REFUSED},
    {CALL(prlimit64, 0, RLIMIT_NOFILE, 0x1000), ALLOWED},
    {CALL(prlimit64, 0, RLIMIT_CORE, 0, 0x1000), ALLOWED},
    {CALL(prlimit64, 0, RLIMIT_CORE, 0x1000), PRETENDS},
    {CALL(prlimit64, 0, RLIMIT_CORE, 1ULL << 32), PRETENDS},
    {CALL(setrlimit, RLIMIT_CORE), PRETENDS},
    {CALL(setrlimit, RLIMIT_STACK), ALLOWED},
    {CALL(mknodat, 0, 0, S_IFIFO | 0600), ALLOWED},
    {CALL(mknodat, 0, 0, S_IFCHR | 0600), REFUSED},
    {CALL(mknodat, 0, 0, S_IFBLK | 0600), REFUSED},
#ifdef __x86_64__
    {CALL(open, 0), ALLOWED},
    {CALL(stat, 0), ALLOWED},
    {CALL(fork, 0), ALLOWED},
    {CALL(mknod, 0, S_IFBLK), REFUSED},
    {CALL(iopl, 0), REFUSED},
    {CALL(modify_ldt, 0), REFUSED},
    {"read of x32", 0x40000000, {0}, KILLED},
    {"open of x32", 0x40000002, {0}, KILLED},
#endif
};

static const struct row proxy_rows[] = {
    {CALL(read, 0), ALLOWED},
    {CALL(connect, 0), ALLOWED},
    {CALL(accept4, 0), ALLOWED},
    {CALL(mmap, 0), ALLOWED},
    {CALL(openat, 0, 0, O_RDONLY | O_CLOEXEC), ALLOWED},
    {CALL(openat, 0, 0, O_WRONLY), REFUSED},
    {CALL(openat, 0, 0, O_RDWR), REFUSED},
    {CALL(openat, 0, 0, O_RDONLY | O_CREAT), REFUSED},
    {CALL(openat, 0, 0, O_RDONLY | O_TRUNC), REFUSED},
    {CALL(clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND), ALLOWED},
    {CALL(clone, SIGCHLD), REFUSED},
    {CALL(clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_NEWUSER), REFUSED},
    {CALL(clone3, 0), ABSENT},
    {CALL(socket, AF_INET, SOCK_STREAM, 0), ALLOWED},
    {CALL(socket, AF_INET, SOCK_RAW, 1), REFUSED},
    {CALL(socket, AF_PACKET, SOCK_RAW, 0), FAMILY},
    {CALL(execve, 0), REFUSED},
    {CALL(execveat, 0), REFUSED},
    {CALL(kill, 0), REFUSED},
    {CALL(pidfd_open, 0), REFUSED},
    {CALL(ptrace, 0), REFUSED},
    {CALL(setresuid, 0), REFUSED},
    {CALL(unlinkat, 0), REFUSED},
    {CALL(renameat2, 0), REFUSED},
    {CALL(chdir, 0), REFUSED},
    {CALL(memfd_create, 0), REFUSED},
    {CALL(setns, 0), REFUSED},
    {CALL(bpf, 0), REFUSED},
    {CALL(io_uring_setup, 0), REFUSED},
    {CALL(seccomp, 0), REFUSED},
    {"a number without a call", 511, {0}, ABSENT},
#ifdef __x86_64__
    {CALL(open, 0, O_RDONLY), ALLOWED},
    {CALL(open, 0, O_WRONLY), REFUSED},
    {CALL(fork, 0), REFUSED},
    {CALL(vfork, 0), REFUSED},
    {"read of x32", 0x40000000, {0}, KILLED},
#endif
};

static void check_answers(enum filter_kind kind, const struct row *expected, size_t count)
{
    struct filter f;
    filter_build(&f, kind);
    assert_true(f.len > 0);
    for (size_t i = 0; i < count; i++) {
        struct seccomp_data data = {.nr = expected[i].number, .arch = HERE};
        memcpy(data.args, expected[i].args, sizeof data.args);
        uint32_t answer = run(&f, &data);
        if (answer != expected[i].expected)
            stop_test("row %zu, %s: %#x, not %#x", i, expected[i].name, answer,
                      expected[i].expected);
    }
}

static void test_answers(void **state)
{
    (void)state;
    check_answers(FILTER_SANDBOX, rows, countof(rows));
}

static void test_answers_to_the_proxy(void **state)
{
    (void)state;
    check_answers(FILTER_PROXY, proxy_rows, countof(proxy_rows));
}

static void test_foreign_architecture_is_killed(void **state)
{
    struct filter f;
    (void)state;
    filter_build(&f, FILTER_SANDBOX);
    for (int number = 0; number < 600; number++) {
        struct seccomp_data data = {.nr = number, .arch = ELSEWHERE};
        assert_int_equal(run(&f, &data), KILLED);
    }
}

/* Every number has an answer, and the fork server's program differs in setns alone. */
static void test_fork_server_may_join_and_nothing_else(void **state)
{
    struct filter sandbox, fork_server;
    (void)state;
    filter_build(&sandbox, FILTER_SANDBOX);
    filter_build(&fork_server, FILTER_FORK_SERVER);
    for (int number = 0; number < 600; number++) {
        struct seccomp_data data = {.nr = number, .arch = HERE};
        if (number == SYS_setns)
            assert_int_equal(run(&fork_server, &data), ALLOWED);
        else
            assert_int_equal(run(&fork_server, &data), run(&sandbox, &data));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_to_the_proxy),
        cmocka_unit_test(test_foreign_architecture_is_killed),
        cmocka_unit_test(test_fork_server_may_join_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
