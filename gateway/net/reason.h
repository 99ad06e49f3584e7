/* The statuses of HTTP in words. Source: RFC 9110, 15. */
#ifndef WARMCELL_GATEWAY_NET_REASON_H
#define WARMCELL_GATEWAY_NET_REASON_H

/* "Not Found"; of one that is not known "Unknown". */
const char *reason_phrase(int status);

#endif
