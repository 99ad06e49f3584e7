/* W3C Trace Context: the header `traceparent`, "00-TRACE-PARENT-FLAGS" in lower-case hexadecimal
 * digits. It is carried from a request to what it asked for; the gateway makes no spans of its own,
 * so it makes none up either. Source: www.w3.org/TR/trace-context, "Traceparent Header". */
#ifndef WARMCELL_GATEWAY_NET_TRACE_H
#define WARMCELL_GATEWAY_NET_TRACE_H

#define TRACE_TEXT 33 /* the 32 digits of a trace's id, and a NUL */

/* text, when it is one: of version 00 with nothing behind it, or of a later one but ff; trace and
 * parent are not all zeros. NULL: it is none, as which a wrong one counts, or text is NULL. */
const char *trace_parent(const char *text);
/* Of what trace_parent gave. */
void trace_id(const char *parent, char out[TRACE_TEXT]);

#endif
