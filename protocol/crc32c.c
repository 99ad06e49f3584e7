/* By the processor's instruction where there is one (x86-64 with SSE 4.2), else by a table. Called
 * for every byte that a kernel says, so the first matters. */
#include "protocol/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[256];
static uint32_t (*best)(uint32_t crc, const unsigned char *at, size_t len);
static pthread_once_t chosen = PTHREAD_ONCE_INIT;

static uint32_t by_table(uint32_t crc, const unsigned char *at, size_t len)
{
    while (len--)
        crc = table[(crc ^ *at++) & 0xff] ^ (crc >> 8);
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const unsigned char *at, size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (len--)
        crc = __builtin_ia32_crc32qi(crc, *at++);
    return crc;
}
#endif

static void choose(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value & 1 ? (value >> 1) ^ POLYNOMIAL : value >> 1;
        table[i] = value;
    }
    best = by_table;
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        best = by_instruction;
#endif
}

uint32_t crc32c(uint32_t before, struct bytes data)
{
    pthread_once(&chosen, choose);
    return ~best(~before, (const unsigned char *)data.data, data.len);
}
