/* The block that every entry of a tar begins with; shared by tar_reader.c and tar_writer.c. */
#ifndef WARMCELL_GATEWAY_FILES_TAR_HEADER_H
#define WARMCELL_GATEWAY_FILES_TAR_HEADER_H

#include <stdint.h>
#include <string.h>

#define TAR_NAME 100

struct tar_header {
    char path[TAR_NAME];
    char mode[8], uid[8], gid[8];
    char size[12], modified[12];
    char checksum[8];
    char type;
    char target[TAR_NAME];
    char magic[6]; /* "ustar" and NUL: POSIX; "ustar ": GNU; else older than both */
    char version[2];
    char user[32], group[32];
    char device[2][8];
    char prefix[155]; /* POSIX alone: comes before path, with a slash */
    char unused[12];
};
_Static_assert(sizeof(struct tar_header) == 512, "a block");

/* The sum of all its bytes, with blanks in place of the checksum. */
static inline int64_t tar_header_sum(const struct tar_header *h)
{
    struct tar_header blank = *h;
    const unsigned char *bytes = (const unsigned char *)&blank;
    int64_t sum = 0;
    memset(blank.checksum, ' ', sizeof blank.checksum);
    for (size_t i = 0; i < sizeof blank; i++)
        sum += bytes[i];
    return sum;
}

#endif
