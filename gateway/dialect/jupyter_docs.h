/* What Jupyter's routes say of themselves. */
#ifndef WARMCELL_GATEWAY_DIALECT_JUPYTER_DOCS_H
#define WARMCELL_GATEWAY_DIALECT_JUPYTER_DOCS_H

#include "gateway/net/doc.h"

extern const struct doc jupyter_version_doc, jupyter_status_doc, jupyter_swagger_json_doc,
    jupyter_swagger_yaml_doc, jupyter_resolve_path_doc;

extern const struct doc jupyter_kernelspecs_list_doc, jupyter_kernelspec_show_doc,
    jupyter_kernelspec_file_doc;

extern const struct doc jupyter_kernels_list_doc, jupyter_kernels_start_doc,
    jupyter_kernel_show_doc, jupyter_kernel_delete_doc, jupyter_kernel_interrupt_doc,
    jupyter_kernel_restart_doc, jupyter_channels_open_doc;

extern const struct doc jupyter_sessions_list_doc, jupyter_sessions_add_doc,
    jupyter_session_show_doc, jupyter_session_change_doc, jupyter_session_delete_doc;

#endif
