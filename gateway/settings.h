/* What a gateway was told to do: every option of `warmcell serve`, decoded and checked.
 *
 * gateway/options.c fills it from flags, environment, the ini file and the defaults of its table;
 * it is read-only afterwards and outlives the core and the server. */
#ifndef WARMCELL_GATEWAY_SETTINGS_H
#define WARMCELL_GATEWAY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Owned strings; item[count] is NULL. */
struct string_list {
    char **item;
    size_t count;
};

/* Whose JWTs are believed, and how much of what they say. */
struct settings_jwt {
    char *keys;                    /* a file, a JWKS or PEM; "": no JWT is */
    char *issuer;                  /* what iss must be; "": anything */
    char *audience;                /* what aud must hold; "": anything */
    struct string_list algorithms; /* of HS256, RS256, ES256 */
    int64_t leeway_s;              /* that clocks may differ by */
    char *role;                    /* the most that one gives: "user" or "admin" */
    struct string_list scopes;     /* the most that one gives */
    char *principal_claim, *role_claim, *scope_claim;
};

/* Of each principal whose role is user; 0: no limit. */
struct settings_quota {
    int64_t sandboxes;                /* that they have, paused ones too */
    int64_t kernels;                  /* that run */
    int64_t memory_bytes, disk_bytes; /* sums of limits (net/allowance.h) */
    int64_t requests;                 /* a second */
    struct string_list single;        /* "NAME.WORD=N": of one principal */
};

/* Where to listen and whom to believe: read by net/. */
struct settings_net {
    char *ip;     /* "127.0.0.1"; a literal address, "localhost" or "*" */
    int64_t port; /* 0: any free one */
    int64_t port_retries;
    char *socket;     /* path of a Unix socket to listen at instead of TCP; "" for none */
    char *base_url;   /* "" or "/prefix", without a final slash */
    char *port_file;  /* written atomically when listening; "" for none */
    char *token;      /* "" : none is needed; never NULL after options_resolve */
    bool token_given; /* the operator chose it, so it is not printed */
    char *token_file;
    struct settings_jwt jwt;
    bool open_tokens;   /* the SDK dialects' routes for tokens ask for none */
    bool insecure_http; /* plain HTTP beyond loopback was asked for */
    char *certfile;     /* "" without TLS */
    char *keyfile;
    char *client_ca; /* "" : clients need no certificate */
    struct string_list allowed_hosts;
    char *ports_domain; /* names below it are origins of sandboxes' ports; "": by where we listen */
    int64_t port_reply_s; /* how long a server inside a sandbox may take to begin its reply */
    char *allow_origin;
    char *allow_origin_pat;
    char *allow_credentials;
    char *allow_headers;
    char *allow_methods;
    char *expose_headers;
    char *max_age;
    int64_t ws_ping_interval_s; /* 0: no pings */
    int64_t client_lost_s;      /* without an answer to what was sent, until it is gone; 0: never */
    int64_t ws_message_limit_bytes;
    int64_t body_limit_bytes;
    int64_t connections_limit;
    int64_t request_timeout_s; /* for the head of a request, and between two pieces of its body */
    struct settings_quota quota;
    bool access_log;     /* a line for each request, at the level info */
    int64_t drain_s;     /* how long a graceful end may take */
    int64_t idle_exit_s; /* without a connection and without anything that runs; 0: never */
};

/* Read by core/, store/, launch/ and dialect/. */
struct settings_core {
    char *state_dir;   /* database, blobs, logs: survives restarts */
    char *runtime_dir; /* sockets and connection files */
    int64_t executions_days, artifacts_days, artifacts_keep, artifacts_bytes; /* 0: no rule */
    char *durability; /* "normal" or "full" */
    char *default_kernel_name;
    char *force_kernel_name;     /* "" for none */
    bool list_kernels;           /* false: GET /api/kernels and /api/sessions answer 403 */
    int64_t max_kernels;         /* 0: no limit */
    int64_t prespawn_count;      /* kernels of the default kind kept ready */
    int64_t cull_idle_timeout_s; /* 0: never */
    int64_t cull_interval_s;
    bool cull_connected;
    bool cull_busy;
    int64_t lease_s;                          /* how long kernels outlive their gateway */
    int64_t log_bytes;                        /* bound of one kernel's replay log on disk */
    int64_t kernel_start_s;                   /* how long a kernel may take to become ready */
    int64_t kernel_shutdown_s;                /* grace before a kernel is killed */
    struct string_list env_whitelist;         /* names a client may set, besides KERNEL_* */
    struct string_list env_process_whitelist; /* names a kernel inherits from the gateway */
    struct string_list kernel_dirs; /* further folders that hold kernelspecs, searched first */
    char
        *python; /* absolute path: the Python that warmcell kernels serve; "" when none was found */
    bool warm;   /* fork kernels of ours from a Python that has its libraries */
    struct string_list preload; /* modules that it imports */
    char *warm_up;              /* a file of Python that it runs then; "" for its own */
    int64_t recycle_forks;
    int64_t recycle_age_s;
    int64_t pool_min, pool_max;           /* sandboxes that are kept ready */
    int64_t pool_total;                   /* of all pools; 0: twice pool_max */
    int64_t pool_age_s;                   /* older ones are replaced; 0: never */
    int64_t max_sandboxes;                /* 0: no limit */
    bool share_templates;                 /* sandboxes of all principals come from one keeper */
    int64_t max_output_bytes;             /* of an execution or a command of a sandbox */
    int64_t max_contexts;                 /* of one sandbox; 0: no limit */
    int64_t executions_keep;              /* records of one sandbox that have ended; 0: all */
    int64_t snapshot_limit;               /* bytes of the variables of one context */
    int64_t file_limit_bytes;             /* of one request that writes a file of a sandbox */
    struct string_list sandbox_read_only; /* further paths that are seen inside */
    char *package_index;                  /* a URL; "": none */
    struct string_list package_hosts;     /* where its files come from, besides its own host */
    char *wheels;                         /* a folder of wheels; "": none */
    int64_t package_deadline_s;           /* of a request that says none */
    char *cgroup;   /* a delegated cgroup v2 folder for sandboxes; "": below our own */
    char *seed_uri; /* a notebook whose code cells run in every new kernel; "" for none */
};

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct settings {
    struct settings_net net;
    struct settings_core core;
    enum log_level log_level;
    char *log_format; /* "text" or "json" */
    bool log_json;    /* it shall be JSON, by either option */
    char *config;     /* the ini file that was named; NULL: none */
};

#endif
