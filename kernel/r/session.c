/* R in this process: what R calls us for (console, end, the routines that driver.R uses), and what
 * we ask of driver.R. R's interface has no user data: there is one session.
 *
 * R leaves its functions by jumps. Invariant: nothing of ours that is owned stands on the stack
 * where R may jump; the loop of requests is reached through R_tryEval alone, where jumps end. */
#include "kernel/r/session.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/python/memory_peak.h"
#include "kernel/r/api.h"
#include "kernel/r/place.h"

#define VERBS_FILE "driver.R"
#define LOOK_US    100000 /* a signal that slips in before R waits is seen after that */

struct session {
    struct r_api r;
    struct driver *driver; /* owned */
    r_value answer;        /* driver.R's function; R keeps it */
    json_t *bundle;        /* owned; what is staged for a display */
    char *line;            /* owned; of the client's, not all of it taken by R yet */
    size_t line_at;
    struct place_before before;
    bool may_ask, exits, skips_last;
    int exit_status;
    unsigned count;
    volatile sig_atomic_t hears, early;
};

static struct session *living;

/* --- what R calls */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (living->hears)
        *living->r.R_interrupts_pending = 1;
    else
        living->early = 1;
}

static void on_text(const char *text, int len, int is_error)
{
    driver_stream(living->driver, is_error ? "stderr" : "stdout",
                  (struct bytes){text, len > 0 ? (size_t)len : 0});
}

static void on_message(const char *text)
{
    on_text(text, (int)strlen(text), 1);
    on_text("\n", 1, 1);
}

/* An interrupt jumps away. It is held back but while we wait, so that none comes unseen between the
 * look and the wait. */
static char *await_answer(size_t *len)
{
    struct session *s = living;
    sigset_t interrupt, before;
    char *text;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    while (!(text = driver_take_answer(s->driver, len))) {
        struct pollfd fd = {driver_answer_fd(s->driver), POLLIN, 0};
        ppoll(&fd, 1, NULL, &before);
        if (!*s->r.R_interrupts_pending)
            continue;
        sigprocmask(SIG_SETMASK, &before, NULL);
        s->r.R_CheckUserInterrupt();
        sigprocmask(SIG_BLOCK, &interrupt, NULL);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return text;
}

/* The client's next line, with its newline. */
static void await_line(const char *prompt)
{
    size_t len;
    driver_ask(living->driver, prompt, false);
    char *text = await_answer(&len);
    living->line = xasprintf("%s\n", text);
    living->line_at = 0;
    free(text);
}

/* Fills at most room - 1 bytes, to the line's end; a longer line comes in pieces. */
static int on_read(const char *prompt, unsigned char *into, int room, int remember)
{
    struct session *s = living;
    (void)remember;
    if (!s->line && !s->may_ask)
        s->r.Rf_error("this client does not answer");
    if (!s->line)
        await_line(prompt);
    size_t left = strlen(s->line + s->line_at);
    size_t len = left < (size_t)room - 1 ? left : (size_t)room - 1;
    memcpy(into, s->line + s->line_at, len);
    into[len] = '\0';
    s->line_at += len;
    if (s->line[s->line_at] == '\0')
        free(take(&s->line));
    return 1;
}

/* q() and its like: back to where R was entered, and the execution ends the kernel. */
static void on_clean_up(int how, int status, int run_last)
{
    struct session *s = living;
    if (how == R_BY_SUICIDE)
        driver_die(s->driver, SIGABRT);
    s->exits = true;
    s->skips_last = !run_last;
    s->exit_status = status;
    s->r.Rf_jump_to_toplevel();
}

static void hear(const int *on)
{
    living->hears = *on;
    if (!*on)
        *living->r.R_interrupts_pending = 0;
}

static void stage(const char *type, json_t *value)
{
    if (!living->bundle)
        living->bundle = json_object();
    json_object_set_new(living->bundle, type, value);
}

static void stage_text(char **type, char **text, const int *is_json)
{
    json_t *value = NULL;
    if (*is_json)
        value = json_loads(*text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    stage(*type, value ? value : driver_text(bytes_of(*text)));
}

static void stage_bytes(char **type, const unsigned char *data, const int *len)
{
    stage(*type, driver_base64((struct bytes){(const char *)data, (size_t)*len}));
}

/* What was staged, as that message. */
static void publish(char **message, char **id)
{
    struct session *s = living;
    json_t *data = s->bundle ? take(&s->bundle) : json_object();
    json_t *content = json_pack("{s:o, s:{}}", "data", data, "metadata");
    if (strcmp(*message, "execute_result") == 0)
        json_object_set_new(content, "execution_count", json_integer(s->count ? s->count : 1));
    else
        json_object_set_new(content, "transient",
                            **id ? json_pack("{s:o}", "display_id", driver_text(bytes_of(*id)))
                                 : json_object());
    driver_publish(s->driver, *message, content);
}

static void clear(const int *wait)
{
    driver_publish(living->driver, "clear_output", json_pack("{s:b}", "wait", *wait));
}

static const struct r_method routines[] = {
    {"warmcell_hear", (r_routine)hear, 1, NULL},
    {"warmcell_stage_text", (r_routine)stage_text, 3, NULL},
    {"warmcell_stage_bytes", (r_routine)stage_bytes, 3, NULL},
    {"warmcell_publish", (r_routine)publish, 2, NULL},
    {"warmcell_clear", (r_routine)clear, 1, NULL},
    {NULL, NULL, 0, NULL},
};

/* --- what R is asked */

/* The texts that driver.R answers a verb with, as a JSON array; given. NULL: it was jumped out
 * of. */
static json_t *ask(struct session *s, const char *verb, const char *const *texts, size_t count)
{
    const struct r_api *r = &s->r;
    int failed = 0;
    r_value words = r->Rf_protect(r->Rf_allocVector(R_TEXTS, (ptrdiff_t)count));
    for (size_t i = 0; i < count; i++)
        r->SET_STRING_ELT(words, (ptrdiff_t)i,
                          r->Rf_mkCharLenCE(texts[i], (int)strlen(texts[i]), R_UTF8));
    r_value name = r->Rf_protect(r->Rf_mkString(verb));
    r_value call = r->Rf_protect(r->Rf_lang3(s->answer, name, words));
    r_value answer = r->R_tryEval(call, *r->R_BaseEnv, &failed);
    json_t *out = NULL;
    if (!failed && answer && r->TYPEOF(answer) == (int)R_TEXTS) {
        out = json_array();
        r->Rf_protect(answer);
        for (ptrdiff_t i = 0; i < r->Rf_xlength(answer); i++)
            json_array_append_new(
                out, driver_text(bytes_of(r->Rf_translateCharUTF8(r->STRING_ELT(answer, i)))));
        r->Rf_unprotect(1);
    }
    r->Rf_unprotect(3);
    return out;
}

static const char *text_at(json_t *texts, size_t index)
{
    const char *text = json_string_value(json_array_get(texts, index));
    return text ? text : "";
}

/* .Last(), once. */
static void run_last(struct session *s)
{
    if (!s->skips_last)
        json_decref(ask(s, "last", NULL, 0));
    s->skips_last = true;
}

static void describe(struct session *s, json_t *answer, struct driver_outcome *out)
{
    if (s->exits) {
        run_last(s);
        out->end = DRIVER_EXIT;
        out->status = s->exit_status;
    } else if (!answer) {
        driver_fail(out, "Error", "the evaluation was given up");
    } else if (strcmp(text_at(answer, 0), "interrupted") == 0) {
        driver_fail(out, "Interrupted", "the execution was interrupted");
    } else if (strcmp(text_at(answer, 0), "error") == 0) {
        driver_fail(out, text_at(answer, 1), "%s", text_at(answer, 2));
        out->traceback = json_array();
        for (size_t i = 3; i < json_array_size(answer); i++)
            json_array_append(out->traceback, json_array_get(answer, i));
    }
}

static double cpu_s(int whose)
{
    struct rusage used;
    getrusage(whose, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* An interrupt that came for this very request, before its code runs. */
static bool is_interrupted(struct session *s, uint64_t number)
{
    bool early = s->early;
    s->early = 0;
    return early && driver_interrupted(s->driver) == number;
}

static void run(void *self, const struct driver_run *run, struct driver_outcome *out)
{
    struct session *s = self;
    memory_peak_forget();
    int64_t children_peak_before = memory_peak_of_children();
    double children_before = cpu_s(RUSAGE_CHILDREN), before = cpu_s(RUSAGE_SELF);
    scoped(string) char *count = xasprintf("%u", run->count);
    const char *texts[] = {run->code, count, run->silent ? "1" : "0"};
    s->may_ask = run->may_ask;
    s->count = run->count;
    free(take(&s->line));
    if (is_interrupted(s, run->number)) {
        driver_fail(out, "Interrupted", "the execution was interrupted");
        return;
    }
    scoped(json) json_t *answer = ask(s, "run", texts, countof(texts));
    s->hears = 0;
    s->may_ask = false;
    describe(s, answer, out);
    out->children_cpu_s = cpu_s(RUSAGE_CHILDREN);
    out->children_peak_bytes = memory_peak_of_children();
    out->cpu_s = cpu_s(RUSAGE_SELF) - before + out->children_cpu_s - children_before;
    out->memory_peak_bytes = memory_peak_bytes(children_peak_before);
}

static json_t *evaluate(void *self, const struct driver_run *run, struct driver_outcome *out)
{
    struct session *s = self;
    scoped(json) json_t *answer = ask(s, "evaluate", &run->code, 1);
    describe(s, answer, out);
    return out->end == DRIVER_OK ? driver_plain(bytes_of(text_at(answer, 1))) : NULL;
}

static json_t *info(void *self)
{
    scoped(json) json_t *answer = ask(self, "info", NULL, 0);
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s}, s:[{s:s, s:s}]}",
                     "implementation", "warmcell-r", "banner", text_at(answer, 1), "language_info",
                     "name", "R", "version", text_at(answer, 0), "mimetype", "text/x-r-source",
                     "file_extension", ".r", "pygments_lexer", "r", "codemirror_mode", "r",
                     "help_links", "text", "R", "url", "https://cran.r-project.org/manuals.html");
}

static bool adopt(void *self, const struct driver_place *place, struct err *e)
{
    (void)self;
    return place_take(place, NULL, e);
}

static bool enter(void *self, const struct driver_place *place, struct err *e)
{
    return place_take(place, &((struct session *)self)->before, e);
}

static void leave(void *self)
{
    place_give_back(&((struct session *)self)->before);
}

/* R looks at one line, and says what it takes for the token at its end. */
static json_t *complete(void *self, const struct driver_question *q, size_t *start, size_t *end)
{
    size_t begin = q->cursor;
    while (begin > 0 && q->code[begin - 1] != '\n')
        begin--;
    scoped(string) char *line = xstrndup(q->code + begin, q->cursor - begin);
    const char *texts[] = {line};
    json_t *matches = ask(self, "complete", texts, countof(texts));
    size_t token = strlen(text_at(matches, 0));
    json_array_remove(matches, 0);
    *end = q->cursor;
    *start = token <= strlen(line) ? q->cursor - token : q->cursor;
    return matches ? matches : json_array();
}

static bool in_name(char c)
{
    return c == '.' || c == '_' || c == ':' || c == '$' || c == '@' || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static json_t *inspect(void *self, const struct driver_question *q)
{
    size_t start = q->cursor, end = q->cursor;
    while (start > 0 && in_name(q->code[start - 1]))
        start--;
    while (q->code[end] && in_name(q->code[end]))
        end++;
    if (start == end)
        return NULL;
    scoped(string) char *topic = xstrndup(q->code + start, end - start);
    const char *texts[] = {topic, q->detail ? "1" : "0"};
    scoped(json) json_t *lines = ask(self, "inspect", texts, countof(texts));
    scoped(buffer) struct buffer text = {0};
    for (size_t i = 0; i < json_array_size(lines); i++)
        buffer_printf(&text, "%s%s", i ? "\n" : "", text_at(lines, i));
    return text.len ? driver_plain(buffer_view(&text)) : NULL;
}

static json_t *is_whole(void *self, const char *code)
{
    scoped(json) json_t *answer = ask(self, "is_whole", &code, 1);
    const char *status = answer ? text_at(answer, 0) : "unknown";
    json_t *content = json_pack("{s:s}", "status", status);
    if (strcmp(status, "incomplete") == 0)
        json_object_set_new(content, "indent", json_string("  "));
    return content;
}

static void finish(void *self)
{
    struct session *s = self;
    run_last(s);
    s->r.R_RunExitFinalizers();
    s->r.R_CleanTempDir();
}

static const struct driver_language language = {
    .info = info,
    .adopt = adopt,
    .enter = enter,
    .leave = leave,
    .run = run,
    .evaluate = evaluate,
    .complete = complete,
    .inspect = inspect,
    .is_whole = is_whole,
    .finish = finish,
};

/* --- its start */

static void start_r(struct session *s)
{
    static char *words[] = {"R",       "--no-save",     "--no-restore",
                            "--quiet", "--no-readline", "--interactive"};
    const struct r_api *r = &s->r;
    *r->R_SignalHandlers = 0;
    r->Rf_initialize_R(countof(words), words);
    *r->R_Interactive = 1;
    *r->R_wait_usec = LOOK_US;
    *r->R_Outputfile = *r->R_Consolefile = NULL;
    *r->ptr_R_WriteConsole = NULL;
    *r->ptr_R_WriteConsoleEx = (r_routine)on_text;
    *r->ptr_R_ReadConsole = (r_routine)on_read;
    *r->ptr_R_ShowMessage = (r_routine)on_message;
    *r->ptr_R_CleanUp = (r_routine)on_clean_up;
    r->setup_Rmainloop();
    signal(SIGINT, on_interrupt);
    r->R_registerRoutines(r->R_getEmbeddingDllInfo(), routines, NULL, NULL, NULL);
}

/* driver.R stands beside this program. */
static bool load_verbs(struct session *s, struct err *e)
{
    const struct r_api *r = &s->r;
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    scoped(string) char *path =
        xasprintf("%.*s/" VERBS_FILE, slash ? (int)(slash - self) : 0, self);
    int failed = 0;
    r_value name = r->Rf_protect(r->Rf_mkString(path));
    r_value parse = r->Rf_protect(r->Rf_lang2(r->Rf_install("parse"), name));
    r_value call = r->Rf_protect(r->Rf_lang2(r->Rf_install("eval"), parse));
    s->answer = r->R_tryEval(call, *r->R_BaseEnv, &failed);
    if (!failed)
        r->R_PreserveObject(s->answer);
    r->Rf_unprotect(3);
    return !failed || fail(e, 503, "%s cannot be evaluated by this R", path);
}

struct session *session_open(int link_fd, int pipes_fd, struct err *e)
{
    struct session *s = living = xcalloc(1, sizeof *s);
    if (!r_load(&s->r, e))
        goto unwind;
    s->driver = driver_new(link_fd, pipes_fd, &language, s, e);
    if (!s->driver)
        goto unwind;
    start_r(s);
    if (load_verbs(s, e))
        return s;
unwind:
    session_close(s);
    return NULL;
}

int session_serve(struct session *s)
{
    return driver_serve(s->driver);
}

void session_close(struct session *s)
{
    if (!s)
        return;
    driver_free(s->driver);
    json_decref(s->bundle);
    free(s->line);
    free(s);
}
