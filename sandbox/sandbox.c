/* Sandboxes from OPEN to their end. One ends when it is closed, or when nobody holds it any more.
 * Then its init is killed, and with it what is inside; but the processes that the keeper started
 * there are the keeper's children, and the namespaces go when the last of those is reaped. Only
 * then are the control groups removed and the waiting answered. */
#include "sandbox/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/json.h"
#include "sandbox/join.h"
#include "sandbox/lineage.h"
#include "sandbox/log.h"
#include "sandbox/opening.h"
#include "sandbox/pasta.h"
#include "sandbox/proxy.h"
#include "sandbox/start.h"
#include "sandbox/stock.h"

#define ID_MOST      64
#define ROOTS_MOST   256
#define INODES_A_MIB 256 /* of /tmp and the like */
#define INODES_LEAST 1024

#define BREACH_LASTS_MS 1000 /* until everyone has asked who was inside */

struct waiter {
    struct waiter *next;
    uint32_t asker; /* its serial: it may have left */
    uint32_t number;
};

struct hold {
    struct hold *next;
    struct sandbox *sandbox; /* borrowed */
};

/* --- finding */

static struct sandbox *find(const struct keeper *k, const char *id)
{
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        if (!s->spare && (strcmp(s->id, id) == 0 || (s->former && strcmp(s->former, id) == 0)))
            return s;
    return NULL;
}

struct sandbox *sandbox_find(struct keeper *k, const char *id, struct err *e)
{
    struct sandbox *s = find(k, id);
    if (!s || s->ending) {
        fail(e, 404, "sandbox %.64s does not exist", id);
        return NULL;
    }
    return s;
}

bool sandbox_is_held(const struct asker *a, const struct sandbox *s)
{
    for (struct hold *h = a->holds; h; h = h->next)
        if (h->sandbox == s)
            return true;
    return false;
}

static void hold(struct asker *a, struct sandbox *s)
{
    if (sandbox_is_held(a, s))
        return;
    struct hold *h = xcalloc(1, sizeof *h);
    *h = (struct hold){a->holds, s};
    a->holds = h;
    s->holders++;
}

/* --- making */

static bool uid_is_taken(const struct keeper *k, uid_t uid, bool by_spare)
{
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        if (s->uid == uid && (!s->spare || by_spare))
            return true;
    return false;
}

/* The uids that own what lies in the state folder: of sandboxes that are paused, for one, which
 * come back to their files. A bit for each from the first of the range on; given. */
static unsigned char *uids_on_disk(const struct keeper *k)
{
    const struct keeper_options *o = k->options;
    unsigned char *found = xcalloc((o->last_uid - o->first_uid) / 8 + 1, 1);
    DIR *folder = opendir(world_state(k->world));
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct stat st;
        scoped(string) char *path = world_workspace(k->world, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &st) != 0 || st.st_uid < o->first_uid ||
            st.st_uid >= o->last_uid)
            continue;
        uid_t at = st.st_uid - o->first_uid;
        found[at / 8] |= (unsigned char)(1 << at % 8);
    }
    if (folder)
        closedir(folder);
    return found;
}

/* The first uid of the range is the fork server's, the last the proxy's.
 *
 * The one that is asked for, or one that no sandbox has now. Without privileges there is none. */
static bool choose_uid(struct keeper *k, int64_t asked, uid_t *out, struct err *e)
{
    const struct keeper_options *o = k->options;
    *out = 0;
    if (!world_has_uids(k->world))
        return true;
    if (asked && (asked <= o->first_uid || asked >= o->last_uid))
        return fail(e, 400, "uid: out of range (%u to %u)", (unsigned)o->first_uid + 1,
                    (unsigned)o->last_uid - 1);
    if (asked && uid_is_taken(k, (uid_t)asked, false))
        return fail(e, 409, "uid %lld belongs to another sandbox", (long long)asked);
    if (asked)
        stock_release_uid(k, (uid_t)asked);
    if (asked) {
        *out = (uid_t)asked;
        return true;
    }
    scoped(string) char *owners = (char *)uids_on_disk(k);
    for (uid_t uid = o->first_uid + 1; uid < o->last_uid; uid++) {
        uid_t at = uid - o->first_uid;
        if (!uid_is_taken(k, uid, true) && !(owners[at / 8] >> at % 8 & 1)) {
            *out = uid;
            return true;
        }
    }
    return fail(e, 503, "every uid of ours belongs to a sandbox");
}

static bool read_open(json_t *body, const char **id, int64_t *uid, struct limits *limits,
                      struct err *e)
{
    enum network network;
    json_t *asked = NULL;
    *limits = limits_default;
    if (!field_str(body, "sandbox", REQUIRED, id, e) ||
        !field_int(body, "uid", OPTIONAL, 0, UINT32_MAX - 1, uid, e) ||
        !network_read(json_object_get(body, "network"), &network, e) ||
        !field_object(body, "limits", OPTIONAL, &asked, e) ||
        (asked && !limits_read(asked, limits, e)))
        return false;
    if (strlen(*id) > ID_MOST)
        return fail(e, 400, "sandbox: longer than %d characters", ID_MOST);
    return true;
}

static int64_t inodes_of(int64_t bytes)
{
    int64_t inodes = bytes / (1024 * 1024) * INODES_A_MIB;
    return bytes == 0 ? 0 : inodes < INODES_LEAST ? INODES_LEAST : inodes;
}

static void sandbox_free(struct sandbox *s)
{
    free(s->former);
    free(s->breach);
    share_close(s->share);
    free(s->id);
    free(s);
}

/* network: what network_read took. */
static bool let_out(struct sandbox *s, json_t *network, struct err *e)
{
    struct keeper *k = s->keeper;
    enum network kind;
    if (!network_read(network, &kind, e))
        return false;
    struct outsider *outsider = kind == NETWORK_FULL ? k->pasta : k->proxy;
    if (kind == NETWORK_NONE)
        return true;
    if (!outsider || !sandbox_namespaces(s))
        return fail(e, 501, "network: there is no way out here, only \"none\" is to be had");
    if (kind == NETWORK_FULL)
        return s->full = opening_begin(s, e);
    s->proxied = proxy_open(outsider, s->id, network, s->boundary.namespaces, e);
    return s->proxied;
}

/* The control groups come first, since the init enters them; then the boundary, which makes the
 * workspace, of which the share keeps count. */
static bool make(struct sandbox *s, const struct limits *limits, json_t *network, struct err *e)
{
    struct keeper *k = s->keeper;
    int doors[SHARE_DOORS_MOST];
    if (!boundary_check_id(s->id, e) ||
        !(s->share = share_open(k->governor, s->id, limits, NULL, e)))
        return false;
    struct boundary_plan plan = {.id = s->id,
                                 .uid = s->uid,
                                 .tmp_bytes = limits->tmp_bytes,
                                 .home_bytes = limits->tmp_bytes,
                                 .shm_bytes = limits->tmp_bytes,
                                 .tmp_inodes = inodes_of(limits->tmp_bytes),
                                 .doors = doors,
                                 .door_count = share_doors(s->share, doors)};
    if (!boundary_make(k->world, &plan, &s->boundary, e))
        return false;
    scoped(string) char *workspace = world_workspace(k->world, s->id);
    if (share_watch(s->share, workspace, e) && share_attach(s->share, s->boundary.init, e) &&
        let_out(s, network, e))
        return true;
    pid_t init = s->boundary.init;
    boundary_end(&s->boundary);
    while (waitpid(init, NULL, 0) < 0 && errno == EINTR)
        ;
    return false;
}

static struct sandbox *make_new(struct keeper *k, const char *id, int64_t uid,
                                const struct limits *limits, json_t *network, struct err *e)
{
    struct sandbox *s = xcalloc(1, sizeof *s);
    *s = (struct sandbox){.keeper = k, .id = xstrdup(id)};
    if (!choose_uid(k, uid, &s->uid, e) || !make(s, limits, network, e)) {
        sandbox_free(s);
        return NULL;
    }
    s->next = k->sandboxes;
    k->sandboxes = s;
    return s;
}

bool sandbox_make_spare(struct keeper *k, struct err *e)
{
    char id[UUID_TEXT];
    uuid_make(id);
    struct sandbox *s = make_new(k, id, 0, &limits_default, NULL, e);
    if (s)
        s->spare = true;
    return s != NULL;
}

/* Of a sandbox that an earlier keeper had: the files of its workspace are that uid's. 0: it is new.
 */
static int64_t earlier_uid(const struct keeper *k, const char *id)
{
    struct stat found;
    scoped(string) char *folder = world_workspace(k->world, id);
    bool is_there = world_has_uids(k->world) && stat(folder, &found) == 0;
    return is_there && found.st_uid > k->options->first_uid && found.st_uid < k->options->last_uid
               ? (int64_t)found.st_uid
               : 0;
}

static struct sandbox *begin(struct keeper *k, const char *id, int64_t uid,
                             const struct limits *limits, json_t *network, struct err *e)
{
    if (!uid)
        uid = earlier_uid(k, id);
    struct sandbox *s = stock_take(k->stock, id, uid, limits);
    if (s && !let_out(s, network, e)) {
        sandbox_end(s);
        return NULL;
    }
    if (!s && (s = make_new(k, id, uid, limits, network, e)))
        k->sandbox_count++;
    if (s)
        sandboxes_tick(k);
    return s;
}

struct sandbox *sandbox_open(struct asker *a, json_t *body, bool *created, struct err *e)
{
    struct keeper *k = a->keeper;
    const char *id;
    int64_t uid = 0;
    bool join = false;
    struct limits limits;
    if (!k->world) {
        fail(e, 400, "this keeper holds no sandboxes");
        return NULL;
    }
    if (!read_open(body, &id, &uid, &limits, e) || !field_bool(body, "join", OPTIONAL, &join, e))
        return NULL;
    struct sandbox *s = join ? sandbox_find(k, id, e) : find(k, id);
    if (join && !s)
        return NULL;
    *created = !s;
    if (s && s->ending) {
        fail(e, 423, "sandbox %s is just ending", id);
        return NULL;
    }
    if (!s && k->sandbox_count >= SANDBOXES_MOST) {
        fail(e, 503, "the keeper holds %d sandboxes already", SANDBOXES_MOST);
        return NULL;
    }
    if (!s && !(s = begin(k, id, uid, &limits, json_object_get(body, "network"), e)))
        return NULL;
    hold(a, s);
    return s;
}

bool sandbox_rename(struct sandbox *s, const char *id, struct err *e)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = strlen(id);
    struct sandbox *other = find(s->keeper, id);
    if (len == 0 || len > ID_MOST || strspn(id, good) != len)
        return fail(e, 400, "to: must be 1 to %d letters, digits, \"-\" and \"_\"", ID_MOST);
    if (other && other != s)
        return fail(e, 409, "to: there is a sandbox %s", id);
    if (strcmp(s->id, id) == 0)
        return true;
    share_rename(s->share, id);
    if (s->proxied)
        proxy_rename(s->keeper->proxy, s->id, id);
    if (s->former)
        free(s->id);
    else
        s->former = s->id;
    s->id = xstrdup(id);
    return true;
}

json_t *sandbox_opened(const struct sandbox *s, bool created)
{
    json_t *report = world_report(s->keeper->world);
    json_t *answer = json_pack("{s:I, s:o, s:O, s:b}", "uid", (json_int_t)s->uid, "enforced",
                               share_enforced(s->share), "missing",
                               json_object_get(report, "missing"), "created", created);
    json_decref(report);
    return answer;
}

/* --- inside */

void sandbox_confine(const struct sandbox *s, uint32_t mark, struct confine *out)
{
    struct rlimit limit;
    *out = (struct confine){0};
    boundary_confine(s->keeper->world, &s->boundary, out);
    share_rlimits(s->share, out);
    if (out->rlimit_count < CONFINE_RLIMITS_MOST && lineage_limit(mark, &limit)) {
        out->rlimits[out->rlimit_count].resource = RLIMIT_RTTIME;
        out->rlimits[out->rlimit_count++].limit = limit;
    }
}

static json_int_t limit_of(rlim_t limit)
{
    return limit > INT64_MAX ? -1 : (json_int_t)limit;
}

json_t *sandbox_confine_json(const struct sandbox *s, uint32_t mark)
{
    struct confine c;
    sandbox_confine(s, mark, &c);
    json_t *limits = json_array();
    for (size_t n = 0; n < c.rlimit_count; n++)
        json_array_append_new(limits, json_pack("[i, I, I]", c.rlimits[n].resource,
                                                limit_of(c.rlimits[n].limit.rlim_cur),
                                                limit_of(c.rlimits[n].limit.rlim_max)));
    return json_pack("{s:I, s:I, s:b, s:b, s:o}", "uid", (json_int_t)c.uid, "gid",
                     (json_int_t)c.gid, "landlock", c.landlock, "seccomp", c.seccomp, "rlimits",
                     limits);
}

const int *sandbox_namespaces(const struct sandbox *s)
{
    return s->boundary.namespaces[0] >= 0 ? s->boundary.namespaces : NULL;
}

/* In the child that joined: everybody in its PID namespace but its first process and itself. */
static void kill_all(void *data)
{
    (void)data;
    kill(-1, SIGKILL);
    _exit(0);
}

bool sandbox_kill(struct sandbox *s, struct err *e)
{
    int status;
    if (!sandbox_namespaces(s)) {
        for (struct start *start = s->keeper->starts; start; start = start->next)
            if (start->sandbox == s)
                start_kill(start);
        return true;
    }
    pid_t pid = join_fork(s->boundary.namespaces, kill_all, NULL, e);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0;
}

/* --- ending */

void sandbox_wait_for_end(struct sandbox *s, struct asker *a, uint32_t number)
{
    struct waiter *w = xcalloc(1, sizeof *w);
    *w = (struct waiter){s->waiters, a->serial, number};
    s->waiters = w;
}

static void answer_waiters(struct sandbox *s)
{
    while (s->waiters) {
        struct waiter *w = s->waiters;
        s->waiters = w->next;
        struct asker *a = asker_of(s->keeper, w->asker);
        if (a)
            asker_tell(a, WIRE_OK, w->number, NULL);
        free(w);
    }
}

static void forget_holds(struct sandbox *s)
{
    for (struct asker *a = s->keeper->askers; a; a = a->next) {
        for (struct hold **at = &a->holds; *at;) {
            struct hold *h = *at;
            if (h->sandbox != s) {
                at = &h->next;
                continue;
            }
            *at = h->next;
            free(h);
        }
    }
    s->holders = 0;
}

void sandbox_end(struct sandbox *s)
{
    if (s->ending)
        return;
    s->ending = true;
    forget_holds(s);
    boundary_end(&s->boundary);
    for (struct start *start = s->keeper->starts; start; start = start->next)
        if (start->sandbox == s)
            start_kill(start);
}

void sandboxes_end(struct keeper *k)
{
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        sandbox_end(s);
}

void sandboxes_lose_network(struct keeper *k)
{
    for (struct sandbox *s = k->sandboxes; s; s = s->next) {
        if (!s->full || s->ending)
            continue;
        free(s->breach);
        s->breach = xstrdup("the network of the sandbox ended: " PASTA_PROGRAM " is gone");
        sandbox_end(s);
    }
}

/* With the namespaces of a sandbox everything inside ends, and nothing was started elsewhere. */
bool sandboxes_outlive(const struct asker *a)
{
    if (!a->keeper->world)
        return true;
    for (struct hold *h = a->holds; h; h = h->next)
        if (h->sandbox->holders > 1 || !sandbox_namespaces(h->sandbox))
            return true;
    return false;
}

void sandboxes_release(struct asker *a)
{
    while (a->holds) {
        struct hold *h = a->holds;
        a->holds = h->next;
        if (--h->sandbox->holders == 0)
            sandbox_end(h->sandbox);
        free(h);
    }
}

static bool has_starts(const struct sandbox *s)
{
    for (struct start *start = s->keeper->starts; start; start = start->next)
        if (start->sandbox == s)
            return true;
    return false;
}

json_t *sandbox_cause(struct sandbox *s)
{
    int64_t limit = 0, peak = 0;
    bool oom = share_out_of_memory(s->share, &limit, &peak);
    return json_pack("{s:b, s:I, s:I, s:s?}", "oom", oom, "limit_bytes", (json_int_t)limit,
                     "peak_bytes", (json_int_t)peak, "breach", s->breach);
}

void sandbox_forget_breach(struct sandbox *s)
{
    if (!has_starts(s) && monotonic_ms() - s->breached_ms > BREACH_LASTS_MS)
        free(take(&s->breach));
}

void sandbox_settle(struct sandbox *s)
{
    struct keeper *k = s->keeper;
    if (!s->init_gone || has_starts(s))
        return;
    for (struct sandbox **at = &k->sandboxes; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    if (s->spare)
        boundary_forget(k->world, s->id);
    else
        k->sandbox_count--;
    share_close(take(&s->share));
    if (s->proxied)
        proxy_close(k->proxy, s->id);
    if (s->full)
        pasta_close(k->pasta, s->former ? s->former : s->id);
    opening_drop(s);
    answer_waiters(s);
    sandbox_free(s);
    keeper_settle(k);
}

static struct sandbox *of_init(const struct keeper *k, pid_t pid)
{
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        if (s->boundary.init == pid && !s->init_gone)
            return s;
    return NULL;
}

bool sandbox_has(const struct keeper *k, pid_t pid)
{
    return of_init(k, pid) != NULL;
}

bool sandbox_reap(struct keeper *k, pid_t pid)
{
    struct sandbox *s = of_init(k, pid);
    if (!s)
        return false;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (!s->ending)
        keeper_log("the init of sandbox %s ended by itself", s->id);
    s->init_gone = true;
    sandbox_end(s);
    sandbox_settle(s);
    return true;
}

/* --- what it uses */

json_t *sandboxes_status(const struct keeper *k)
{
    json_t *list = json_array();
    for (struct sandbox *s = k->sandboxes; s; s = s->next) {
        if (s->spare)
            continue;
        json_int_t processes = 0;
        for (struct start *start = k->starts; start; start = start->next)
            processes += start->sandbox == s;
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I}", "sandbox", s->id, "uid",
                                              (json_int_t)s->uid, "processes", processes, "holders",
                                              (json_int_t)s->holders));
    }
    return list;
}

static void tick(struct sandbox *s)
{
    pid_t roots[ROOTS_MOST];
    size_t count = 0;
    roots[count++] = s->boundary.init;
    for (struct start *start = s->keeper->starts; start && count < ROOTS_MOST; start = start->next)
        if (start->sandbox == s && start->pid > 0)
            roots[count++] = start->pid;
    char *why = share_tick(s->share, roots, count);
    struct err e;
    if (!why)
        return;
    free(s->breach);
    s->breach = why;
    s->breached_ms = monotonic_ms();
    keeper_log("sandbox %s: %s", s->id, why);
    if (!sandbox_kill(s, &e))
        keeper_log("%s", e.text);
}

void sandboxes_tick(struct keeper *k)
{
    openings_check(k);
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        if (!s->ending && !s->spare)
            tick(s);
    if (k->sandbox_count > 0)
        timer_start(k->tick, SHARE_TICK_MS);
}
