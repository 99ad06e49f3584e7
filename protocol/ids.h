/* Random identifiers and times as the protocol writes them. */
#ifndef WARMCELL_PROTOCOL_IDS_H
#define WARMCELL_PROTOCOL_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define UUID_TEXT 37 /* 36 characters and a NUL */
#define TIME_TEXT 28 /* "2026-01-31T23:59:59.123456Z" and a NUL */

/* A random version-4 UUID from getrandom(2), lower case with hyphens. */
void uuid_make(char out[UUID_TEXT]);

/* `count` random bytes as 2*count hexadecimal digits and a NUL. */
void random_hex(char *out, size_t count);

/* len bytes as hexadecimal digits and a NUL; returns where that stands. */
char *hex_text(char *out, const unsigned char *data, size_t len);

/* True when id is five groups of word characters joined by hyphens, at most 100 long: what Jupyter
 * accepts as a kernel or session id. */
bool id_valid(const char *id);

/* UTC with microseconds and a final Z, always with the fraction: jupyter_server's gateway client
 * parses kernel times with exactly this format. */
void time_text(struct timespec when, char out[TIME_TEXT]);
void time_now_text(char out[TIME_TEXT]);
int64_t monotonic_ms(void);
int64_t monotonic_us(void);

#endif
