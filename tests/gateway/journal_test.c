/* The journal: what was appended is read again from any place, also after a process was killed. */
#include "tests/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/journal.h"

#define LIMIT_BYTES (4ull * JOURNAL_SEGMENT_BYTES)

struct place {
    char dir[64];
    struct journal *journal;
};

static int set_up(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    strcpy(p->dir, "/tmp/journal-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    p->journal = journal_open(p->dir, LIMIT_BYTES, NULL);
    assert_non_null(p->journal);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    journal_close(p->journal);
    journal_remove(p->dir);
    free(p);
    return 0;
}

static void reopen(struct place *p)
{
    journal_close(p->journal);
    p->journal = journal_open(p->dir, LIMIT_BYTES, NULL);
    assert_non_null(p->journal);
}

/* Appends count records in one batch; each holds its sequence as text and then `size` more bytes.
 */
static void append(struct place *p, size_t count, size_t size, uint64_t source)
{
    scoped(buffer) struct buffer batch = {0}, frame = {0};
    for (size_t i = 0; i < count; i++) {
        uint64_t sequence = journal_last(p->journal) + 1 + i;
        buffer_clear(&frame);
        buffer_printf(&frame, "%llu:", (unsigned long long)sequence);
        memset(buffer_reserve(&frame, size), 'x', size);
        frame.len += size;
        const struct journal_record record = {.sequence = sequence,
                                              .source = source ? source + i : 0,
                                              .epoch = 2,
                                              .identity = bytes_of(sequence % 2 ? "me" : ""),
                                              .msg_type = bytes_of("stream"),
                                              .frame = buffer_view(&frame)};
        journal_encode(&batch, &record);
    }
    assert_true(journal_append(p->journal, buffer_view(&batch), NULL));
}

/* Reads from a sequence to the end and checks that nothing is missing. Returns how many there were.
 */
static uint64_t read_from(struct place *p, uint64_t from, size_t piece)
{
    struct journal_cursor cursor = {.next = from};
    uint64_t next = from;
    struct shared *run;
    struct err e = {0};
    while ((run = journal_read(p->journal, &cursor, piece, &e))) {
        struct bytes rest = shared_view(run);
        struct journal_record record;
        while (journal_next(&rest, &record)) {
            assert_int_equal(record.sequence, next);
            assert_int_equal(strtoull(record.frame.data, NULL, 10), next);
            next++;
        }
        assert_int_equal(rest.len, 0);
        assert_int_equal(cursor.next, next);
        shared_free(run);
    }
    assert_int_equal(e.status, 0);
    assert_int_equal(next, journal_last(p->journal) + 1);
    return next - from;
}

static void test_empty(void **state)
{
    struct place *p = *state;
    assert_int_equal(journal_first(p->journal), 1);
    assert_int_equal(journal_last(p->journal), 0);
    assert_int_equal(read_from(p, 1, 1000), 0);
}

static void test_read_from_anywhere(void **state)
{
    struct place *p = *state;
    append(p, 500, 10, 1);
    append(p, 1, 300000, 501); /* larger than a piece */
    append(p, 499, 10, 502);
    const uint64_t from[] = {1, 2, 499, 500, 501, 502, 1000};
    for (size_t i = 0; i < countof(from); i++)
        assert_int_equal(read_from(p, from[i], 4096), 1001 - from[i]);
    assert_int_equal(read_from(p, 1001, 4096), 0);
}

static void test_comes_back_whole(void **state)
{
    struct place *p = *state;
    uint64_t source;
    uint32_t epoch;
    append(p, 300, 50000, 7); /* two segments */
    append(p, 3, 5, 0);       /* the gateway's own have no source */
    reopen(p);
    assert_int_equal(journal_last(p->journal), 303);
    journal_source(p->journal, &source, &epoch);
    assert_int_equal(source, 306);
    assert_int_equal(epoch, 2);
    append(p, 2, 5, 307);
    assert_int_equal(read_from(p, 1, 1 << 20), 305);
}

static void cut_last(struct place *p, off_t keep, const char *rubbish)
{
    scoped(string) char *path = NULL;
    DIR *handle = opendir(p->dir);
    struct dirent *entry;
    while ((entry = readdir(handle)))
        if (entry->d_name[0] == '0' &&
            (!path || strcmp(strrchr(path, '/') + 1, entry->d_name) < 0)) {
            free(path);
            path = xasprintf("%s/%s", p->dir, entry->d_name);
        }
    closedir(handle);
    assert_non_null(path);
    int fd = open(path, O_WRONLY | O_APPEND);
    if (keep >= 0)
        assert_int_equal(ftruncate(fd, keep), 0);
    if (rubbish)
        assert_int_equal(write(fd, rubbish, strlen(rubbish)), (ssize_t)strlen(rubbish));
    close(fd);
}

static void test_torn_tail_is_cut(void **state)
{
    struct place *p = *state;
    append(p, 10, 0, 1);
    uint64_t whole = journal_bytes(p->journal);
    for (off_t cut = (off_t)whole - 1; cut > (off_t)whole - 30; cut--) {
        cut_last(p, cut, NULL);
        reopen(p);
        assert_int_equal(journal_last(p->journal), 9);
        assert_int_equal(read_from(p, 1, 4096), 9);
        append(p, 1, 0, 10);
        assert_int_equal(journal_bytes(p->journal), whole);
    }
    cut_last(p, -1, "WLOG this is no record, though it begins like one");
    reopen(p);
    assert_int_equal(journal_last(p->journal), 10);
    assert_int_equal(read_from(p, 1, 4096), 10);
}

/* A byte at an offset of the last or (first) the first segment is another one. */
static void spoil(struct place *p, bool first, off_t offset)
{
    char byte;
    scoped(string) char *path =
        xasprintf("%s/%020llu", p->dir,
                  (unsigned long long)journal_segment(
                      p->journal, first ? 0 : journal_segments(p->journal) - 1));
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void test_verified_whole(void **state)
{
    struct place *p = *state;
    append(p, 200, 50000, 7);
    append(p, 100, 50000, 207);
    assert_true(journal_segments(p->journal) > 1);
    assert_int_equal(journal_verify(p->dir), 0);
    reopen(p);
    assert_int_equal(read_from(p, 1, 1 << 20), 300);
}

static void test_verify_cuts_at_what_was_not_written(void **state)
{
    struct place *p = *state;
    append(p, 10, 100, 1);
    uint64_t bytes = journal_bytes(p->journal);
    append(p, 3, 100, 11);
    spoil(p, false, (off_t)bytes + 120); /* in a frame, where no head tells */
    reopen(p);
    assert_int_equal(journal_last(p->journal), 13);
    assert_true(journal_verify(p->dir) > 300);
    reopen(p);
    assert_int_equal(journal_last(p->journal), 10);
    assert_int_equal(read_from(p, 1, 4096), 10);
}

static void test_verify_leaves_no_gap(void **state)
{
    struct place *p = *state;
    append(p, 200, 50000, 7);
    append(p, 100, 50000, 207);
    spoil(p, true, 1000000);
    assert_true(journal_verify(p->dir) > 300 * 50000 - 1100000);
    reopen(p);
    assert_int_equal(journal_segments(p->journal), 1);
    assert_int_equal(read_from(p, 1, 1 << 20), 19);
}

/* As an earlier version wrote them: without a sum, which cannot be verified then. */
static void test_reads_records_of_old(void **state)
{
    struct place *p = *state;
    scoped(string) char *path = xasprintf("%s/%020d", p->dir, 1);
    char head[JOURNAL_HEAD_BYTES] = "WLOG\x02\0\0\0\x01";
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    head[30] = 6;
    assert_int_equal(write(fd, head, sizeof head), sizeof head);
    assert_int_equal(write(fd, "stream1:", 8), 8);
    close(fd);
    assert_int_equal(journal_verify(p->dir), 0);
    reopen(p);
    append(p, 2, 5, 1);
    reopen(p);
    assert_int_equal(read_from(p, 1, 4096), 3);
}

static void test_a_segment_of_rubbish_keeps_the_count(void **state)
{
    struct place *p = *state;
    append(p, 10, 0, 1);
    cut_last(p, 0, "nothing of it is left");
    reopen(p);
    assert_int_equal(journal_last(p->journal), 0);
    append(p, 1, 0, 1);
    assert_int_equal(read_from(p, 1, 4096), 1);
}

static void test_is_bounded(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 100; i++)
        append(p, 1, 1 << 20, 0);
    assert_true(journal_bytes(p->journal) <= LIMIT_BYTES + JOURNAL_SEGMENT_BYTES);
    uint64_t first = journal_first(p->journal);
    assert_true(first > 60);
    struct journal_cursor cursor = {.next = first - 1};
    assert_null(journal_read(p->journal, &cursor, 4096, NULL));
    assert_int_equal(read_from(p, first, 1 << 20), 101 - first);
}

static void test_release_keeps_what_is_needed(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 30; i++)
        append(p, 1, 1 << 20, 0);
    journal_release(p->journal, 12);
    assert_true(journal_first(p->journal) <= 12);
    assert_true(journal_first(p->journal) > 1);
    assert_int_equal(read_from(p, 12, 1 << 20), 19);
}

/* What goes into each segment first must know when one begins, also after the journal came back. */
static void test_says_when_a_segment_begins(void **state)
{
    struct place *p = *state;
    size_t begun = 0;
    for (uint64_t i = 1; i <= 20; i++) {
        bool begins = journal_begins(p->journal);
        begun += begins;
        append(p, 1, 1 << 20, 0);
        assert_int_equal(journal_segments(p->journal), begun);
        if (begins)
            assert_int_equal(journal_segment(p->journal, begun - 1), i);
        reopen(p);
    }
    assert_int_equal(begun, 3);
    assert_int_equal(journal_segment(p->journal, 0), journal_first(p->journal));
}

int main(void)
{
#define ON_DISK(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ON_DISK(test_empty),
        ON_DISK(test_read_from_anywhere),
        ON_DISK(test_comes_back_whole),
        ON_DISK(test_torn_tail_is_cut),
        ON_DISK(test_a_segment_of_rubbish_keeps_the_count),
        ON_DISK(test_verified_whole),
        ON_DISK(test_verify_cuts_at_what_was_not_written),
        ON_DISK(test_verify_leaves_no_gap),
        ON_DISK(test_reads_records_of_old),
        ON_DISK(test_is_bounded),
        ON_DISK(test_release_keeps_what_is_needed),
        ON_DISK(test_says_when_a_segment_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
