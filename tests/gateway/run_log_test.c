/* The log of a command: what its supervisor appends, and what a gateway reads of it meanwhile. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/run_log.h"
#include "tests/unit.h"

struct place {
    char path[64];
    struct command_log writer;
    struct run_log *reader;
};

static int set_up(void **state)
{
    struct err e;
    struct place *p = xcalloc(1, sizeof *p);
    snprintf(p->path, sizeof p->path, "/tmp/run_log_test-XXXXXX");
    int fd = mkstemp(p->path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(command_log_open(p->path, &p->writer, &e));
    p->reader = run_log_open(p->path, &e);
    assert_non_null(p->reader);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    run_log_free(p->reader);
    command_log_close(&p->writer);
    unlink(p->path);
    free(p);
    return 0;
}

static void add(struct place *p, enum record_kind kind, const char *text)
{
    struct err e;
    assert_true(command_log_add(&p->writer, kind, bytes_of(text), &e));
}

/* "2:out 3:err …": all that is read from a number on, in steps of about `want` bytes. */
static char *read_from(struct place *p, uint64_t number, size_t want)
{
    struct run_cursor cursor = {.next = number};
    struct buffer told = {0};
    scoped(buffer) struct buffer records = {0};
    while (run_log_read(p->reader, &cursor, &records, want)) {
        struct bytes rest = buffer_view(&records), text;
        struct record record;
        while (run_log_next(&rest, &record, &text))
            buffer_printf(&told, "%s%llu:%.*s", told.len ? " " : "",
                          (unsigned long long)record.number, (int)text.len, text.data);
        assert_int_equal(rest.len, 0);
        buffer_clear(&records);
    }
    buffer_add(&told, "", 1);
    return buffer_take(&told, NULL);
}

/* A long one that is there already is looked at in several turns. */
static void a_long_one(void **state)
{
    enum { RECORDS = 100, BYTES = 60000 };
    struct place *p = *state;
    struct err e;
    static char text[BYTES];
    int turns = 1;
    for (int i = 0; i < RECORDS; i++)
        assert_true(command_log_add(&p->writer, RECORD_STDOUT, (struct bytes){text, BYTES}, &e));
    add(p, RECORD_ENDED, "{\"status\":\"exited\"}");
    for (; run_log_refresh(p->reader) && run_log_behind(p->reader); turns++) {
        assert_true(run_log_size(p->reader) <= (uint64_t)turns * (RUN_LOG_TURN_BYTES + 256 * 1024));
        assert_null(run_log_end(p->reader));
    }
    assert_true(turns > 4);
    assert_int_equal(run_log_last(p->reader), RECORDS + 1);
    assert_int_equal(run_log_bytes(p->reader, RECORD_STDOUT), RECORDS * BYTES);
    assert_non_null(run_log_end(p->reader));
}

static void an_empty_one(void **state)
{
    struct place *p = *state;
    struct run_cursor cursor = {.next = 1};
    assert_false(run_log_refresh(p->reader));
    assert_int_equal(run_log_last(p->reader), 0);
    assert_false(run_log_find(p->reader, &cursor));
    assert_null(run_log_end(p->reader));
}

static void records_and_their_places(void **state)
{
    struct place *p = *state;
    add(p, RECORD_STARTED, "");
    add(p, RECORD_STDOUT, "abc");
    assert_true(run_log_refresh(p->reader));
    assert_false(run_log_refresh(p->reader));
    add(p, RECORD_STDERR, "de");
    add(p, RECORD_STDOUT, "f");
    assert_true(run_log_refresh(p->reader));
    scoped(string) char *all = read_from(p, 1, 1), *part = read_from(p, 3, 1000);
    assert_string_equal(all, "1: 2:abc 3:de 4:f");
    assert_string_equal(part, "3:de 4:f");
    struct run_cursor cursor = {.next = 4};
    assert_true(run_log_find(p->reader, &cursor));
    assert_int_equal(cursor.bytes[0], 3);
    assert_int_equal(cursor.bytes[1], 2);
    assert_int_equal(run_log_bytes(p->reader, RECORD_STDOUT), 4);
    assert_true(run_log_started_us(p->reader) > 0);
    assert_int_equal(run_log_ended_us(p->reader), 0);
}

/* More than the index remembers and than one scan holds: each number is found. */
static void many(void **state)
{
    struct place *p = *state;
    static char big[RECORD_LIMIT_BYTES];
    struct err e;
    uint64_t bytes = 0;
    for (int n = 1; n <= 300; n++) {
        size_t len = n % 50 == 0 ? sizeof big : (size_t)n;
        memset(big, 'a' + n % 26, len);
        assert_true(command_log_add(&p->writer, n % 2 ? RECORD_STDOUT : RECORD_STDERR,
                                    (struct bytes){big, len}, &e));
    }
    run_log_refresh(p->reader);
    assert_int_equal(run_log_last(p->reader), 300);
    for (uint64_t n = 1; n <= 300; n++) {
        struct run_cursor cursor = {.next = n};
        scoped(buffer) struct buffer out = {0};
        struct record record;
        struct bytes text;
        assert_true(run_log_find(p->reader, &cursor));
        assert_int_equal(cursor.bytes[0] + cursor.bytes[1], bytes);
        assert_true(run_log_read(p->reader, &cursor, &out, 1));
        struct bytes rest = buffer_view(&out);
        assert_true(run_log_next(&rest, &record, &text));
        assert_int_equal(record.number, n);
        assert_int_equal(text.data[0], 'a' + (int)n % 26);
        assert_int_equal(cursor.next, n + 1);
        bytes += text.len;
    }
}

static void its_end(void **state)
{
    struct place *p = *state;
    add(p, RECORD_STARTED, "");
    add(p, RECORD_ENDED, "{\"status\":\"exited\",\"exit_code\":3}");
    run_log_refresh(p->reader);
    assert_int_equal(json_integer_value(json_object_get(run_log_end(p->reader), "exit_code")), 3);
    int fd = open(p->path, O_RDONLY); /* the reader's is closed; but it reads on */
    assert_int_equal(fd, p->writer.fd + 1);
    close(fd);
    scoped(string) char *all = read_from(p, 2, 1);
    assert_string_equal(all, "2:{\"status\":\"exited\",\"exit_code\":3}");
    assert_true(run_log_ended_us(p->reader) >= run_log_started_us(p->reader));
}

/* Its supervisor was killed in the middle of a record. */
static void one_that_broke_off(void **state)
{
    struct place *p = *state;
    add(p, RECORD_STARTED, "");
    add(p, RECORD_STDOUT, "whole");
    assert_int_equal(write(p->writer.fd, "\x50\0\0\0\2\0\0\0\3\0\0\0\0", 13), 13);
    run_log_refresh(p->reader);
    assert_int_equal(run_log_last(p->reader), 2);
    assert_false(run_log_give_up(p->reader, "gone")); /* it has the lock */
    command_log_close(&p->writer);
    assert_true(run_log_give_up(p->reader, "gone"));
    scoped(string) char *all = read_from(p, 2, 1);
    assert_string_equal(all, "2:whole 3:{\"status\":\"lost\",\"exit_code\":null,\"signal\":null,"
                             "\"reason\":\"gone\"}");
    assert_true(run_log_give_up(p->reader, "again"));
    assert_int_equal(run_log_last(p->reader), 3);
}

/* What had been written when the lock was let go counts. */
static void one_that_ended_meanwhile(void **state)
{
    struct place *p = *state;
    add(p, RECORD_STARTED, "");
    run_log_refresh(p->reader);
    add(p, RECORD_ENDED, "{\"status\":\"exited\",\"exit_code\":0}");
    command_log_close(&p->writer);
    assert_true(run_log_give_up(p->reader, "gone"));
    assert_string_equal(json_string_value(json_object_get(run_log_end(p->reader), "status")),
                        "exited");
    assert_int_equal(run_log_last(p->reader), 2);
}

static void one_that_is_damaged(void **state)
{
    struct place *p = *state;
    add(p, RECORD_STARTED, "");
    p->writer.last = 5;
    add(p, RECORD_STDOUT, "of another number");
    run_log_refresh(p->reader);
    assert_int_equal(run_log_last(p->reader), 1);
    command_log_close(&p->writer);
    assert_true(run_log_give_up(p->reader, "gone"));
    assert_int_equal(run_log_last(p->reader), 2);
}

/* What is whole and sound stays, whichever byte of a record is not what was written; without a sum,
 * as of older versions, what is whole is believed. */
static void after_a_power_cut(void **state)
{
    struct place *p = *state;
    add(p, RECORD_STARTED, "");
    add(p, RECORD_STDOUT, "first");
    off_t at = lseek(p->writer.fd, 0, SEEK_END);
    add(p, RECORD_STDOUT, "second");
    uint64_t len = RECORD_HEAD_BYTES + strlen("second");
    assert_int_equal(run_log_verify(p->path), 0);
    int fd = open(p->path, O_RDWR);
    char whole[RECORD_HEAD_BYTES + 6];
    assert_int_equal(pread(fd, whole, len, at), len);
    for (uint64_t i = 0; i < len; i++) {
        char other = (char)(whole[i] ^ 0x10);
        assert_int_equal(pwrite(fd, whole, len, at), len);
        assert_int_equal(pwrite(fd, &other, 1, at + (off_t)i), 1);
        assert_int_equal(run_log_verify(p->path), len);
        assert_int_equal(run_log_verify(p->path), 0);
    }
    for (uint64_t some = 0; some < len; some++) { /* as long as it was, and not all of it there */
        assert_int_equal(ftruncate(fd, at), 0);
        assert_int_equal(pwrite(fd, whole, some, at), some);
        assert_int_equal(ftruncate(fd, at + (off_t)len), 0);
        assert_int_equal(run_log_verify(p->path), len);
    }
    memset(whole + 5, 0, 3);
    whole[len - 1] = 'D';
    assert_int_equal(pwrite(fd, whole, len, at), len);
    assert_int_equal(run_log_verify(p->path), 0);
    close(fd);
    run_log_refresh(p->reader);
    scoped(string) char *all = read_from(p, 2, 1);
    assert_string_equal(all, "2:first 3:seconD");
    assert_int_equal(run_log_verify("/nowhere"), 0);
}

/* Not looked at before it is let in; and not written a second time. */
static void an_end_that_is_held(void **state)
{
    struct place *p = *state;
    run_log_hold_end(p->reader);
    add(p, RECORD_STARTED, "");
    add(p, RECORD_ENDED, "{\"status\":\"exited\"}");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_log_refresh(p->reader), i == 0);
        assert_int_equal(run_log_last(p->reader), 1);
        assert_null(run_log_end(p->reader));
        assert_true(run_log_end_waits(p->reader));
        assert_false(run_log_behind(p->reader));
    }
    command_log_close(&p->writer);
    assert_true(run_log_give_up(p->reader, "gone"));
    run_log_let_end(p->reader);
    assert_true(run_log_refresh(p->reader));
    assert_int_equal(run_log_last(p->reader), 2);
    assert_string_equal(json_string_value(json_object_get(run_log_end(p->reader), "status")),
                        "exited");
}

static void heads(void **state)
{
    static const struct {
        const char *head;
        bool good;
    } rows[] = {
        {"\5\0\0\0\2\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", true},
        {"\5\0\0\0\5\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", false}, /* kind */
        {"\5\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", false},
        {"\5\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", false}, /* number */
        {"\1\0\1\0\2\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", false}, /* length */
        {"\0\0\1\0\2\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", true},
    };
    (void)state;
    for (size_t n = 0; n < countof(rows); n++) {
        struct record record;
        assert_int_equal(record_parse(rows[n].head, &record), rows[n].good);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_empty_one),
        CASE(a_long_one),
        CASE(records_and_their_places),
        CASE(many),
        CASE(its_end),
        CASE(one_that_broke_off),
        CASE(one_that_ended_meanwhile),
        CASE(one_that_is_damaged),
        CASE(after_a_power_cut),
        CASE(an_end_that_is_held),
        cmocka_unit_test(heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
