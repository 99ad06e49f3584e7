"""Templates, tokens, ports and what a gateway says of itself, by both forms of the client."""

from __future__ import annotations

import httpx
import pytest
import warmcell
from support.gateway import Gateway
from warmcell.models import Endpoint

SERVER = """
import http.server, threading

class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(418)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Path", self.path)
        self.end_headers()
        self.wfile.write(body)
    do_GET = lambda self: self.send_error(404, "not here")
    log_message = lambda self, *words: None

server = http.server.ThreadingHTTPServer(("127.0.0.1", 8123), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


def test_templates(client: warmcell.Client) -> None:
    made = client.templates.create(
        "analysis", description="d", env={"A": "1"}, files={"in.txt": "x"}, limits={"idle_s": 600}
    )
    assert (made.name, made.language, tuple(made.env)) == ("analysis", "python", ("A",))
    assert client.templates.get("analysis") == client.templates.get(made.id)
    with client.sandboxes.create(template="analysis") as sandbox:
        assert sandbox.run("import os; os.environ['A'], open('in.txt').read()").text == "('1', 'x')"
        assert client.templates.get(made.id).sandboxes == 1
    changed = client.templates.change(made.id, description="e", packages=[])
    assert (changed.description, changed.limits["idle_s"]) == ("e", 600)
    assert [one.id for one in client.templates.list(name_prefix="anal")] == [made.id]
    client.templates.delete("analysis")
    client.templates.delete("analysis")
    assert list(client.templates.list(name_prefix="anal")) == []
    with pytest.raises(warmcell.NotFoundError):
        client.templates.change(made.id, name="b")


def test_tokens(place: Gateway, client: warmcell.Client) -> None:
    quotas = {"sandboxes": 2}
    minted = client.tokens.create(
        "ci", principal="ci", scopes=["read"], quotas=quotas, expires_in=600
    )
    assert minted.quotas is not None
    assert {name: most for name, most in minted.quotas.items() if most} == quotas
    assert (minted.principal, minted.role, minted.scopes) == ("ci", "user", ("read",))
    assert minted.token
    assert minted.token not in repr(minted)
    (listed,) = [one for one in client.tokens.list() if one.id == minted.id]
    assert (listed.name, listed.token) == ("ci", None)
    with warmcell.Client(place.url, minted.token) as other:
        assert list(other.sandboxes.list()) == []
        with pytest.raises(warmcell.ForbiddenError):
            other.sandboxes.create()
        client.tokens.revoke(minted.id)
        client.tokens.revoke(minted.id)
        with pytest.raises(warmcell.UnauthorizedError):
            list(other.sandboxes.list())


def ask(endpoint: Endpoint, body: bytes) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=endpoint.socket)) as http:
        return http.post(endpoint.url, headers=dict(endpoint.headers), content=body)


def test_ports(client: warmcell.Client) -> None:
    with client.sandboxes.create() as sandbox:
        with pytest.raises(warmcell.WaitTimeoutError) as late:
            sandbox.ports.wait(8123, timeout=0)
        assert late.value.waited_for is sandbox.ports
        assert sandbox.ports.request(8123).status_code == 502
        sandbox.run(SERVER, check=True)
        port = sandbox.ports.wait(8123)
        assert (port.address, port.url.endswith("/ports/8123/")) == ("127.0.0.1", True)
        assert [one.port for one in sandbox.ports.list()] == [8123]
        said = sandbox.ports.request(
            8123, "/a b/c", method="POST", params={"y": "2 3"}, body=b"body"
        )
        assert (said.status_code, said.content) == (418, b"body")
        assert said.headers["X-Path"] == "/a%20b/c?y=2+3"
        assert sandbox.ports.request(8123).status_code == 404
        said = ask(sandbox.ports.endpoint(8123, "deep/path"), b"again")
        assert (said.headers["X-Path"], said.content) == ("/deep/path", b"again")
        link = sandbox.ports.open(8123, "/shown")
        assert link.link
        assert link.origin
        assert link.link.startswith(link.origin)
    with pytest.raises(warmcell.NotFoundError):
        list(sandbox.ports.list())


@pytest.mark.asyncio
async def test_all_of_it_on_a_unix_socket(own_place: str) -> None:
    async with warmcell.AsyncClient(own_place) as client:
        server = await client.server()
        assert server.version == (await client.version())["version"]
        assert server.started
        template = await client.templates.create("t", env={"A": "1"})
        assert template.id in [one.id async for one in client.templates.list()]
        async with await client.sandboxes.create(template="t") as sandbox:
            await sandbox.run(SERVER, check=True)
            await sandbox.ports.wait(8123)
            said = await sandbox.ports.request(8123, "/x?y=2", method="POST", body=b"1")
            assert (said.headers["X-Path"], said.content) == ("/x?y=2", b"1")
            endpoint = sandbox.ports.endpoint(8123, "/x")
            assert (endpoint.socket, endpoint.headers) == (own_place.removeprefix("unix:"), {})
            assert (await client.server()).kernels >= 1
        await client.templates.delete(template.id)
        token = await client.tokens.create(role="user")
        assert token.id in [one.id async for one in client.tokens.list()]
        await client.tokens.revoke(token.id)
