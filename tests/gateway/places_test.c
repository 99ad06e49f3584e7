/* Places of readers: they survive the process, and the longest absent one makes room. */
#include "tests/unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "gateway/core/places.h"
#include "protocol/memory.h"

static char path[64];

static int set_up(void **state)
{
    strcpy(path, "/tmp/places-XXXXXX");
    close(mkstemp(path));
    *state = places_open(path, NULL);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    places_close(*state);
    unlink(path);
    return 0;
}

static void reopen(void **state)
{
    places_close(*state);
    *state = places_open(path, NULL);
    assert_non_null(*state);
}

static void test_survives(void **state)
{
    int slot = places_add(*state, "a session", 5);
    assert_true(slot > 0);
    places_mark(*state, slot, 9);
    places_mark(*state, slot, 7); /* never back */
    places_mark(*state, PLACES_SCAN, 3);
    reopen(state);
    assert_int_equal(places_find(*state, "a session"), slot);
    assert_int_equal(places_get(*state, slot), 9);
    assert_int_equal(places_get(*state, PLACES_SCAN), 3);
    assert_int_equal(places_lowest(*state), 3);
    assert_int_equal(places_find(*state, "another"), -1);
    assert_int_equal(places_find(*state, ""), -1);
}

static void test_what_was_being_sent_counts(void **state)
{
    int slot = places_add(*state, "s", 5);
    places_sending(*state, slot, 8);
    reopen(state);
    assert_int_equal(places_get(*state, slot), 8);
    places_sending(*state, slot, 0); /* the write was not whole */
    places_mark(*state, slot, 6);
    reopen(state);
    assert_int_equal(places_get(*state, slot), 6);
}

static void test_a_free_one_makes_room_a_held_one_not(void **state)
{
    char name[PLACES_NAME_LIMIT + 1] = {0};
    for (int i = 0; i < PLACES_LIMIT; i++) {
        snprintf(name, sizeof(name), "session-%d", i);
        int slot = places_add(*state, name, 1);
        assert_true(slot > 0);
        places_hold(*state, slot, i != 77);
    }
    int slot = places_add(*state, "new", 4);
    assert_int_equal(places_find(*state, "new"), slot);
    assert_int_equal(places_find(*state, "session-77"), -1);
    places_hold(*state, slot, true);
    assert_int_equal(places_add(*state, "one more", 4), -1);
}

static void test_the_longest_name(void **state)
{
    char name[PLACES_NAME_LIMIT + 1];
    memset(name, 'n', PLACES_NAME_LIMIT);
    name[PLACES_NAME_LIMIT] = '\0';
    int slot = places_add(*state, name, 2);
    reopen(state);
    assert_int_equal(places_find(*state, name), slot);
}

static void test_another_file_is_made_anew(void **state)
{
    places_close(*state);
    FILE *file = fopen(path, "w");
    fputs("something else", file);
    fclose(file);
    *state = places_open(path, NULL);
    assert_non_null(*state);
    assert_int_equal(places_lowest(*state), 0);
    assert_true(places_add(*state, "s", 1) > 0);
}

int main(void)
{
#define ON_DISK(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ON_DISK(test_survives),
        ON_DISK(test_what_was_being_sent_counts),
        ON_DISK(test_a_free_one_makes_room_a_held_one_not),
        ON_DISK(test_the_longest_name),
        ON_DISK(test_another_file_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
