/* What is kept of sandboxes for as long as they do not run: records and variables, in a folder each
 * below STATE/snapshots (mode 0700), under keys that lie beside them (STATE/snapshot.key, mode
 * 0600) and that no kernel sees. What gets secrets of a sandbox is hidden with them in other files,
 * too.
 *
 * All is sealed (store/seal.h): nobody without the keys reads or changes it. A record is JSON, of
 * one sandbox and name: none can stand for another. Big bytes are files, each of one sandbox and
 * name likewise, which a record names. All is synced before a record names it. Every function that
 * takes a struct vault may be called on any thread.
 *
 * The file of keys holds 1 to SEAL_KEYS_LIMIT of 32 bytes, one behind the other: the first seals,
 * all of them open. A new one in front is a change of the key (vault_rotate); an old one may go
 * when nothing that it sealed is wanted any more. */
#ifndef WARMCELL_GATEWAY_STORE_VAULT_H
#define WARMCELL_GATEWAY_STORE_VAULT_H

#include <jansson.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define VAULT_NAME_TEXT   129           /* of a big file, at most, and a NUL */
#define VAULT_LARGE_BYTES (1024 * 1024) /* so many are not looked for among what is kept */

struct vault;

/* Makes the folder and the key where they are not there yet. 503. */
struct vault *vault_open(const char *state_dir, struct err *e);
void vault_close(struct vault *v); /* NULL is legal */

/* Puts a new key in front in the state folder of a gateway that does not run: what is sealed from
 * then on is under it, and the older ones go on opening what they sealed. The file is replaced
 * whole or not at all. drop_oldest: where there are SEAL_KEYS_LIMIT already, the last one goes, and
 * with it all that it alone opens. *count: how many there are now. 404: it is no state folder; 409:
 * a gateway uses it, or there are as many already; 503. */
bool vault_rotate(const char *state_dir, bool drop_oldest, size_t *count, struct err *e);

/* Locks the state folder of a gateway that does not run: a descriptor to be closed; -1: 404 it is
 * none, 409 a gateway uses it, 503. */
int vault_lock(const char *state_dir, struct err *e);
/* Drops all keys but the first, of a folder that is locked: nothing that is wanted may be sealed
 * with another one any more. The file is replaced whole or not at all. *dropped: how many. 503. */
bool vault_drop_keys(struct vault *v, const char *state_dir, size_t *dropped, struct err *e);

/* Calls each with the id of every sandbox that has a folder. */
void vault_each(const struct vault *v, void (*each)(void *user, const char *sandbox), void *user);
bool vault_holds(const struct vault *v, const char *sandbox); /* anything of it */
/* Calls each with the name of every record of a sandbox, in no order. */
void vault_records(const struct vault *v, const char *sandbox,
                   void (*each)(void *user, const char *name), void *user);

/* Puts a record in the place of one of that name, whole or not at all; afterwards a power cut does
 * not undo it. name: letters, digits and hyphens. 413: larger than 64 MiB; 503. */
bool vault_put(const struct vault *v, const char *sandbox, const char *name, const json_t *record,
               struct err *e);
/* Given; NULL: 404 there is none, 503 it cannot be read, or is not what was sealed. */
json_t *vault_get(const struct vault *v, const char *sandbox, const char *name, struct err *e);
void vault_drop(const struct vault *v, const char *sandbox, const char *name);

/* A value as a JSON string that tells nothing of it, for a file of somebody else's, and back. The
 * context says where it stands (kind and id): elsewhere it is not revealed. Given; NULL: 503. */
json_t *vault_hide(const struct vault *v, const char *context, const json_t *value);
json_t *vault_reveal(const struct vault *v, const char *context, const json_t *hidden,
                     struct err *e);

/* What tells whether two texts are the same, and to who has not the keys nothing of them: an array
 * of digests, one under each key, the newest first. Two of the same text and context have one in
 * common as long as a key of the time of both is kept. Given. */
json_t *vault_digests(const struct vault *v, const char *context, struct bytes text);

/* Calls each with the name of every big file of a sandbox, in no order. */
void vault_files(const struct vault *v, const char *sandbox,
                 void (*each)(void *user, const char *name), void *user);

/* Removes big files that kept, an array of their names, does not hold. */
void vault_sweep(const struct vault *v, const char *sandbox, const json_t *kept);
/* Removes everything of a sandbox. */
void vault_remove(const struct vault *v, const char *sandbox);

/* A big file on its way in. It has a name when it is finished; abandoned it leaves nothing. bytes:
 * how many will be added. One of fewer than VAULT_LARGE_BYTES that is kept already is not kept
 * twice: it has the name of the other. */
struct vault_file;
struct vault_file *vault_file_new(const struct vault *v, const char *sandbox, int64_t bytes,
                                  struct err *e);
bool vault_file_add(struct vault_file *f, struct bytes data, struct err *e);
/* Frees f, also when it fails. */
bool vault_file_finish(struct vault_file *f, char name[VAULT_NAME_TEXT], struct err *e);
void vault_file_abandon(struct vault_file *f); /* NULL is legal */

/* Puts a big file of one sandbox among those of another one, under the same name. 503. */
bool vault_file_copy(const struct vault *v, const char *from, const char *to, const char *name,
                     struct err *e);

/* Seals a big file with the first key, in its own place, whole or not at all. *sealed: it was not
 * yet. 503. */
bool vault_file_renew(const struct vault *v, const char *sandbox, const char *name, bool *sealed,
                      struct err *e);

/* Passes the bytes of a big file on, a piece after the other; false from pass ends it, with what it
 * put into e. 503: it is not there, or not what was sealed, from that piece on. */
bool vault_file_read(const struct vault *v, const char *sandbox, const char *name,
                     bool (*pass)(void *user, struct bytes piece, struct err *e), void *user,
                     struct err *e);

#endif
