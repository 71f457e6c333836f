"""A browser, the servers that it looks at, and what every page must keep to."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from onnxd import BUNDLED, OTHERS, Onnxd

# A shared machine may be slow; nothing here waits for this long by itself.
expect.set_options(timeout=30_000)
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 900}}


def server(name, models, config=""):
    @pytest.fixture(scope="session", name=name)
    def fixture(tmp_path_factory):
        running = Onnxd(tmp_path_factory.mktemp(name), models, config)
        yield running
        running.stop()

    return fixture


bundled = server("bundled", BUNDLED)
others = server("others", OTHERS)


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["CHROMIUM"],
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield browser
        browser.close()


class View:
    """A page of the playground, and what it did that it should not have."""

    def __init__(self, browser, scheme: str, name: str, **screen):
        self.scheme, self.name = scheme, name
        self.context = browser.new_context(
            color_scheme=scheme,
            locale="en-GB",
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write", "camera"],
            **(screen or DESK),
        )
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.foreign: list[str] = []
        # Statuses that a test provokes; the browser writes each of them to the console.
        self.expected_statuses: set[int] = set()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._request)

    def open(self, onnxd: Onnxd, fragment: str = ""):
        self.url = onnxd.url
        self.page.goto(onnxd.url + fragment)
        expect(self.page.locator("#state")).to_have_class("state ok")
        return self.page

    def _console(self, message):
        known = any(f"status of {status} " in message.text for status in self.expected_statuses)
        if message.type in ("error", "warning") and not known:
            self.errors.append(message.text)

    def _request(self, request):
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.foreign.append(request.url)

    def shoot(self, name: str) -> None:
        """A screenshot, and a look for what some people could not use."""
        self.page.mouse.move(0, 0)
        folder = Path(os.environ["SCREENSHOTS"])
        self.page.screenshot(path=folder / f"{name}-{self.scheme}.png", full_page=True)
        results = Axe().run(self.page, options=RULES)
        assert results.violations_count == 0, results.generate_report()
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert self.page.evaluate(wide) == 0, "it scrolls sideways"

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
        assert self.foreign == []


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture
def view(chromium, scheme, request):
    made = View(chromium, scheme, request.node.name)
    yield made
    made.close()


@pytest.fixture
def phone(chromium, scheme, request):
    made = View(chromium, scheme, request.node.name, device_scale_factor=2, **PHONE)
    yield made
    made.close()
