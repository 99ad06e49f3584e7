/* Runs a fuzz target over the files of a folder and tells in TAP. A file that is called good-* must
 * be accepted, one that is called bad-* must be refused, any other may be either. */
#include <dirent.h>

#include "tests/fuzz/fuzz.h"

#define FILE_LIMIT_BYTES (4 * 1024 * 1024)

/* The file's content in memory of exactly its size, so that a byte read beyond it is seen. */
static bool read_file(const char *path, struct bytes *out)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    scoped(string) char *data = xmalloc(FILE_LIMIT_BYTES);
    size_t len = fread(data, 1, FILE_LIMIT_BYTES, file);
    bool good = feof(file) && !ferror(file);
    fclose(file);
    if (good)
        *out = (struct bytes){xmemdup(data, len), len};
    return good;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool run_file(const char *folder, const char *name)
{
    scoped(string) char *path = xasprintf("%s/%s", folder, name);
    struct bytes input;
    if (!read_file(path, &input)) {
        printf("# %s cannot be read\n", path);
        return false;
    }
    bool accepted = fuzz_one(input);
    free((char *)input.data);
    if (accepted ? starts_with(name, "bad-") : starts_with(name, "good-")) {
        printf("# %s was %s\n", path, accepted ? "accepted" : "refused");
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    struct dirent **entries;
    int count = scandir(argv[1], &entries, NULL, alphasort);
    int number = 0, failed = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            bool good = run_file(argv[1], entries[i]->d_name);
            printf("%sok %d - %s\n", good ? "" : "not ", ++number, entries[i]->d_name);
            fflush(stdout);
            failed += !good;
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    if (number == 0) {
        printf("not ok 1 - %s holds files\n", argv[1]);
        number = failed = 1;
    }
    printf("1..%d\n", number);
    return failed > 0;
}
