"""Languages in the client: what there is, sandboxes and contexts of one, what is refused."""

from __future__ import annotations

import pytest
import warmcell


def test_languages(client: warmcell.Client, sandbox: warmcell.Sandbox) -> None:
    found = {one.name: one for one in client.languages()}
    assert (found["python"].kind, found["python"].available) == ("kernel", True)
    script = found["javascript"]
    assert (script.package, script.program, script.available) == ("nodejs", "node", True)
    assert found["go"].kind == "toolchain"
    with client.sandboxes.create(language="javascript") as made:
        assert made.info.language == "javascript"
        (first,) = made.contexts.list()
        assert first.language == "javascript"
        assert made.run("let x = 20; console.log('on'); x + 1").stdout == "on\n"
        assert made.run("x * 2").text == "40"
    other = sandbox.contexts.create("script", language="javascript")
    assert other.language == "javascript"
    assert other.run("[1, 2].length").text == "2"
    with pytest.raises(warmcell.WarmcellError, match="cannot be forked"):
        other.fork()
    other.delete()
    assert sandbox.info.language == "python"
    with pytest.raises(warmcell.WarmcellError, match="must be python"):
        client.sandboxes.create(language="cobol")
