/* What the module uses of the bash that loads it: names that bash 5.0 to 5.3 export for loadable
 * builtins, declared here so that no header of bash is needed. */
#ifndef WARMCELL_KERNEL_BASH_SHELL_H
#define WARMCELL_KERNEL_BASH_SHELL_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* --- of bash: its spelling */

struct word_desc {
    char *word;
    int flags;
};

struct word_list {
    struct word_list *next;
    struct word_desc *word;
};

/* A loadable builtin NAME is the symbol NAME_struct; bash writes flags and handle. */
struct builtin {
    const char *name;
    int (*function)(struct word_list *words);
    int flags;
    const char *const *long_doc; /* NULL-terminated */
    const char *short_doc;
    char *handle;
};
#define BUILTIN_ENABLED 1

/* What siglongjmp to top_level brings. */
enum shell_jump {
    JUMP_NONE,
    JUMP_FORCE_EOF,
    JUMP_DISCARD, /* the command is given up: an error, or an interrupt */
    JUMP_EXIT,
    JUMP_ERREXIT, /* set -e */
    JUMP_SIGEXIT,
    JUMP_EXIT_BUILTIN,
};

#define EXECUTE_NO_HISTORY 0x004
#define EXECUTE_NO_FREE    0x008
#define EXECUTE_RESET_LINE 0x010

extern sigjmp_buf top_level;
extern int interactive, interactive_shell;
extern int parse_and_execute_level;
extern int startup_state; /* 1: a prompt; 2: of -c, where the last command is not forked */
extern int last_command_exit_value;
extern int subshell_environment;
extern volatile sig_atomic_t interrupt_state;

int parse_and_execute(char *code, const char *name, int flags);
void throw_to_top_level(void);
void clear_unwind_protect_list(int flags);
void set_sigint_handler(void);
void set_pipestatus_from_exit(int status);
void exit_shell(int status) __attribute__((noreturn));
int read_builtin(struct word_list *words);
int exit_builtin(struct word_list *words);

/* --- of the module */

/* One datagram to the driver; descriptors stay the caller's. false: it has gone. */
struct control;
bool shell_say(const struct control *what, const char *text, const int *fds, size_t count);

/* Waits until there is something to read, or the end. false: an interrupt came; none slips in
 * between a look and the wait. */
bool shell_await(int fd);

/* What the driver answers over the reading end of a pipe: read to its end, NUL-terminated, given;
 * an interrupt gives the cell up. Closes fd. */
char *shell_answer(int fd);

#endif
