/* The keeper's log: one line an event, on stderr, which --log makes a file. */
#ifndef WARMCELL_SANDBOX_LOG_H
#define WARMCELL_SANDBOX_LOG_H

/* "2026-01-31T23:59:59.123456Z warmcell-keeper: text". Never tells environments, keys or code. */
__attribute__((format(printf, 1, 2))) void keeper_log(const char *format, ...);

#endif
