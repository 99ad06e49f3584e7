/* Pages that are built into the program (meson.build makes them of their files). */
#ifndef WARMCELL_GATEWAY_WEB_PAGES_H
#define WARMCELL_GATEWAY_WEB_PAGES_H

/* docs.html. "%NONCE%" stands where a policy wants the nonce of its script, "%DOCUMENT%" where the
 * OpenAPI document shall be. */
extern const char docs_page[];

#endif
