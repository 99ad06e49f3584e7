/* Which names a request may call us by, which web pages may call us, and what browsers are told
 * about it. */
#ifndef WARMCELL_GATEWAY_NET_ORIGIN_H
#define WARMCELL_GATEWAY_NET_ORIGIN_H

#include "gateway/settings.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

struct origin_policy;

/* net is borrowed. loopback: we listen at a loopback address, so only its names are believed. 400:
 * allow_origin_pat is not a POSIX extended regular expression, or a header option holds a line
 * break. */
struct origin_policy *origin_policy_new(const struct settings_net *net, bool loopback,
                                        struct err *e);
void origin_policy_free(struct origin_policy *p);

/* Is host ("name", "name:port", "[::1]:port") a name of ours? Guards against DNS rebinding. Away
 * from loopback every name is, unless allowed hosts were given. */
bool origin_host_allowed(const struct origin_policy *p, const char *host);

/* Is origin ("https://name:port") the host that was called, allow_origin, or one that
 * allow_origin_pat matches from its start? "null" is only allowed by "*". */
bool origin_allowed(const struct origin_policy *p, const char *origin, const char *host);

/* Appends the CORS header lines of a reply; origin may be NULL. */
void origin_add_headers(const struct origin_policy *p, const char *origin, struct buffer *out);

/* True for an address or name that only this machine can reach: 127.0.0.0/8, ::1, localhost,
 * *.localhost. */
bool origin_is_loopback(const char *name);

#endif
