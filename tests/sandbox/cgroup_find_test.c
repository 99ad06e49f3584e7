/* Where our own control group is, on the layouts that machines have. */
#include "tests/unit.h"

#include "sandbox/cgroup.h"

#define V2_MOUNT "26 24 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define PROC     "22 1 0:21 / /proc rw - proc proc rw\n"

static const struct {
    const char *name, *self, *mountinfo;
    size_t count;
    struct {
        int version;
        unsigned controllers;
        const char *path;
    } places[CGROUP_PLACES_MOST];
} rows[] = {
    {"systemd, version 2, a service",
     "0::/system.slice/warmcell.service\n",
     PROC V2_MOUNT,
     1,
     {{2, 0, "/sys/fs/cgroup/system.slice/warmcell.service"}}},
    {"a container with a cgroup namespace", "0::/\n", PROC V2_MOUNT, 1, {{2, 0, "/sys/fs/cgroup"}}},
    {"a container of version 2 without one: only its part is mounted",
     "0::/docker/abc\n",
     "26 24 0:23 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
     1,
     {{2, 0, "/sys/fs/cgroup"}}},
    {"another part of the tree is mounted",
     "0::/docker/abd\n",
     "26 24 0:23 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
     0,
     {{0}}},
    {"a neighbour whose name begins like ours",
     "0::/docker/abc\n",
     "26 24 0:23 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
     0,
     {{0}}},
    {"joined a cgroup namespace from outside", "0::/../other\n", V2_MOUNT, 0, {{0}}},
    {"version 1, a hierarchy for each",
     "8:pids:/\n4:memory:/job/1\n2:cpuacct:/\n1:cpu:/\n0::/\n",
     "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
     "33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n"
     "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
     "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
     "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
     4,
     {{1, CGROUP_CPU, "/sys/fs/cgroup/cpu"},
      {1, CGROUP_CPUACCT, "/sys/fs/cgroup/cpuacct"},
      {1, CGROUP_MEMORY, "/sys/fs/cgroup/memory/job/1"},
      {1, CGROUP_PIDS, "/sys/fs/cgroup/pids"}}},
    {"hybrid: cpu and cpuacct together, version 2 beside",
     "5:cpuacct,cpu:/user.slice\n4:name=systemd:/x\n3:memory:/user.slice\n0::/user.slice/s.scope\n",
     "30 1 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n"
     "31 1 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
     "32 1 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
     "33 1 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
     3,
     {{2, 0, "/sys/fs/cgroup/unified/user.slice/s.scope"},
      {1, CGROUP_CPU | CGROUP_CPUACCT, "/sys/fs/cgroup/cpu,cpuacct/user.slice"},
      {1, CGROUP_MEMORY, "/sys/fs/cgroup/memory/user.slice"}}},
    {"mounted twice: the first that has us",
     "3:memory:/a/b\n",
     "32 1 0:29 /x /m/one rw - cgroup cgroup rw,memory\n"
     "33 1 0:29 / /m/two rw - cgroup cgroup rw,memory\n"
     "34 1 0:29 / /m/three rw - cgroup cgroup rw,memory\n",
     1,
     {{1, CGROUP_MEMORY, "/m/two/a/b"}}},
    {"a blank in the mount point",
     "0::/a b\n",
     "26 24 0:23 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n",
     1,
     {{2, 0, "/mnt/my groups/a b"}}},
    {"nothing mounted", "0::/\n", PROC, 0, {{0}}},
    {"no texts", "", "", 0, {{0}}},
    {"what is no line of mountinfo",
     "0::/\n4:memory",
     "cgroup2\n- cgroup2\n26 24 0:23 / /x rw -",
     0,
     {{0}}},
};

static void test_layouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        struct cgroup_place found[CGROUP_PLACES_MOST];
        size_t count = cgroup_find(rows[i].self, rows[i].mountinfo, found);
        if (count != rows[i].count)
            stop_test("%s: found %zu, expected %zu", rows[i].name, count, rows[i].count);
        for (size_t p = 0; p < count; p++) {
            assert_text(found[p].path, rows[i].places[p].path);
            assert_int_equal(found[p].version, rows[i].places[p].version);
            assert_int_equal(found[p].controllers, rows[i].places[p].controllers);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
