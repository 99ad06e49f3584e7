/* What the driver uses of libR, which it loads when it runs: so R is not needed to build. The names
 * are R's; the declarations are ours, as R 4.0 and newer have them. */
#ifndef WARMCELL_KERNEL_R_API_H
#define WARMCELL_KERNEL_R_API_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/err.h"

/* A value of R's; it knows its own inside. */
typedef struct r_value *r_value; /* NOLINT: R's own interface passes pointers under such a name */

typedef void (*r_routine)(void);

/* R_CMethodDef */
struct r_method {
    const char *name;
    r_routine function;
    int arguments;
    const unsigned *types;
};

#define R_UTF8       1 /* cetype_t */
#define R_NO_SAVE    3 /* SA_NOSAVE, */
#define R_BY_SUICIDE 5 /* and SA_SUICIDE of SA_TYPE */

/* Functions: result, name, arguments. */
#define R_FUNCTIONS(F)                                                                             \
    F(int, Rf_initialize_R, (int count, char **words))                                             \
    F(void, setup_Rmainloop, (void))                                                               \
    F(r_value, Rf_install, (const char *name))                                                     \
    F(r_value, Rf_lang2, (r_value f, r_value a))                                                   \
    F(r_value, Rf_lang3, (r_value f, r_value a, r_value b))                                        \
    F(r_value, Rf_mkCharLenCE, (const char *text, int len, int encoding))                          \
    F(r_value, Rf_mkString, (const char *text))                                                    \
    F(r_value, Rf_allocVector, (unsigned type, ptrdiff_t len))                                     \
    F(void, SET_STRING_ELT, (r_value texts, ptrdiff_t at, r_value text))                           \
    F(r_value, STRING_ELT, (r_value texts, ptrdiff_t at))                                          \
    F(const char *, Rf_translateCharUTF8, (r_value text))                                          \
    F(ptrdiff_t, Rf_xlength, (r_value v))                                                          \
    F(int, TYPEOF, (r_value v))                                                                    \
    F(r_value, Rf_protect, (r_value v))                                                            \
    F(void, Rf_unprotect, (int count))                                                             \
    F(void, R_PreserveObject, (r_value v))                                                         \
    F(r_value, R_tryEval, (r_value call, r_value environment, int *failed))                        \
    F(void, R_CheckUserInterrupt, (void))                                                          \
    F(void, Rf_jump_to_toplevel, (void))                                                           \
    F(void, Rf_error, (const char *format, ...))                                                   \
    F(void, R_RunExitFinalizers, (void))                                                           \
    F(void, R_CleanTempDir, (void))                                                                \
    F(void *, R_getEmbeddingDllInfo, (void))                                                       \
    F(int, R_registerRoutines,                                                                     \
      (void *dll, const struct r_method *c, const void *call, const void *fortran,                 \
       const void *external))

/* Variables: type, name. */
#define R_VARIABLES(V)                                                                             \
    V(int, R_SignalHandlers)                                                                       \
    V(int, R_Interactive)                                                                          \
    V(int, R_interrupts_pending)                                                                   \
    V(int, R_wait_usec)                                                                            \
    V(void *, R_Outputfile)                                                                        \
    V(void *, R_Consolefile)                                                                       \
    V(r_value, R_BaseEnv)                                                                          \
    V(r_routine, ptr_R_WriteConsole)                                                               \
    V(r_routine, ptr_R_WriteConsoleEx)                                                             \
    V(r_routine, ptr_R_ReadConsole)                                                                \
    V(r_routine, ptr_R_ShowMessage)                                                                \
    V(r_routine, ptr_R_CleanUp)

struct r_api {
#define R_FUNCTION(result, name, arguments) result(*name) arguments;
#define R_VARIABLE(type, name)              type *name;
    R_FUNCTIONS(R_FUNCTION)
    R_VARIABLES(R_VARIABLE)
#undef R_FUNCTION
#undef R_VARIABLE
};

#define R_TEXTS 16u /* STRSXP */

/* Loads $R_HOME/lib/libR.so. 503: it is not there, or lacks a name. */
bool r_load(struct r_api *api, struct err *e);

#endif
