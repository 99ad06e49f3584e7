/* What the native API's routes say of themselves: one file for each noun, v1_*_doc.c. Schemas and
 * parameters that several of them speak of are here, too. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_DOCS_H
#define WARMCELL_GATEWAY_DIALECT_V1_DOCS_H

#include "gateway/core/naming.h"
#include "gateway/net/doc.h"

#define V1_NAME_PATTERN "^[A-Za-z0-9][A-Za-z0-9._-]*$"

/* The pages of v1_page.h. */
#define V1_LIMIT INTEGER("limit", "At most so many.", .least = 1, .most = 1000, .initial = "100")
#define V1_AFTER TEXT("after", "The `next` of the page before.")
#define V1_NEXT                                                                                    \
    TEXT("next", "Behind this, as `after`, the list goes on; null: that was all.", .null = true)

extern const struct doc_field v1_in_sandbox[];  /* the path parameter {id} alone */
extern const struct doc_field v1_location[];    /* the header of what was made */
extern const struct doc_field v1_idempotency[]; /* the header of a request that makes something */
extern const struct doc_schema v1_files_changed_schema; /* of a run: v1_executions_doc.c */
extern const struct doc_schema v1_sandbox_schema, v1_context_schema, v1_limits_schema,
    v1_network_schema, v1_template_file_schema;
/* Bodies of requests that /v1/stream takes, too. */
extern const struct doc_schema v1_execution_request_schema, v1_execution_input_schema,
    v1_command_request_schema, v1_command_signal_schema;

extern const struct doc v1_readyz_doc, v1_metrics_doc;

extern const struct doc v1_sandboxes_list_doc, v1_sandboxes_create_doc, v1_sandbox_show_doc,
    v1_sandbox_change_doc, v1_sandbox_delete_doc, v1_sandbox_interrupt_doc, v1_sandbox_restart_doc;

extern const struct doc v1_templates_list_doc, v1_templates_create_doc, v1_template_show_doc,
    v1_template_put_doc, v1_template_change_doc, v1_template_delete_doc, v1_template_seed_show_doc,
    v1_template_seed_put_doc, v1_template_seed_delete_doc;

extern const struct doc v1_contexts_list_doc, v1_contexts_create_doc, v1_context_show_doc,
    v1_context_delete_doc;

extern const struct doc v1_snapshots_list_doc, v1_snapshots_create_doc, v1_sandbox_pause_doc,
    v1_sandbox_resume_doc, v1_sandbox_fork_doc;

extern const struct doc v1_executions_list_doc, v1_executions_create_doc, v1_execution_show_doc,
    v1_execution_events_doc, v1_execution_output_doc, v1_execution_cancel_doc,
    v1_execution_input_doc;

extern const struct doc v1_commands_list_doc, v1_commands_create_doc, v1_command_show_doc,
    v1_command_delete_doc, v1_command_events_doc, v1_command_output_doc, v1_command_stdin_doc,
    v1_command_signal_doc;

extern const struct doc v1_packages_list_doc, v1_packages_install_doc, v1_package_delete_doc;

extern const struct doc v1_files_list_doc, v1_files_unpack_doc, v1_file_show_doc, v1_file_put_doc,
    v1_file_post_doc, v1_file_patch_doc, v1_file_delete_doc;

extern const struct doc_schema v1_code_cache_schema;
extern const struct doc v1_sandbox_metrics_doc, v1_stream_doc;

extern const struct doc v1_artifacts_list_doc, v1_sandbox_artifacts_doc, v1_execution_artifacts_doc,
    v1_command_artifacts_doc, v1_command_artifacts_tar_doc, v1_command_changes_doc,
    v1_execution_changes_doc, v1_sandbox_artifacts_tar_doc, v1_execution_artifacts_tar_doc,
    v1_artifact_show_doc, v1_artifact_delete_doc, v1_artifact_content_doc;

extern const struct doc v1_ports_list_doc, v1_ports_open_doc, v1_port_relay_doc;

#endif
