"""complete, inspect and is_complete: questions about code, answered by IPython."""

from __future__ import annotations

from typing import Any

from IPython.utils.tokenutil import token_at_cursor

from warmcell_kernel.shell import ZMQInteractiveShell

Content = dict[str, Any]


def _code_and_cursor(content: Content) -> tuple[str, int]:
    code = content.get("code")
    if not isinstance(code, str):
        raise ValueError("code: must be a string")
    cursor = content.get("cursor_pos")
    if not isinstance(cursor, int) or isinstance(cursor, bool):
        cursor = len(code)
    return code, max(0, min(cursor, len(code)))


def complete(shell: ZMQInteractiveShell, content: Content) -> Content:
    """The content of complete_reply; positions are code points, as Python counts."""
    from IPython.core.completer import provisionalcompleter, rectify_completions

    code, cursor = _code_and_cursor(content)
    with provisionalcompleter():
        found = list(rectify_completions(code, shell.Completer.completions(code, cursor)))
    typed = [
        {"start": c.start, "end": c.end, "text": c.text, "type": c.type, "signature": c.signature}
        for c in found
    ]
    return {
        "matches": [c.text for c in found],
        "cursor_start": found[0].start if found else cursor,
        "cursor_end": found[0].end if found else cursor,
        "metadata": {"_jupyter_types_experimental": typed},
        "status": "ok",
    }


def no_completions(content: Content) -> Content:
    """The reply when completion was interrupted or failed."""
    _, cursor = _code_and_cursor(content)
    return {
        "matches": [],
        "cursor_start": cursor,
        "cursor_end": cursor,
        "metadata": {},
        "status": "ok",
    }


def inspect(shell: ZMQInteractiveShell, content: Content) -> Content:
    """The content of inspect_reply."""
    code, cursor = _code_and_cursor(content)
    level = content.get("detail_level", 0)
    name = token_at_cursor(code, cursor)
    try:
        data = shell.object_inspect_mime(
            name,
            detail_level=level if level in (0, 1) else 0,
            omit_sections=content.get("omit_sections") or (),
        )
    except KeyError:
        return {"status": "ok", "found": False, "data": {}, "metadata": {}}
    if not shell.enable_html_pager:
        data.pop("text/html", None)
    return {"status": "ok", "found": True, "data": data, "metadata": {}}


def is_complete(shell: ZMQInteractiveShell, content: Content) -> Content:
    """The content of is_complete_reply."""
    code, _ = _code_and_cursor(content)
    status, spaces = shell.input_transformer_manager.check_complete(code)
    if status == "incomplete":
        return {"status": status, "indent": " " * (spaces or 0)}
    return {"status": status}
