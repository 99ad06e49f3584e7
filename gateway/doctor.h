/* `warmcell doctor`: what this machine can do for sandboxes, and what to do about the rest. */
#ifndef WARMCELL_GATEWAY_DOCTOR_H
#define WARMCELL_GATEWAY_DOCTOR_H

#include <stddef.h>

/* args: nothing or "--json". One line a check on stdout: "ok        user namespaces", "missing
 * seccomp: why; remedy", "degraded  landlock: ...". As JSON: {"required": true, "root": false,
 * "landlock": 7, "checks": [{"name": "...", "status": "ok", "why": null, "remedy": null}]}. Returns
 * 0 when the policy "required" can be kept and the last row, the Python of sandboxes, is ok; 1 when
 * not, 2 for a wrong argument. */
int doctor_main(char *const *args, size_t count);

#endif
