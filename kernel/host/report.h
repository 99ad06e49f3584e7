/* One line on stderr per event: what a person must act on or may wonder about. Never a key, a
 * token, code or output. */
#ifndef WARMCELL_KERNEL_HOST_REPORT_H
#define WARMCELL_KERNEL_HOST_REPORT_H

__attribute__((format(printf, 1, 2))) void report(const char *format, ...);

/* For what a peer can cause at will: at most 10 lines in 10 seconds; then the number that was left
 * out. */
__attribute__((format(printf, 1, 2))) void report_dropped(const char *format, ...);

#endif
