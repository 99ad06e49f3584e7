/* Random identifiers from getrandom(2), and times as text. */
#include "protocol/ids.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "protocol/memory.h"

#define ID_LIMIT  100
#define ID_GROUPS 5

static void random_fill(unsigned char *out, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            perror("warmcell: getrandom");
            abort();
        }
        out += got;
        len -= (size_t)got;
    }
}

char *hex_text(char *out, const unsigned char *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }
    *out = '\0';
    return out;
}

void random_hex(char *out, size_t count)
{
    unsigned char some[64];
    *out = '\0';
    while (count > 0) {
        size_t len = count < sizeof(some) ? count : sizeof(some);
        random_fill(some, len);
        out = hex_text(out, some, len);
        count -= len;
    }
}

void uuid_make(char out[UUID_TEXT])
{
    static const size_t groups[] = {4, 2, 2, 2, 6};
    unsigned char bits[16];
    random_fill(bits, sizeof(bits));
    bits[6] = (unsigned char)((bits[6] & 0x0F) | 0x40);
    bits[8] = (unsigned char)((bits[8] & 0x3F) | 0x80);
    const unsigned char *from = bits;
    for (size_t i = 0; i < countof(groups); i++) {
        out = hex_text(out, from, groups[i]);
        from += groups[i];
        if (i + 1 < countof(groups))
            *out++ = '-';
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool id_valid(const char *id)
{
    size_t groups = 1, in_group = 0, len = 0;
    for (; id[len]; len++) {
        if (len >= ID_LIMIT)
            return false;
        if (is_word(id[len])) {
            in_group++;
        } else if (id[len] == '-' && in_group > 0) {
            groups++;
            in_group = 0;
        } else {
            return false;
        }
    }
    return groups == ID_GROUPS && in_group > 0;
}

void time_text(struct timespec when, char out[TIME_TEXT])
{
    struct tm utc = {0};
    gmtime_r(&when.tv_sec, &utc);
    snprintf(out, TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
             (unsigned)(utc.tm_year + 1900) % 10000u, (unsigned)(utc.tm_mon + 1) % 100u,
             (unsigned)utc.tm_mday % 100u, (unsigned)utc.tm_hour % 100u,
             (unsigned)utc.tm_min % 100u, (unsigned)utc.tm_sec % 100u,
             (unsigned)(when.tv_nsec / 1000) % 1000000u);
}

/* Every message carries the time, so the text of a second is made once and its fraction written
 * into it. */
void time_now_text(char out[TIME_TEXT])
{
    static _Thread_local char text[TIME_TEXT];
    static _Thread_local time_t made;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != made || !text[0]) {
        time_text((struct timespec){.tv_sec = now.tv_sec}, text);
        made = now.tv_sec;
    }
    memcpy(out, text, TIME_TEXT);
    long us = now.tv_nsec / 1000;
    for (char *digit = out + TIME_TEXT - 3; us; us /= 10)
        *digit-- = (char)('0' + us % 10);
}

int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t monotonic_ms(void)
{
    return monotonic_us() / 1000;
}
