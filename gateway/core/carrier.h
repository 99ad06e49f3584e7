/* Carries the variables of a kernel into the vault, and back: asks its host, and has a thread of
 * its own speak with the interpreter meanwhile. */
#ifndef WARMCELL_GATEWAY_CORE_CARRIER_H
#define WARMCELL_GATEWAY_CORE_CARRIER_H

#include <jansson.h>

#include "gateway/core/kernel.h"
#include "protocol/err.h"

/* k is of a sandbox, attached and idle. known: as of vault_take; copied. done is called once, later
 * or at once, also when k has ended meanwhile: with what vault_take gave (borrowed), or NULL and
 * why: 409 the kernel is busy or not ready; 413, 502, 503. */
void carrier_save(struct kernel *k, const json_t *known,
                  void (*done)(void *user, json_t *saved, const struct err *e), void *user);

/* saved: what carrier_save gave once; copied. done gets vault_give's answer. */
void carrier_restore(struct kernel *k, const json_t *saved,
                     void (*done)(void *user, json_t *answer, const struct err *e), void *user);

#endif
