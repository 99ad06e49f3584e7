/* Shares of a sandbox with bombs inside: memory, processes, CPU time and disk, held by the control
 * groups of this machine where it lends us some, and by our own accounting where it does not. The
 * bombs stop by themselves at a size that no machine minds. */
#include "tests/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/json.h"
#include "sandbox/governor.h"
#include "sandbox/limits.h"

#define MIB INT64_C(1048576)

/* --- a process of a sandbox: waits until it is attached, then does one thing */

struct inmate {
    pid_t pid;
    int go, said;
};

static struct inmate inmate_new(void (*act)(int say, int64_t much), int64_t much)
{
    int go[2], said[2];
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    struct inmate i = {.pid = fork(), .go = go[1], .said = said[0]};
    if (i.pid == 0) {
        char word;
        /* as the keeper's children do: the lock on a name would live as long as they */
        dup2(go[0], 0);
        dup2(said[1], 3);
        close_range(4, ~0U, 0);
        if (read(0, &word, 1) == 1)
            act(3, much);
        _exit(0);
    }
    close(go[0]);
    close(said[1]);
    return i;
}

static void inmate_go(struct inmate *i)
{
    assert_int_equal(write(i->go, "g", 1), 1);
}

/* What it said: one number; -1: it ended without a word. */
static int64_t inmate_said(struct inmate *i)
{
    int64_t number = -1;
    return read(i->said, &number, sizeof number) == sizeof number ? number : -1;
}

static int inmate_end(struct inmate *i)
{
    int status = 0;
    close(i->go);
    close(i->said);
    waitpid(i->pid, &status, 0);
    return status;
}

static void say(int fd, int64_t number)
{
    if (write(fd, &number, sizeof number) != sizeof number)
        _exit(1);
}

static void act_allocate(int fd, int64_t bytes)
{
    char *memory =
        mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return say(fd, -2);
    for (int64_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
    say(fd, bytes);
    pause();
}

/* Forks children that wait; says how many there were until fork refused. */
static void act_fork(int fd, int64_t most)
{
    int64_t made = 0;
    for (; made < most; made++) {
        pid_t child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        if (child < 0)
            break;
    }
    say(fd, made);
    pause();
}

static void act_spin(int fd, int64_t ms)
{
    struct timespec used;
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < ms);
    say(fd, ms);
    pause();
}

static void act_wait(int fd, int64_t unused)
{
    (void)unused;
    say(fd, 1);
    pause();
}

static void act_daemonise(int fd, int64_t unused)
{
    (void)unused;
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            say(fd, getpid());
            pause();
        }
        _exit(0);
    }
}

/* --- with the control groups of this machine */

static struct governor *real(unsigned wanted)
{
    char name[UUID_TEXT];
    uuid_make(name);
    struct governor *g = governor_open(name, getenv("WARMCELL_TEST_CGROUP"));
    if ((g->controllers & wanted) == wanted)
        return g;
    scoped(json) json_t *report = governor_report(g);
    scoped(string) char *text = json_dumps(report, 0);
    print_message("skipped: this machine lends no control group: %s\n", text);
    governor_free(g);
    skip();
    return NULL;
}

static struct share *open_share(struct governor *g, const struct limits *l, const char *workspace)
{
    struct err e = {0};
    struct share *s = share_open(g, "box", l, workspace, &e);
    if (!s)
        stop_test("%s", e.text);
    return s;
}

static void attach(struct share *s, struct inmate *i)
{
    struct err e = {0};
    if (!share_attach(s, i->pid, &e))
        stop_test("%s", e.text);
    inmate_go(i);
}

static int64_t used(struct share *s, const char *name)
{
    scoped(json) json_t *usage = share_usage(s);
    json_t *value = json_object_get(usage, name);
    assert_non_null(value);
    return json_is_null(value) ? -1 : (int64_t)json_number_value(value);
}

static void test_memory_bomb(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_MEMORY);
    struct limits l = {.memory_bytes = 64 * MIB};
    struct share *s = open_share(g, &l, NULL);
    int64_t limit = 0, peak = 0;
    struct inmate small = inmate_new(act_allocate, 8 * MIB), bomb;
    attach(s, &small);
    assert_int_equal(inmate_said(&small), 8 * MIB);
    assert_true(used(s, "memory_bytes") >= 8 * MIB);
    assert_false(share_out_of_memory(s, &limit, &peak));

    bomb = inmate_new(act_allocate, 256 * MIB);
    attach(s, &bomb);
    assert_int_equal(inmate_said(&bomb), -1);
    int status = inmate_end(&bomb);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(share_out_of_memory(s, &limit, &peak));
    assert_int_equal(limit, 64 * MIB);
    assert_in_range(peak, 48 * MIB, 64 * MIB);
    assert_false(share_out_of_memory(s, &limit, &peak)); /* it was told */
    /* one is ended, the greatest: the others live */
    assert_int_equal(waitpid(small.pid, NULL, WNOHANG), 0);
    assert_true(used(s, "memory_peak_bytes") >= 48 * MIB);
    share_close(s);
    inmate_end(&small);
    governor_free(g);
}

static void test_fork_bomb(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_PIDS);
    struct limits l = {.processes = 32};
    struct share *s = open_share(g, &l, NULL);
    struct inmate bomb = inmate_new(act_fork, 200);
    attach(s, &bomb);
    assert_int_equal(inmate_said(&bomb), 31);
    assert_int_equal(used(s, "processes"), 32);
    /* closing leaves none of them */
    share_close(s);
    assert_true(WIFSIGNALED(inmate_end(&bomb)));
    governor_free(g);
}

static void test_cpu_share(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_CPU | CGROUP_CPUACCT);
    struct limits l = {.cpu_millis = 100};
    struct share *s = open_share(g, &l, NULL);
    struct inmate spin = inmate_new(act_spin, 60);
    int64_t from = monotonic_ms();
    attach(s, &spin); /* it works from then on, wherever we are */
    assert_int_equal(inmate_said(&spin), 60);
    /* a tenth of a core: 10 ms in each 100; 60 ms of work reach into the sixth period at least */
    assert_true(monotonic_ms() - from >= 300);
    scoped(json) json_t *usage = share_usage(s);
    assert_true(json_real_value(json_object_get(usage, "cpu_s")) >= 0.055);
    share_close(s);
    inmate_end(&spin);
    governor_free(g);
}

static void test_limits_change(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_MEMORY | CGROUP_PIDS);
    struct limits l = {.memory_bytes = 64 * MIB, .processes = 8}, more = l, less = l;
    struct share *s = open_share(g, &l, NULL);
    struct err e = {0};
    struct inmate child = inmate_new(act_allocate, 96 * MIB);
    more.memory_bytes = 160 * MIB;
    assert_true(share_change(s, &more, &e));
    attach(s, &child);
    assert_int_equal(inmate_said(&child), 96 * MIB);
    less.memory_bytes = 32 * MIB;
    assert_false(share_change(s, &less, &e));
    assert_int_equal(e.status, 409);
    assert_non_null(strstr(e.text, "memory_bytes: "));
    assert_int_equal(share_limits(s)->memory_bytes, 160 * MIB);
    assert_int_equal(waitpid(child.pid, NULL, WNOHANG), 0); /* nothing was ended for it */
    less = (struct limits){0};
    assert_true(share_change(s, &less, &e));
    share_close(s);
    inmate_end(&child);
    governor_free(g);
}

static void test_a_killed_keeper_leaves_nothing(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_PIDS);
    char name[UUID_TEXT];
    uuid_make(name);
    const char *given = getenv("WARMCELL_TEST_CGROUP");
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t keeper = fork();
    if (keeper == 0) {
        struct governor *own = governor_open(name, given);
        struct limits l = {.processes = 16};
        struct share *s = open_share(own, &l, NULL);
        struct inmate demon = inmate_new(act_daemonise, 0);
        attach(s, &demon);
        int64_t pid = inmate_said(&demon);
        say(told[1], pid);
        raise(SIGKILL);
    }
    int64_t demon = 0;
    assert_int_equal(read(told[0], &demon, sizeof demon), sizeof demon);
    waitpid(keeper, NULL, 0);
    assert_int_equal(kill((pid_t)demon, 0), 0);
    struct governor *next = governor_open("another", given); /* whatever its own name is */
    /* it went to whoever reaps here; gone, or dead and not reaped yet */
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)demon);
    FILE *file = fopen(path, "re");
    bool alive =
        file && fgets(line, sizeof line, file) && !strstr(line, ") Z") && !strstr(line, ") X");
    if (file)
        fclose(file);
    assert_false(alive);
    char left[128];
    snprintf(left, sizeof left, GOVERNOR_FOLDER "/%s", name);
    for (size_t i = 0; i < next->count; i++) {
        assert_int_equal(faccessat(next->hierarchies[i].own, left, F_OK, 0), -1);
        assert_int_equal(errno, ENOENT);
    }
    governor_free(next);
    governor_free(g);
    close(told[0]);
    close(told[1]);
}

static void test_two_keepers_of_one_name(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_MEMORY), *second;
    struct limits l = {.memory_bytes = 64 * MIB};
    struct share *s = open_share(g, &l, NULL);
    struct inmate child = inmate_new(act_wait, 0);
    attach(s, &child);
    assert_int_equal(inmate_said(&child), 1);
    second = governor_open(g->name, getenv("WARMCELL_TEST_CGROUP"));
    assert_string_not_equal(second->name, g->name);
    assert_true(second->controllers != 0);
    assert_int_equal(waitpid(child.pid, NULL, WNOHANG), 0); /* not taken for a leftover */
    governor_free(second);
    share_close(s);
    inmate_end(&child);
    governor_free(g);
}

static void test_works_without_the_hosts_paths(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_MEMORY);
    pid_t child = fork();
    if (child == 0) {
        struct limits l = {.memory_bytes = 64 * MIB};
        struct err e = {0};
        if (chroot("/proc/self/fdinfo") != 0 || chdir("/") != 0)
            _exit(2);
        struct share *s = share_open(g, "away", &l, NULL, &e);
        if (!s || !share_attach(s, getpid(), &e))
            _exit(3);
        scoped(json) json_t *usage = share_usage(s);
        _exit(json_is_integer(json_object_get(usage, "memory_bytes")) ? 0 : 4);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(governor_remove_now(g, "away", 1000));
    governor_free(g);
}

static void test_nothing_stays(void **state)
{
    (void)state;
    struct governor *g = real(CGROUP_MEMORY);
    struct limits l = limits_default;
    struct hierarchy *h = &g->hierarchies[0];
    int own = dup(h->own);
    char path[128];
    snprintf(path, sizeof path, GOVERNOR_FOLDER "/%s", g->name);
    struct share *s = open_share(g, &l, NULL);
    assert_int_equal(faccessat(own, path, F_OK, 0), 0);
    share_close(s);
    governor_free(g);
    assert_int_equal(faccessat(own, path, F_OK, 0), -1);
    close(own);
}

static void test_ids(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", ".", "..", "a/b", "../x", "a b", ".hidden"};
    struct governor *g = governor_open_from("names", NULL, "", "");
    for (size_t i = 0; i < countof(wrong); i++) {
        struct err e = {0};
        assert_null(share_open(g, wrong[i], &limits_default, NULL, &e));
        assert_int_equal(e.status, 400);
    }
    governor_free(g);
}

/* --- by our own accounting, which any user can test */

static struct governor *none(void)
{
    struct governor *g = governor_open_from("none", NULL, "", "");
    assert_int_equal(g->count, 0);
    return g;
}

/* Ticks until there is a sentence, or until the process that should cause one has gone. */
static char *tick(struct share *s, pid_t root)
{
    char *why = NULL;
    while (!why && waitpid(root, NULL, WNOHANG) == 0)
        why = share_tick(s, &root, 1);
    return why;
}

static void test_accounts_for_memory(void **state)
{
    (void)state;
    struct governor *g = none();
    struct limits l = {.memory_bytes = 64 * MIB};
    struct share *s = open_share(g, &l, NULL);
    int64_t limit, peak;
    struct inmate small = inmate_new(act_allocate, 16 * MIB);
    attach(s, &small);
    assert_int_equal(inmate_said(&small), 16 * MIB);
    assert_null(share_tick(s, &small.pid, 1));
    assert_in_range(used(s, "memory_bytes"), 16 * MIB, 32 * MIB);
    assert_int_equal(used(s, "processes"), 1);
    assert_false(share_out_of_memory(s, &limit, &peak));
    kill(small.pid, SIGKILL);
    inmate_end(&small);

    struct inmate bomb = inmate_new(act_allocate, 128 * MIB);
    attach(s, &bomb);
    assert_int_equal(inmate_said(&bomb), 128 * MIB);
    scoped(string) char *why = tick(s, bomb.pid);
    assert_non_null(why);
    assert_non_null(strstr(why, "ran out of memory: 1"));
    assert_non_null(strstr(why, "its limit is 64.0 MiB."));
    assert_true(share_out_of_memory(s, &limit, &peak));
    assert_int_equal(limit, 64 * MIB);
    assert_true(peak >= 128 * MIB);
    kill(bomb.pid, SIGKILL);
    inmate_end(&bomb);
    share_close(s);
    governor_free(g);
}

static void test_accounts_for_disk(void **state)
{
    (void)state;
    char folder[] = "/tmp/share-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    struct governor *g = none();
    struct limits l = {.workspace_bytes = 20 * MIB, .workspace_inodes = 100};
    struct share *s = open_share(g, &l, folder);
    struct inmate child = inmate_new(act_wait, 0);
    attach(s, &child);
    assert_null(share_tick(s, &child.pid, 1));
    assert_int_equal(used(s, "disk_inodes"), 0);

    snprintf(path, sizeof path, "%s/big", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 25 * MIB), 0);
    scoped(string) char *why = tick(s, child.pid);
    assert_non_null(why);
    assert_non_null(strstr(why, "ran out of disk space: its workspace holds 25.0 MiB"));
    assert_non_null(strstr(why, "its limit is 20.0 MiB."));
    assert_int_equal(used(s, "disk_inodes"), 1);
    unlink(path);
    close(fd);
    rmdir(folder);
    kill(child.pid, SIGKILL);
    inmate_end(&child);
    share_close(s);
    governor_free(g);
}

/* What was over the limit has gone with those who were ended for it: a sandbox that begins again is
 * not ended for it, too, until the disk is looked at next. */
static void test_a_breach_of_the_disk_ends_nobody_else(void **state)
{
    (void)state;
    char folder[] = "/tmp/share-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    struct governor *g = none();
    struct limits l = {.workspace_bytes = 20 * MIB};
    struct share *s = open_share(g, &l, folder);
    struct inmate child = inmate_new(act_wait, 0);
    attach(s, &child);
    snprintf(path, sizeof path, "%s/big", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 25 * MIB), 0);
    scoped(string) char *why = tick(s, child.pid);
    assert_non_null(why);
    scoped(string) char *still = share_tick(s, &child.pid, 1);
    assert_text(still, why); /* it is there still */
    unlink(path);
    close(fd);
    assert_null(share_tick(s, &child.pid, 1));
    assert_int_equal(used(s, "disk_inodes"), 0);
    rmdir(folder);
    kill(child.pid, SIGKILL);
    inmate_end(&child);
    share_close(s);
    governor_free(g);
}

static void test_accounts_for_inodes(void **state)
{
    (void)state;
    char folder[] = "/tmp/share-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    struct governor *g = none();
    struct limits l = {.workspace_inodes = 16};
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "%s/%d", folder, i);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    struct share *s = open_share(g, &l, folder);
    struct inmate child = inmate_new(act_wait, 0);
    attach(s, &child);
    scoped(string) char *why = tick(s, child.pid);
    assert_text(why,
                "The sandbox has too many files: its workspace holds 20 files and folders, its "
                "limit is 16.");
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "%s/%d", folder, i);
        rmdir(path);
    }
    rmdir(folder);
    kill(child.pid, SIGKILL);
    inmate_end(&child);
    share_close(s);
    governor_free(g);
}

static void test_rlimits_and_who_enforces(void **state)
{
    (void)state;
    struct governor *g = none();
    struct limits l = {.memory_bytes = 64 * MIB,
                       .cpu_millis = 500,
                       .processes = 40,
                       .open_files = 50,
                       .tmp_bytes = MIB};
    struct share *s = open_share(g, &l, NULL);
    scoped(json) json_t *enforced = share_enforced(s);
    scoped(string) char *text = json_dumps(enforced, JSON_COMPACT);
    assert_text(text, "{\"memory_bytes\":\"accounting\",\"cpus\":\"none\",\"processes\":\"rlimit\","
                      "\"open_files\":\"rlimit\",\"workspace_bytes\":null,"
                      "\"workspace_inodes\":null,\"tmp_bytes\":\"tmpfs\",\"output_bytes\":null,"
                      "\"execution_s\":null,\"idle_s\":null,\"life_s\":null}");
    struct inmate child = inmate_new(act_wait, 0);
    share_press(s, child.pid);
    struct rlimit got;
    static const struct {
        int resource;
        rlim_t expected;
    } rows[] = {{RLIMIT_NOFILE, 50}, {RLIMIT_NPROC, 40}};
    for (size_t i = 0; i < countof(rows); i++) {
        assert_int_equal(prlimit(child.pid, (enum __rlimit_resource)rows[i].resource, NULL, &got),
                         0);
        assert_int_equal(got.rlim_max, rows[i].expected);
        assert_int_equal(got.rlim_cur, rows[i].expected);
    }
    inmate_go(&child);
    kill(child.pid, SIGKILL);
    inmate_end(&child);
    share_close(s);
    governor_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_bomb),
        cmocka_unit_test(test_fork_bomb),
        cmocka_unit_test(test_cpu_share),
        cmocka_unit_test(test_limits_change),
        cmocka_unit_test(test_a_killed_keeper_leaves_nothing),
        cmocka_unit_test(test_two_keepers_of_one_name),
        cmocka_unit_test(test_works_without_the_hosts_paths),
        cmocka_unit_test(test_nothing_stays),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_accounts_for_memory),
        cmocka_unit_test(test_accounts_for_disk),
        cmocka_unit_test(test_a_breach_of_the_disk_ends_nobody_else),
        cmocka_unit_test(test_accounts_for_inodes),
        cmocka_unit_test(test_rlimits_and_who_enforces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
