/* The table, and what a table cannot say: defaults that depend on the machine, and checks across
 * options. */
#include "gateway/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/package.h"
#include "gateway/core/package_source.h"
#include "gateway/ini.h"
#include "gateway/place.h"
#include "protocol/ids.h"

#define NET(field)  offsetof(struct settings, net.field)
#define CORE(field) offsetof(struct settings, core.field)

#define DAY_S       86400
#define YEAR_S      (366 * DAY_S)
#define MIB         (1024 * 1024)
#define TOKEN_BYTES 24

static const struct option rows[] = {
    {"config", OPTION_TEXT, offsetof(struct settings, config), NULL,
     .help = "an ini file with lines `key = value`; keys are the flags below with `_` for `-` "
             "(default: $XDG_CONFIG_HOME/warmcell/warmcell.ini)",
     .flag_only = true},

    {"ip", OPTION_TEXT, NET(ip), "127.0.0.1", .help = "the address to listen at; `*` for all",
     .also_env = "KG_IP", .also = {"KernelGatewayApp.ip"}},
    {"port", OPTION_INT, NET(port), "8888", .low = 0, .high = 65535,
     .help = "the TCP port; 0 for any free one", .also_env = "KG_PORT",
     .also = {"KernelGatewayApp.port"}},
    {"port-retries", OPTION_INT, NET(port_retries), "0", .low = 0, .high = 1000,
     .help = "how many following ports to try when the port is taken",
     .also_env = "KG_PORT_RETRIES", .also = {"KernelGatewayApp.port_retries"}},
    {"socket", OPTION_TEXT, NET(socket), "",
     .help = "the path of a Unix socket to listen at instead of TCP"},
    {"base-url", OPTION_TEXT, NET(base_url), "", .help = "a prefix of all paths",
     .also_env = "KG_BASE_URL", .also = {"KernelGatewayApp.base_url"}},
    {"port-file", OPTION_TEXT, NET(port_file), "",
     .help = "a file to write the port to once it listens"},

    {"token", OPTION_TEXT, NET(token), NULL,
     .help = "the token that callers must show; other users of this machine can read command "
             "lines, so prefer the environment or a file. Empty: none is needed (this machine "
             "only). Not given: a random one is made and printed",
     .also_env = "KG_AUTH_TOKEN", .also = {"KernelGatewayApp.auth_token"}},
    {"token-file", OPTION_TEXT, NET(token_file), "",
     .help = "a file whose first line is the token"},
    {"jwt-keys", OPTION_TEXT, NET(jwt.keys), "",
     .help = "a file with the keys that sign JWTs: a JWKS, or public keys as PEM. It is read again "
             "when it changes, and on SIGHUP"},
    {"jwt-issuer", OPTION_TEXT, NET(jwt.issuer), "", .help = "what `iss` of a JWT must be"},
    {"jwt-audience", OPTION_TEXT, NET(jwt.audience), "",
     .help = "what `aud` of a JWT must be, or hold"},
    {"jwt-algorithms", OPTION_LIST, NET(jwt.algorithms), "HS256,RS256,ES256",
     .help = "the algorithms that are taken; each goes with one type of key"},
    {"jwt-leeway", OPTION_INT, NET(jwt.leeway_s), "30", .low = 0, .high = 300,
     .help = "seconds that the clock of who signs JWTs may differ"},
    {"jwt-role", OPTION_TEXT, NET(jwt.role), "user",
     .help = "the most that a JWT's role gives: user or admin"},
    {"jwt-scopes", OPTION_LIST, NET(jwt.scopes), "read,write",
     .help = "the most that a JWT's scopes give, of read, write, tokens and metrics"},
    {"jwt-principal-claim", OPTION_TEXT, NET(jwt.principal_claim), "sub",
     .help = "the claim that names the principal"},
    {"jwt-role-claim", OPTION_TEXT, NET(jwt.role_claim), "role",
     .help = "the claim that names the role; without it: user"},
    {"jwt-scope-claim", OPTION_TEXT, NET(jwt.scope_claim), "scope",
     .help = "the claim that names scopes, as words or an array; without it: read and write"},
    {"open-tokens", OPTION_BOOL, NET(open_tokens), "false",
     .help =
         "let whoever reaches this gateway ask the SDK dialects' routes for a token of a user's "
         "(POST /api/v1/auth/token), as those SDKs do; this machine only"},
    {"certfile", OPTION_TEXT, NET(certfile), "", .help = "a PEM certificate chain: TLS",
     .also_env = "KG_CERTFILE", .also = {"KernelGatewayApp.certfile"}},
    {"keyfile", OPTION_TEXT, NET(keyfile), "", .help = "its PEM key, when not in the same file",
     .also_env = "KG_KEYFILE", .also = {"KernelGatewayApp.keyfile"}},
    {"client-ca", OPTION_TEXT, NET(client_ca), "",
     .help = "PEM certificates: clients must show one that these signed",
     .also_env = "KG_CLIENT_CA", .also = {"KernelGatewayApp.client_ca"}},
    {"insecure-http", OPTION_BOOL, NET(insecure_http), "false",
     .help = "listen beyond this machine without TLS"},
    {"allowed-hosts", OPTION_LIST, NET(allowed_hosts), "",
     .help = "further names that requests may call this gateway by"},
    {"ports-domain", OPTION_TEXT, NET(ports_domain), "",
     .help = "pages that are served in sandboxes are at PORT-ID and this domain, such as "
             "`8000-ID.DOMAIN`; without it `localhost` for a gateway that only this machine "
             "reaches"},
    {"port-timeout", OPTION_INT, NET(port_reply_s), "300", .low = 1, .high = DAY_S,
     .help = "seconds that a server in a sandbox may take to begin its reply"},
    {"allow-origin", OPTION_TEXT, NET(allow_origin), "",
     .help = "a web origin whose pages may call; `*` for any; sent as Access-Control-Allow-Origin",
     .also_env = "KG_ALLOW_ORIGIN", .also = {"KernelGatewayApp.allow_origin"}},
    {"allow-origin-pat", OPTION_TEXT, NET(allow_origin_pat), "",
     .help = "a POSIX extended regular expression for such origins, matched from their start",
     .also_env = "KG_ALLOW_ORIGIN_PAT", .also = {"KernelGatewayApp.allow_origin_pat"}},
    {"allow-credentials", OPTION_TEXT, NET(allow_credentials), "",
     .help = "sent as Access-Control-Allow-Credentials", .also_env = "KG_ALLOW_CREDENTIALS",
     .also = {"KernelGatewayApp.allow_credentials"}},
    {"allow-headers", OPTION_TEXT, NET(allow_headers), "",
     .help = "sent as Access-Control-Allow-Headers", .also_env = "KG_ALLOW_HEADERS",
     .also = {"KernelGatewayApp.allow_headers"}},
    {"allow-methods", OPTION_TEXT, NET(allow_methods), "",
     .help = "sent as Access-Control-Allow-Methods", .also_env = "KG_ALLOW_METHODS",
     .also = {"KernelGatewayApp.allow_methods"}},
    {"expose-headers", OPTION_TEXT, NET(expose_headers), "",
     .help = "sent as Access-Control-Expose-Headers", .also_env = "KG_EXPOSE_HEADERS",
     .also = {"KernelGatewayApp.expose_headers"}},
    {"max-age", OPTION_TEXT, NET(max_age), "", .help = "sent as Access-Control-Max-Age",
     .also_env = "KG_MAX_AGE", .also = {"KernelGatewayApp.max_age"}},
    {"ws-ping-interval", OPTION_INT, NET(ws_ping_interval_s), "30", .low = 0, .high = DAY_S,
     .help = "seconds between pings of a WebSocket; 0 for none",
     .also_env = "KG_WS_PING_INTERVAL_SECS",
     .also = {"KernelGatewayApp.ws_ping_interval_secs", "KernelGatewayApp.ws_ping_interval"}},
    {"client-lost", OPTION_INT, NET(client_lost_s), "60", .low = 0, .high = DAY_S,
     .help = "seconds for which a client's machine may answer nothing to what was sent to it, not "
             "even that it arrived; then its connection ends. One that reads slowly, or not at "
             "all, answers. 0: until the operating system gives up, after some 15 minutes"},
    {"ws-message-limit", OPTION_INT, NET(ws_message_limit_bytes), "104857600", .low = 1024,
     .high = 1024LL * MIB, .help = "the longest WebSocket message taken from a client, in bytes"},
    {"body-limit", OPTION_INT, NET(body_limit_bytes), "67108864", .low = 1024, .high = 1024LL * MIB,
     .help = "the longest request body, in bytes"},
    {"connections-limit", OPTION_INT, NET(connections_limit), "20000", .low = 1, .high = 1000000,
     .help = "connections open at the same time"},
    {"request-timeout", OPTION_INT, NET(request_timeout_s), "20", .low = 1, .high = DAY_S,
     .help = "seconds for the head of a request, and between two pieces of its body"},
    {"drain-s", OPTION_INT, NET(drain_s), "10", .low = 0, .high = DAY_S,
     .help = "seconds that replies under way get when the gateway is told to end"},
    {"idle-exit", OPTION_INT, NET(idle_exit_s), "0", .low = 0, .high = YEAR_S,
     .help = "seconds without a connection, and without a sandbox or kernel that runs, after which "
             "the gateway ends by itself; 0 for never"},

    {"state-dir", OPTION_TEXT, CORE(state_dir), NULL,
     .help = "the folder for what survives a restart (default: $XDG_STATE_HOME/warmcell)"},
    {"durability", OPTION_TEXT, CORE(durability), "normal",
     .help = "what a power cut may take: `normal`, at most the last 100 ms of what was "
             "acknowledged; `full`, nothing: everything is on the disk before it is acknowledged"},
    {"executions-days", OPTION_INT, CORE(executions_days), "0", .low = 0, .high = 100000,
     .help =
         "days after which the record of an execution that has ended is forgotten; 0 for never"},
    {"artifacts-days", OPTION_INT, CORE(artifacts_days), "0", .low = 0, .high = 100000,
     .help = "days after which an artifact is forgotten; 0 for never"},
    {"artifacts-keep", OPTION_INT, CORE(artifacts_keep), "0", .low = 0, .high = 1000000000,
     .help = "artifacts, the newest of all, that are kept; 0 for any number"},
    {"artifacts-bytes", OPTION_INT, CORE(artifacts_bytes), "0", .low = 0,
     .high = 1024LL * 1024 * 1024 * MIB,
     .help = "bytes of artifacts, the newest of all, that are kept; 0 for any number"},
    {"runtime-dir", OPTION_TEXT, CORE(runtime_dir), NULL,
     .help = "the folder for sockets and connection files (default: $XDG_RUNTIME_DIR/warmcell)"},
    {"python", OPTION_TEXT, CORE(python), NULL,
     .help = "the Python that warmcell kernels run (default: of the active virtual environment, "
             "else python3)"},
    {"kernel-dirs", OPTION_LIST, CORE(kernel_dirs), "",
     .help = "further folders that hold kernelspecs, searched first"},
    {"default-kernel-name", OPTION_TEXT, CORE(default_kernel_name), "warmcell",
     .help = "the kernel that is started when a request names none",
     .also_env = "KG_DEFAULT_KERNEL_NAME",
     .also = {"KernelGatewayApp.default_kernel_name", "MappingKernelManager.default_kernel_name",
              "AsyncMappingKernelManager.default_kernel_name"}},
    {"force-kernel-name", OPTION_TEXT, CORE(force_kernel_name), "",
     .help = "the kernel that is started whatever a request names",
     .also_env = "KG_FORCE_KERNEL_NAME", .also = {"KernelGatewayApp.force_kernel_name"}},
    {"list-kernels", OPTION_BOOL, CORE(list_kernels), "true",
     .help = "answer the lists of kernels and sessions", .also_env = "KG_LIST_KERNELS",
     .also = {"JupyterWebsocketPersonality.list_kernels"}},
    {"max-kernels", OPTION_INT, CORE(max_kernels), "0", .low = 0, .high = 100000,
     .help = "kernels that may run at the same time; 0 for no limit", .also_env = "KG_MAX_KERNELS",
     .also = {"KernelGatewayApp.max_kernels"}},
    {"prespawn-count", OPTION_INT, CORE(prespawn_count), "0", .low = 0, .high = 1000,
     .help = "kernels of the default kind that are kept ready", .also_env = "KG_PRESPAWN_COUNT",
     .also = {"KernelGatewayApp.prespawn_count"}},
    {"cull-idle-timeout", OPTION_INT, CORE(cull_idle_timeout_s), "0", .low = 0, .high = YEAR_S,
     .help = "seconds of idleness after which a kernel is ended, and a sandbox paused; 0 for never",
     .also = {"MappingKernelManager.cull_idle_timeout",
              "AsyncMappingKernelManager.cull_idle_timeout"}},
    {"cull-interval", OPTION_INT, CORE(cull_interval_s), "300", .low = 1, .high = DAY_S,
     .help = "seconds between two looks at idle kernels",
     .also = {"MappingKernelManager.cull_interval", "AsyncMappingKernelManager.cull_interval"}},
    {"cull-connected", OPTION_BOOL, CORE(cull_connected), "false",
     .help = "end idle kernels, and pause sandboxes, to which clients are connected too",
     .also = {"MappingKernelManager.cull_connected", "AsyncMappingKernelManager.cull_connected"}},
    {"cull-busy", OPTION_BOOL, CORE(cull_busy), "false",
     .help = "end kernels, and pause sandboxes, that run something without any activity too",
     .also = {"MappingKernelManager.cull_busy", "AsyncMappingKernelManager.cull_busy"}},
    {"lease", OPTION_INT, CORE(lease_s), "600", .low = 0, .high = YEAR_S,
     .help = "seconds that kernels outlive a gateway that is gone"},
    {"log-bytes", OPTION_INT, CORE(log_bytes), "268435456", .low = MIB, .high = 1024LL * 1024 * MIB,
     .help = "the bound of one kernel's log on disk, for replay to clients that come back"},
    {"kernel-start-s", OPTION_INT, CORE(kernel_start_s), "60", .low = 1, .high = DAY_S,
     .help = "seconds that a kernel may take to become ready"},
    {"kernel-shutdown-s", OPTION_INT, CORE(kernel_shutdown_s), "5", .low = 0, .high = DAY_S,
     .help = "seconds that a kernel gets to end before it is killed"},
    {"env-whitelist", OPTION_LIST, CORE(env_whitelist), "",
     .help = "environment names that clients may set for a kernel, besides KERNEL_*",
     .also_env = "KG_ENV_WHITELIST",
     .also = {"JupyterWebsocketPersonality.env_whitelist", "KernelGatewayApp.env_whitelist",
              "KernelGatewayApp.client_envs"}},
    {"env-process-whitelist", OPTION_LIST, CORE(env_process_whitelist), "",
     .help = "environment names that kernels inherit from the gateway when a client sets some",
     .also_env = "KG_ENV_PROCESS_WHITELIST",
     .also = {"KernelGatewayApp.env_process_whitelist", "KernelGatewayApp.inherited_envs"}},
    {"warm", OPTION_BOOL, CORE(warm), "true",
     .help = "fork kernels of this build from a Python that has imported its libraries already; "
             "WARMCELL_COLD=1 in a request's env starts one without"},
    {"preload", OPTION_LIST, CORE(preload), "numpy,pandas,matplotlib.pyplot",
     .help = "the modules that this Python imports; those that are not installed are passed over"},
    {"warm-up", OPTION_TEXT, CORE(warm_up), "",
     .help = "a file of Python that it runs after them (default: a small cell and a plot)"},
    {"recycle-forks", OPTION_INT, CORE(recycle_forks), "5000", .low = 1, .high = 1000000,
     .help = "forks after which it is replaced by a fresh one"},
    {"recycle-age", OPTION_INT, CORE(recycle_age_s), "43200", .low = 1, .high = 30 * DAY_S,
     .help = "seconds after which it is replaced by a fresh one"},
    {"pool-min", OPTION_INT, CORE(pool_min), "0", .low = 0, .high = 1000,
     .help = "sandboxes that are kept ready at least"},
    {"pool-max", OPTION_INT, CORE(pool_max), "8", .low = 0, .high = 1000,
     .help = "sandboxes, and kernels of the default kind, that are kept ready at most, as they are "
             "in demand; each pool of a template has this bound, too"},
    {"pool-total", OPTION_INT, CORE(pool_total), "0", .low = 0, .high = 10000,
     .help = "how many are kept ready at most in all pools together; 0 for twice --pool-max"},
    {"pool-age", OPTION_INT, CORE(pool_age_s), "3600", .low = 0, .high = 30 * DAY_S,
     .help = "seconds after which one that was not taken is replaced; 0 for never"},
    {"max-sandboxes", OPTION_INT, CORE(max_sandboxes), "0", .low = 0, .high = 100000,
     .help = "sandboxes that may live at the same time; 0 for no limit"},
    {"user-sandboxes", OPTION_INT, NET(quota.sandboxes), "32", .low = 0, .high = 100000,
     .help = "sandboxes that a principal who is no administrator may have, paused ones too; 0 for "
             "no limit"},
    {"user-requests", OPTION_INT, NET(quota.requests), "200", .low = 0, .high = 1000000,
     .help = "requests a second of a principal who is no administrator; 0 for no limit"},
    {"user-kernels", OPTION_INT, NET(quota.kernels), "0", .low = 0, .high = 100000,
     .help = "kernels of such a principal that run at the same time; 0 for no limit"},
    {"user-memory", OPTION_INT, NET(quota.memory_bytes), "0", .low = 0,
     .high = 1024LL * 1024 * 1024 * MIB,
     .help =
         "bytes that the limits of memory of their sandboxes that are not paused may sum up to; "
         "0 for no limit"},
    {"user-disk", OPTION_INT, NET(quota.disk_bytes), "0", .low = 0,
     .high = 1024LL * 1024 * 1024 * MIB,
     .help = "bytes that the limits of workspaces of all their sandboxes may sum up to; 0 for no "
             "limit"},
    {"quotas", OPTION_LIST, NET(quota.single), "",
     .help = "quotas of single principals instead of these: NAME.WORD=N with a word of sandboxes, "
             "kernels, memory_bytes, disk_bytes and requests; 0 for no limit"},
    {"share-templates", OPTION_BOOL, CORE(share_templates), "false",
     .help =
         "fork the sandboxes of all principals from one Python; else each has one of their own"},
    {"max-contexts", OPTION_INT, CORE(max_contexts), "16", .low = 0, .high = 1000,
     .help = "contexts that a sandbox may have at the same time; 0 for no limit"},
    {"max-output-bytes", OPTION_INT, CORE(max_output_bytes), "4294967296", .low = 1024,
     .high = 1024LL * 1024 * 1024 * MIB,
     .help = "the greatest output_bytes that a sandbox may have, which is also what one without a "
             "limit gets; commands keep what they put out on the disk"},
    {"executions-keep", OPTION_INT, CORE(executions_keep), "10000", .low = 0, .high = 10000000,
     .help = "records of executions that have ended, the newest of each sandbox, that are kept; "
             "0 for any number, up to 256 MiB"},
    {"file-limit", OPTION_INT, CORE(file_limit_bytes), "17179869184", .low = 1024,
     .high = 1024LL * 1024 * 1024 * MIB,
     .help = "the longest body, in bytes, that is written to a file of a sandbox; its own limits "
             "hold besides"},
    {"snapshot-limit", OPTION_INT, CORE(snapshot_limit), "4294967296", .low = 1024,
     .high = 1024LL * 1024 * 1024 * MIB,
     .help = "bytes of the variables of one context that are saved at most"},
    {"sandbox-read-only", OPTION_LIST, CORE(sandbox_read_only), "",
     .help = "further absolute paths that code in sandboxes may read"},
    {"package-index", OPTION_TEXT, CORE(package_index), "",
     .help = "the URL of a package index (as https://pypi.org/simple) that packages of sandboxes "
             "may be installed from; without it and `wheels` none can be installed"},
    {"package-hosts", OPTION_LIST, CORE(package_hosts), "",
     .help = "further hosts that its files come from (for pypi.org: files.pythonhosted.org is "
             "known)"},
    {"wheels", OPTION_TEXT, CORE(wheels), "",
     .help = "a folder of wheels that packages of sandboxes may be installed from; code in "
             "sandboxes may read it"},
    {"package-deadline", OPTION_INT, CORE(package_deadline_s), "600", .low = 1,
     .high = PACKAGE_DEADLINE_MOST_S,
     .help = "seconds that changing or listing the packages of a sandbox may take, where a request "
             "does not say its own"},
    {"cgroup", OPTION_TEXT, CORE(cgroup), "",
     .help = "a cgroup v2 folder that is delegated to this gateway, for the limits of sandboxes "
             "(default: below its own)"},
    {"seed-uri", OPTION_TEXT, CORE(seed_uri), "",
     .help = "the path of a notebook whose code cells run in every new kernel",
     .also_env = "KG_SEED_URI", .also = {"KernelGatewayApp.seed_uri"}},

    {"log-level", OPTION_LEVEL, offsetof(struct settings, log_level), "info",
     .help = "error, warn, info or debug",
     .also = {"KernelGatewayApp.log_level", "JupyterApp.log_level"}},
    {"log-format", OPTION_TEXT, offsetof(struct settings, log_format), "text",
     .help = "text or json: how the lines of the log are written"},
    {"log-json", OPTION_BOOL, offsetof(struct settings, log_json), "false",
     .help = "the same as --log-format json"},
    {"access-log", OPTION_BOOL, NET(access_log), "false",
     .help = "log a line for each request: method, route, status, time, bytes, principal, trace"},

    {"answer-yes", OPTION_IGNORED, 0, NULL, .help = "without effect",
     .also = {"JupyterApp.answer_yes", "KernelGatewayApp.answer_yes"}, .flag_only = true},
    {"api", OPTION_IGNORED, 0, NULL, .help = "without effect", .also_env = "KG_API",
     .also = {"KernelGatewayApp.api"}, .flag_only = true},
    {"trust-xheaders", OPTION_IGNORED, 0, NULL, .help = "without effect",
     .also = {"KernelGatewayApp.trust_xheaders"}, .flag_only = true},
};

const struct option_table serve_options = {rows, countof(rows)};

char *options_find_python(void)
{
    const char *env = getenv("VIRTUAL_ENV");
    scoped(string) char *beside = place_environment_python();
    if (beside)
        return take(&beside);
    scoped(string) char *active = env && *env ? xasprintf("%s/bin/python", env) : NULL;
    if (active && access(active, X_OK) == 0)
        return take(&active);
    scoped(string) char *root = place_source_root();
    scoped(string) char *own = root ? xasprintf("%s/.venv/bin/python", root) : NULL;
    if (own && access(own, X_OK) == 0)
        return take(&own);
    return place_on_path("python3");
}

/* "$NAME/warmcell" where NAME is set to an absolute path, else what fallback_format makes of the
 * home folder. */
static char *folder_of(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    const char *home = getenv("HOME");
    if (value && value[0] == '/')
        return xasprintf("%s/warmcell", value);
    return xasprintf("%s%s/warmcell", home && *home ? home : "", fallback);
}

char *options_runtime_dir(void)
{
    const char *value = getenv("XDG_RUNTIME_DIR");
    if (value && value[0] == '/' && access(value, W_OK) == 0)
        return xasprintf("%s/warmcell", value);
    /* short, because the path of a Unix socket is at most 107 bytes */
    return xasprintf("/tmp/warmcell-%u", (unsigned)geteuid());
}

static bool read_token_file(struct settings_net *net, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    bool found;
    if (!ini_read(net->token_file, &text, &found, e))
        return false;
    if (!found)
        return fail(e, 400, "token-file: %s does not exist", net->token_file);
    size_t len = strcspn(buffer_text(&text), "\r\n");
    if (!len)
        return fail(e, 400, "token-file: the first line of %s is empty", net->token_file);
    free(net->token);
    net->token = xstrndup(text.data, len);
    return true;
}

static bool settle_token(struct settings_net *net, struct err *e)
{
    char random[2 * TOKEN_BYTES + 1];
    if (*net->token_file && !read_token_file(net, e))
        return false;
    net->token_given = net->token != NULL;
    if (!net->token) {
        random_hex(random, TOKEN_BYTES);
        net->token = xstrdup(random);
    }
    for (const char *at = net->token; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return fail(e, 400, "token: must not hold blanks or control characters");
    return true;
}

/* "prefix/" and "/prefix" become "/prefix", "/" becomes "". */
static bool settle_base_url(struct settings_net *net, struct err *e)
{
    char *text = net->base_url;
    size_t len = strlen(text);
    while (len && text[len - 1] == '/')
        text[--len] = '\0';
    if (strpbrk(text, " ?#%\"<>\r\n;"))
        return fail(e, 400, "base-url: %.80s is not a plain path", text);
    if (len && text[0] != '/') {
        net->base_url = xasprintf("/%s", text);
        free(text);
    }
    return true;
}

static bool check_durability(const char *word, struct err *e)
{
    return strcmp(word, "normal") == 0 || strcmp(word, "full") == 0 ||
           fail(e, 400, "durability: %.40s is neither normal nor full", word);
}

static bool settle_packages(const struct settings_core *core, struct err *e)
{
    struct package_source source;
    if (*core->wheels && core->wheels[0] != '/')
        return fail(e, 400, "wheels: must be an absolute path");
    bool good = package_source_read(core, &source, e);
    package_source_free(&source);
    return good;
}

static bool settle_log(struct settings *s, struct err *e)
{
    bool json = strcmp(s->log_format, "json") == 0;
    if (!json && strcmp(s->log_format, "text") != 0)
        return fail(e, 400, "log-format: must be text or json");
    s->log_json = s->log_json || json;
    return true;
}

/* Other programs, elsewhere, are told of it. */
static bool make_absolute(char **dir, const char *option, struct err *e)
{
    char here[PATH_MAX];
    if ((*dir)[0] == '/')
        return true;
    if (!**dir)
        return fail(e, 400, "%s: the name of a folder is needed", option);
    if (!getcwd(here, sizeof here))
        return fail_errno(e, 400, "%s: the folder that it is relative to is not known", option);
    char *relative = *dir;
    *dir = xasprintf("%s/%s", here, relative);
    free(relative);
    return true;
}

static bool settle_folders(struct settings_core *core, struct err *e)
{
    if (!core->state_dir)
        core->state_dir = folder_of("XDG_STATE_HOME", "/.local/state");
    if (!core->runtime_dir)
        core->runtime_dir = options_runtime_dir();
    return make_absolute(&core->state_dir, "state-dir", e) &&
           make_absolute(&core->runtime_dir, "runtime-dir", e);
}

static bool settle(struct settings *s, struct err *e)
{
    if (!settle_folders(&s->core, e))
        return false;
    if (!s->core.python)
        s->core.python = options_find_python();
    return check_durability(s->core.durability, e) && settle_base_url(&s->net, e) &&
           settle_token(&s->net, e) && settle_packages(&s->core, e) && settle_log(s, e);
}

bool options_resolve(char *const *args, size_t count, struct settings *out, struct err *e)
{
    const char *config = option_peek(args, count, "config");
    scoped(string) char *usual = config ? NULL : folder_of("XDG_CONFIG_HOME", "/.config");
    scoped(string) char *path = config ? xstrdup(config) : xasprintf("%s/warmcell.ini", usual);
    struct option_sources sources = {true, path, config != NULL};
    size_t word_count;
    *out = (struct settings){0};
    bool ok = option_parse(&serve_options, args, count, &sources, out, NULL, 0, &word_count, e) &&
              settle(out, e);
    for (size_t i = 0; i < countof(rows); i++)
        if (rows[i].offset == NET(token) && rows[i].kind == OPTION_TEXT)
            option_unset_environment(&rows[i]);
    return ok;
}

void settings_free(struct settings *s)
{
    option_free(&serve_options, s);
}
