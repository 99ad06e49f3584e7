/* Where things are on this machine: the source tree we were built in, programs on PATH, our
 * siblings. */
#ifndef WARMCELL_GATEWAY_PLACE_H
#define WARMCELL_GATEWAY_PLACE_H

/* All results are absolute paths, given to the caller. */

/* The source tree, when this program runs from a build tree inside of it; NULL otherwise. */
char *place_source_root(void);

/* The Python of the environment that a wheel has put this program into; NULL: not a wheel's. */
char *place_environment_python(void);

/* An executable in one of the folders of path, "/usr/bin:/bin"; "" when there is none. */
char *place_in(const char *path, const char *name);
char *place_on_path(const char *name); /* of PATH */

/* Our siblings: where WARMCELL_KERNEL, WARMCELL_KEEPER, WARMCELL_COMMAND, WARMCELL_PYTHON,
 * WARMCELL_PYTHONPATH and, for the folder of all drivers, WARMCELL_DRIVERS say, in the build tree,
 * or installed; NULL when it is nowhere. */
char *place_kernel_host(void);        /* warmcell-kernel */
char *place_keeper(void);             /* warmcell-keeper */
char *place_command(void);            /* warmcell-command */
char *place_python(void);             /* warmcell-python */
char *place_python_package(void);     /* the folder that holds warmcell_kernel */
char *place_driver(const char *name); /* "node/driver.js", beside the files that it needs */

#endif
