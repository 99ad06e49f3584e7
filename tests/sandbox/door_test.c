/* The file of a keeper's socket when one follows the other at the same place. */
#include "tests/unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/door.h"

/* One that listens no more and has yet to end; the new file may well get the number of its own,
 * where nothing holds that. */
static void test_who_ends_late_leaves_the_file_of_the_next(void **state)
{
    (void)state;
    char folder[] = "/tmp/warmcell-door-XXXXXX";
    assert_non_null(mkdtemp(folder));
    scoped(string) char *path = xasprintf("%s/socket", folder);
    struct door old, fresh, third;
    struct err e;
    assert_int_equal(door_open(path, &old, &e), DOOR_OPEN);
    close(old.fd);
    assert_int_equal(door_open(path, &fresh, &e), DOOR_OPEN);
    door_close(&old);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(door_open(path, &third, &e), DOOR_TAKEN);
    close(fresh.fd);
    door_close(&fresh);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_ends_late_leaves_the_file_of_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
