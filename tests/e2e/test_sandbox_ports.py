"""A server that a cell starts in a real sandbox without network, asked through the gateway."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing

import pytest
from e2e.test_sandbox_life import create, kernel_of, remove
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway

SERVE = """
import http.server, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.path} of {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


@pytest.fixture(scope="module", name="gateway")
def gateway_fixture() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0", "--preload", "json"], warm=True)
    with gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def test_a_server_in_a_sandbox(gateway: Gateway) -> None:
    one, other = create(gateway), create(gateway)
    with closing(gateway.client(kernel_of(one))) as client:
        assert client.run(SERVE).stdout == ""
    ports = f"/v1/sandboxes/{one['id']}/ports"
    answer = gateway.get(f"{ports}/8000/a/b?c=d")
    assert (answer.status, answer.body) == (200, b"/a/b?c=d of localhost:8000")
    listed = [(port["port"], port["address"]) for port in gateway.get(ports).json()["ports"]]
    assert listed == [(8000, "127.0.0.1")]
    assert gateway.get(f"{ports}/8001/").status == 502
    assert gateway.get(f"/v1/sandboxes/{other['id']}/ports/8000/").status == 502
    assert gateway.get(f"{ports}/{gateway.port}/").status == 502, "the machine's own loopback"
    remove(gateway, one)
    remove(gateway, other)
