/* Libraries that a host loads when it first calls them. One behind a gateway, in a sandbox, signs
 * nothing and has written no history when its first cell is answered: to load and relocate what it
 * does not call was half of its start.
 *
 * A file that includes this lists, as CALLS(X), X(result, name, parameters, arguments) for each
 * function, with the types of the library's header, which the compiler checks; and says LATE_CALLS
 * with the library's name. It defines functions of those names that hand on. */
#ifndef WARMCELL_KERNEL_HOST_LATE_H
#define WARMCELL_KERNEL_HOST_LATE_H

#include <stddef.h>

struct late_call {
    const char *name;
    void *place; /* of the pointer to the function */
};

/* Ends the program with a sentence when the library, or a function of it, is not there: as the
 * start would without this. */
void late_load(const char *library, const struct late_call *calls, size_t count);

#define LATE_POINTER(result, name, parameters, arguments) static result(*late_##name) parameters;
#define LATE_ROW(result, name, parameters, arguments)     {#name, &late_##name},
#define LATE_FUNCTION(result, name, parameters, arguments)                                         \
    result name parameters                                                                         \
    {                                                                                              \
        if (!late_##name)                                                                          \
            load();                                                                                \
        return late_##name arguments;                                                              \
    }

#define LATE_CALLS(library)                                                                        \
    CALLS(LATE_POINTER)                                                                            \
    static void load(void)                                                                         \
    {                                                                                              \
        static const struct late_call calls[] = {CALLS(LATE_ROW)};                                 \
        late_load(library, calls, sizeof calls / sizeof calls[0]);                                 \
    }                                                                                              \
    CALLS(LATE_FUNCTION)

#endif
