/* The functions of libzmq that the host calls, each handing on to the library that zeromq_load has
 * loaded. Their types are those of zmq.h, which the compiler checks. Invariant: no function but
 * zeromq_load is called before that has succeeded. */
#include "kernel/host/zeromq.h"

#include <dlfcn.h>
#include <string.h>
#include <zmq.h>

#include "protocol/memory.h"

#define LIBRARY "libzmq.so.5"

#define CALLS(X)                                                                                   \
    X(void *, zmq_ctx_new, (void), ())                                                             \
    X(int, zmq_ctx_term, (void *context), (context))                                               \
    X(void *, zmq_socket, (void *context, int type), (context, type))                              \
    X(int, zmq_close, (void *socket), (socket))                                                    \
    X(int, zmq_bind, (void *socket, const char *address), (socket, address))                       \
    X(int, zmq_connect, (void *socket, const char *address), (socket, address))                    \
    X(int, zmq_setsockopt, (void *socket, int option, const void *value, size_t len),              \
      (socket, option, value, len))                                                                \
    X(int, zmq_getsockopt, (void *socket, int option, void *value, size_t *len),                   \
      (socket, option, value, len))                                                                \
    X(int, zmq_socket_monitor, (void *socket, const char *address, int events),                    \
      (socket, address, events))                                                                   \
    X(int, zmq_msg_init, (zmq_msg_t * message), (message))                                         \
    X(int, zmq_msg_init_size, (zmq_msg_t * message, size_t size), (message, size))                 \
    X(int, zmq_msg_init_data,                                                                      \
      (zmq_msg_t * message, void *data, size_t size, zmq_free_fn *release, void *hint),            \
      (message, data, size, release, hint))                                                        \
    X(int, zmq_msg_send, (zmq_msg_t * message, void *socket, int flags), (message, socket, flags)) \
    X(int, zmq_msg_recv, (zmq_msg_t * message, void *socket, int flags), (message, socket, flags)) \
    X(int, zmq_msg_close, (zmq_msg_t * message), (message))                                        \
    X(void *, zmq_msg_data, (zmq_msg_t * message), (message))                                      \
    X(size_t, zmq_msg_size, (const zmq_msg_t *message), (message))                                 \
    X(int, zmq_msg_more, (const zmq_msg_t *message), (message))                                    \
    X(const char *, zmq_strerror, (int number), (number))

#define X(result, name, parameters, arguments)                                                     \
    static result(*late_##name) parameters;                                                        \
    result name parameters                                                                         \
    {                                                                                              \
        return late_##name arguments;                                                              \
    }
CALLS(X)
#undef X

static const struct {
    const char *name;
    void *place; /* of the pointer */
} calls[] = {
#define X(result, name, parameters, arguments) {#name, &late_##name},
    CALLS(X)
#undef X
};

bool zeromq_load(struct err *e)
{
    static void *library;
    if (library)
        return true;
    void *loaded = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!loaded)
        return fail(e, 503, "ZeroMQ cannot be loaded: %s", dlerror());
    for (size_t i = 0; i < countof(calls); i++) {
        void *found = dlsym(loaded, calls[i].name);
        if (!found)
            return fail(e, 503, "ZeroMQ is too old: %s has no %s", LIBRARY, calls[i].name);
        memcpy(calls[i].place, &found, sizeof found);
    }
    library = loaded;
    return true;
}
