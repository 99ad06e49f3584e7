/* `warmcell serve`: the gateway, from the first bind to the last byte. */
#ifndef WARMCELL_GATEWAY_SERVE_H
#define WARMCELL_GATEWAY_SERVE_H

#include "gateway/net/server.h"
#include "gateway/settings.h"

/* What a gateway serves besides its own page: the core with its dialects in the program, a stand-in
 * in the tests of net/. */
struct service {
    /* Begins, and adds its routes to the server, which already listens but answers nobody yet. The
     * result is handed to the others. NULL: e says why it cannot; with e filled: so, too, and it is
     * drained and closed. */
    void *(*open)(const struct settings *settings, uv_loop_t *loop, struct server *server,
                  struct err *e);
    /* Finishes what is under way; done is called when nothing of it is in the loop any more. */
    void (*drain)(void *self, void (*done)(void *user), void *user);
    void (*close)(void *self); /* after done */
    /* Is there work that no connection shows? NULL: never. */
    bool (*in_use)(const void *self);
};

/* args are the words behind the subcommand. Returns the exit status: 0 after SIGTERM or SIGINT, 1:
 * it could not start, or a second signal cut the ending short; 2: a wrong option. */
int serve_run(char *const *args, size_t count, const struct service *service);

#endif
