"""JupyterLab in headless Chromium: what a person sees who picks our kernel in the launcher.

Screenshots are kept in build/screens/. Every assertion looks at the page.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from support import ports, processes
from support.gateway import Gateway
from support.programs import KERNEL_NAME, PEER, ROOT

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
DISPLAY_NAME = "Python 3 (ipykernel)" if PEER else "Python 3 (warmcell)"
SCREENS = ROOT / "build" / "screens"
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    before = {p.pid for p in processes.strangers()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for process in processes.strangers():
            if process.pid not in before:
                processes.own(process.pid)
        yield browser
        browser.close()


class Lab:
    """A running `jupyter lab` and a page that shows it."""

    def __init__(self, name: str, browser: Browser, *options: str) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="lab-"))
        self.reserved = ports.reserve("127.0.0.1")
        port = ports.number(self.reserved)
        self.log = (self.folder / "lab.log").open("wb")
        env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
             f"--ServerApp.root_dir={self.folder}", "--LabApp.news_url=None",
             "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
             "--ServerApp.disable_check_xsrf=True", *options],
            env=env, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        processes.own(self.process.pid)

        def listens() -> bool:
            assert self.process.poll() is None, (self.folder / "lab.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                return False
            return True

        processes.until(listens, "jupyter lab listens")
        self.page = browser.new_page(viewport={"width": 1280, "height": 1400})
        self.page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        self.page.goto(f"http://127.0.0.1:{port}/lab?reset")

    def picture(self, what: str) -> None:
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{self.name}-{what}.png")

    def choose_kernel(self) -> None:
        card = self.page.locator(f'.jp-LauncherCard[title^="{DISPLAY_NAME}"]').first
        expect(card).to_be_visible()
        self.picture("launcher")
        card.click()
        expect(self.page.locator(".jp-Notebook")).to_be_visible()
        self.wait_idle()

    def wait_idle(self) -> None:
        """As the status bar says; the notebook itself says so before a kernel is there."""
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text(f"{DISPLAY_NAME} | Idle")

    def start(self, code: str) -> Locator:
        """Types code into the last cell, runs it, and gives the cell."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        count = cells.count()
        cell = cells.nth(count - 1)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        expect(cells).to_have_count(count + 1)
        return cell

    def run(self, code: str) -> Locator:
        """Runs code to its end and gives the output area of the cell."""
        cell = self.start(code)
        expect(cell.locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]:"))
        return cell.locator(".jp-OutputArea").first

    def close(self) -> None:
        self.picture("end")
        self.page.close()
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:  # how JupyterLab itself ends is not what is tested here
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
            self.process.wait(30)
        self.log.close()
        self.reserved.close()
        processes.disown(self.process.pid)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def lab(kernelspec: str, browser: Browser) -> Iterator[Lab]:
    lab = Lab("lab", browser)
    yield lab
    lab.close()


@pytest.fixture
def lab_through_gateway(gateway: Gateway, browser: Browser) -> Iterator[Lab]:
    lab = Lab("gateway", browser, f"--gateway-url={gateway.url}",
              f"--GatewayClient.auth_token={gateway.token}")  # fmt: skip
    yield lab
    lab.close()
    for model in gateway.get("/api/kernels").json():
        gateway.delete_kernel(model["id"])


def work(lab: Lab) -> None:
    """A morning with a notebook."""
    lab.choose_kernel()
    expect(lab.run("print('hello', 6 * 7)")).to_have_text(re.compile("hello 42"))
    expect(lab.run("'é🎉'").locator(".jp-OutputArea-executeResult")).to_contain_text("é🎉")

    plot = lab.run(
        "import matplotlib.pyplot as plt\nplt.figure(figsize=(4, 2)); plt.plot([1, 4, 2]);"
    )
    image = plot.locator(".jp-RenderedImage img")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.complete && image.naturalWidth > 100")

    frame = lab.run("import pandas as pd\npd.DataFrame({'city': ['Oslo', 'Rome'], 'n': [1, 2]})")
    expect(frame.locator("table.dataframe tbody tr")).to_have_count(2)
    expect(frame.locator("table.dataframe")).to_contain_text("Oslo")

    error = lab.run("1 / 0")
    expect(error.locator(".jp-RenderedText").first).to_contain_text("ZeroDivisionError")
    lab.picture("outputs")

    asking = lab.start("name = input('Your name? ')\nprint('Dear', name)")
    box = asking.locator("input.jp-Stdin-input")
    expect(box).to_be_visible()
    expect(asking).to_contain_text("Your name?")
    box.fill("Ada")
    box.press("Enter")
    expect(asking.locator(".jp-OutputArea").first).to_contain_text("Dear Ada")
    lab.wait_idle()


def interrupt_and_restart(lab: Lab) -> None:
    page: Page = lab.page
    cell = lab.start("x = 1\nprint('spinning')\nwhile True: pass")
    expect(cell.locator(".jp-OutputArea").first).to_contain_text("spinning")
    page.locator('.jp-NotebookPanel-toolbar [data-jp-item-name="interrupt"] jp-button').click()
    expect(cell.locator(".jp-OutputArea").first).to_contain_text("KeyboardInterrupt")
    lab.wait_idle()
    expect(lab.run("x")).to_contain_text("1")
    lab.picture("interrupted")

    page.locator('.jp-NotebookPanel-toolbar [data-jp-item-name="restart"] jp-button').click()
    with page.expect_response(lambda response: "/restart" in response.url):
        page.locator(".jp-Dialog button.jp-mod-accept").click()
    lab.wait_idle()
    expect(lab.run("'x' in globals()")).to_contain_text("False")
    lab.picture("restarted")


def test_lab(lab: Lab) -> None:
    work(lab)
    slider = lab.run(
        "import ipywidgets as w\ns = w.IntSlider(value=3, max=10); out = w.Output()\n"
        "def show(c):\n    with out:\n        out.clear_output(wait=True)\n"
        "        print('square', c.new ** 2)\n"
        "s.observe(show, 'value'); display(s, out)"
    )
    expect(slider.locator(".widget-readout")).to_have_text("3")
    handle = slider.locator(".noUi-handle")
    handle.click()
    handle.press("ArrowRight")
    expect(slider.locator(".widget-readout")).to_have_text("4")
    expect(slider).to_contain_text("square 16")
    handle.press("ArrowRight")
    expect(slider).to_contain_text("square 25")
    lab.picture("slider")
    expect(lab.run("s.value")).to_contain_text("5")
    interrupt_and_restart(lab)


def test_lab_through_the_gateway(lab_through_gateway: Lab) -> None:
    work(lab_through_gateway)
    interrupt_and_restart(lab_through_gateway)


def test_kernel_name_is_shown(lab: Lab) -> None:
    lab.choose_kernel()
    expect(lab.page.locator(".jp-KernelName")).to_have_text(re.compile(re.escape(DISPLAY_NAME)))
    sessions = lab.page.evaluate("fetch('/api/sessions').then(r => r.json())")
    assert [s["kernel"]["name"] for s in sessions] == [KERNEL_NAME]
