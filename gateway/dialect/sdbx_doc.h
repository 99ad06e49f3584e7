/* What the routes of sandbox_sdk's dialect say of themselves. */
#ifndef WARMCELL_GATEWAY_DIALECT_SDBX_DOC_H
#define WARMCELL_GATEWAY_DIALECT_SDBX_DOC_H

#include "gateway/net/doc.h"

extern const struct doc sdbx_health_doc, sdbx_register_doc;
extern const struct doc sdbx_sandboxes_create_doc, sdbx_sandboxes_list_doc, sdbx_sandbox_status_doc,
    sdbx_sandbox_delete_doc;
extern const struct doc sdbx_execute_doc, sdbx_terminal_doc;
extern const struct doc sdbx_file_read_doc, sdbx_file_write_doc, sdbx_file_delete_doc,
    sdbx_files_list_doc;
extern const struct doc sdbx_contexts_create_doc, sdbx_contexts_list_doc, sdbx_context_delete_doc;
extern const struct doc sdbx_templates_list_doc, sdbx_template_show_doc, sdbx_templates_create_doc;

#endif
