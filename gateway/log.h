/* The log: one line an event on stderr, a constant message and fields, as text or JSON.
 *
 *     log_info("kernel started", F_STR("kernel", id), F_INT("pid", pid));
 *     2026-01-31T23:59:59.123456Z info kernel started kernel=… pid=17
 *
 * error: a person must act; warn: degraded; info: life cycle; debug: the rest. Never tokens, keys,
 * code or outputs. Usable from any thread. */
#ifndef WARMCELL_GATEWAY_LOG_H
#define WARMCELL_GATEWAY_LOG_H

#include "gateway/settings.h"

struct log_field {
    const char *name;
    const char *text; /* NULL: number is the value */
    int64_t number;
};

#define F_STR(name_, text_)   ((struct log_field){.name = (name_), .text = (text_) ? (text_) : ""})
#define F_INT(name_, number_) ((struct log_field){.name = (name_), .number = (number_)})

/* The level and form of everything after; until then: info, text. */
void log_setup(enum log_level level, bool json);
bool log_wants(enum log_level level);
void log_event(enum log_level level, const char *message, const struct log_field *fields,
               size_t count);

#define log_at(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_wants(level)) {                                                                    \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                           \
            log_event(level, message, log_fields_ + 1,                                             \
                      sizeof log_fields_ / sizeof *log_fields_ - 1);                               \
        }                                                                                          \
    } while (0)

#define log_error(message, ...) log_at(LOG_ERROR, message, ##__VA_ARGS__)
#define log_warn(message, ...)  log_at(LOG_WARN, message, ##__VA_ARGS__)
#define log_info(message, ...)  log_at(LOG_INFO, message, ##__VA_ARGS__)
#define log_debug(message, ...) log_at(LOG_DEBUG, message, ##__VA_ARGS__)

#endif
