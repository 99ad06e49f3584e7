/* The inside of the vault, shared by vault.c and vault_file.c. */
#ifndef WARMCELL_GATEWAY_STORE_VAULT_FOLDER_H
#define WARMCELL_GATEWAY_STORE_VAULT_FOLDER_H

#include "gateway/store/seal.h"
#include "gateway/store/vault.h"

const struct seal_keys *vault_keys(const struct vault *v);
/* Of a file in a sandbox's folder, or of the folder (name NULL); given. */
char *vault_path(const struct vault *v, const char *sandbox, const char *name);
bool vault_is_file(const char *name); /* of a big one that is finished */
bool vault_make_folder(const struct vault *v, const char *sandbox, struct err *e);
bool vault_sync_folder(const char *path, struct err *e);
bool vault_write(int fd, struct bytes data, struct err *e); /* all of it; 503 */

#endif
