"""A page that a server in a sandbox serves, in headless Chromium that is logged in at the gateway:
it is shown at an origin of its own, works there, and can do nothing in the gateway's name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.test_lab import CHROMIUM, FLAGS, PATIENCE_MS
from gateway.test_sandboxes import Place, create, end, remove, start
from playwright.sync_api import Browser, expect, sync_playwright
from support import processes
from support.inside import Request, serving

PAGE = """<!doctype html><title>inside</title><pre id="said"></pre><script>
const said = {};
const tries = {
    own: () => fetch("/data").then((r) => r.text()),
    api: () => fetch("GATEWAY/v1/sandboxes", {credentials: "include"}).then((r) => r.text()),
    post: () => fetch("GATEWAY/v1/sandboxes",
                      {method: "POST", mode: "no-cors", credentials: "include"})
        .then((r) => r.type),
    neighbour: () => fetch("NEIGHBOUR/data", {credentials: "include"}).then((r) => r.text()),
    cookie: async () => document.cookie,
    referrer: async () => document.referrer,
    socket: () => new Promise((done, fail) => {
        const socket = new WebSocket("GATEWAY/v1/stream".replace("http", "ws"));
        socket.onopen = () => done("open");
        socket.onerror = () => fail(new Error("refused"));
    }),
};
(async () => {
    for (const [name, attempt] of Object.entries(tries))
        said[name] = await attempt().catch((error) => "refused");
    document.getElementById("said").textContent = JSON.stringify(said);
    document.title = "done";
})();
</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    before = {p.pid for p in processes.strangers()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for process in processes.strangers():
            if process.pid not in before:
                processes.own(process.pid)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    gateway, keeper = start("--pool-max", "0")
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


def test_a_page_can_do_nothing_in_the_gateways_name(browser: Browser, place: Place) -> None:
    gateway, _ = place
    sandbox, other = create(gateway), create(gateway)
    url = f"http://localhost:{gateway.port}"

    def answer(request: Request) -> None:
        neighbour = f"http://{inside.port}-{other['id']}.localhost:{gateway.port}"
        data = request.first.startswith("GET /data ")
        body = (
            b"mine"
            if data
            else (PAGE.replace("GATEWAY", url).replace("NEIGHBOUR", neighbour).encode())
        )
        kind = b"text/plain" if data else b"text/html"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
        request.reply(head % (kind, len(body)) + body)

    with serving(answer) as inside:
        page = browser.new_page()
        page.goto(f"{url}/docs?token={gateway.token}")
        listed = page.goto(f"{url}/v1/sandboxes")
        assert listed is not None
        assert listed.status == 200, "the browser is logged in"
        for one in (other, sandbox):  # it is let in at its neighbour's, too
            page.goto(f"{url}/v1/sandboxes/{one['id']}/ports/{inside.port}/")
            expect(page).to_have_title("done")
        assert page.url == f"http://{inside.port}-{sandbox['id']}.localhost:{gateway.port}/"
        said = page.evaluate("JSON.parse(document.getElementById('said').textContent)")
        assert said.pop("referrer") in ("", f"{url}/")
        assert said.pop("post") in ("opaque", "refused")
        assert said == {"own": "mine", "api": "refused", "neighbour": "refused", "cookie": "",
                        "socket": "refused"}  # fmt: skip
        page.close()
    live = gateway.get("/v1/sandboxes").json()["sandboxes"]
    assert {one["id"] for one in live} == {sandbox["id"], other["id"]}, "none was made"
