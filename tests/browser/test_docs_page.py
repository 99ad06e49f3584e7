"""/docs in headless Chromium: it draws every route without an error and without asking for
anything, opens one by its name, finds, and fits a narrow window in light and dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from browser.test_lab import CHROMIUM, FLAGS, PATIENCE_MS, SCREENS
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support import processes
from support.contract import Contract
from support.gateway import Gateway


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
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0"]).start()
    yield gateway
    assert gateway.stop() == 0
    shutil.rmtree(gateway.home)


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]
)
def test_the_page(browser: Browser, gateway: Gateway, scheme: str, width: int) -> None:
    asked: list[str] = []
    errors: list[str] = []
    page: Page = browser.new_page(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 900},
    )
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(f"{gateway.url}/docs#post_v1_sandboxes_id_executions")
    routes = page.locator("details.route")
    expect(routes).to_have_count(len(Contract(gateway).operations()))
    one = page.locator("#post_v1_sandboxes_id_executions")
    expect(one.get_by_text("deadline_ms", exact=True)).to_be_visible()
    expect(one.locator("pre")).to_contain_text("/v1/sandboxes/$ID/executions")
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"docs-{scheme}-{width}.png")
    open_all = "boxes => boxes.forEach((box) => { box.open = true; })"
    routes.evaluate_all(open_all)
    expect(page.locator(".inside")).to_have_count(routes.count())
    inner = page.locator(".inside > dl > div > dd > details.inner")
    inner.evaluate_all(open_all)
    expect(page.locator(".inside > dl > div > dd > details.inner:has(dl)")).to_have_count(
        inner.count()
    )
    page.locator("#find").fill("idle get snapshots nothing like it")
    expect(page.locator("details.route:visible")).to_have_count(0)
    page.locator("#find").fill("post /v1/sandboxes/{id}/pause")
    expect(page.locator("details.route:visible")).to_have_count(1)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    page.locator("#find").fill("")
    assert page.evaluate(overflow) <= 0
    assert not errors
    assert [url.partition("#")[0] for url in asked] == [f"{gateway.url}/docs"]
    page.close()
