/* The log of a command: whatever stands in the file, the records that are read are whole and
 * numbered without gaps, and each number is found at its place. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/core/run_log.h"

static void check_from(struct run_log *l, uint64_t number)
{
    struct run_cursor cursor = {.next = number}, found = cursor;
    scoped(buffer) struct buffer records = {0};
    REQUIRE(run_log_find(l, &found) == (number <= run_log_last(l)));
    uint64_t bytes[2] = {found.bytes[0], found.bytes[1]};
    while (run_log_read(l, &cursor, &records, 1000)) {
        struct bytes rest = buffer_view(&records), text;
        struct record record;
        while (run_log_next(&rest, &record, &text)) {
            REQUIRE(record.number == number++);
            if (record.kind == RECORD_STDOUT || record.kind == RECORD_STDERR)
                bytes[record.kind == RECORD_STDERR] += text.len;
        }
        REQUIRE(rest.len == 0);
        buffer_clear(&records);
    }
    REQUIRE(number == run_log_last(l) + 1);
    REQUIRE(bytes[0] == run_log_bytes(l, RECORD_STDOUT));
    REQUIRE(bytes[1] == run_log_bytes(l, RECORD_STDERR));
}

bool fuzz_one(struct bytes input)
{
    char path[40];
    struct err e;
    int fd = memfd_create("log", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, input.data, input.len) == (ssize_t)input.len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct run_log *l = run_log_open(path, &e);
    REQUIRE(l);
    REQUIRE(run_log_refresh(l) == (run_log_last(l) > 0));
    check_from(l, 1);
    check_from(l, run_log_last(l) / 2 + 1);
    bool whole = run_log_size(l) == input.len;
    REQUIRE(run_log_size(l) <= input.len);
    run_log_free(l);
    close(fd);
    return whole;
}
