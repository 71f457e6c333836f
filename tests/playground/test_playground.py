"""What a person does on the page, in a real browser."""

import base64
import hashlib
import re
import subprocess
import sys
import threading

import pytest
import requests
from playwright.sync_api import expect

from onnxd import BUNDLED, FIXTURES, Onnxd

COFFEE = FIXTURES / "images/jpeg-coffee.jpg"
ROCKET = FIXTURES / "images/jpeg-rocket.jpg"
DROP = """([base64, name, type]) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type }));
    for (const kind of ["dragenter", "dragover", "drop"]) {
        const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector(".zone").dispatchEvent(event);
    }
}"""
COPY = """async (path) => {
    const bitmap = await createImageBitmap(await (await fetch(path)).blob());
    const canvas = Object.assign(document.createElement("canvas"), { width: 224, height: 224 });
    canvas.getContext("2d").drawImage(bitmap, 0, 0, 224, 224);
    const png = await new Promise((done) => canvas.toBlob(done, "image/png"));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
}"""


def headline(page):
    return page.locator("#result .headline")


def choose(page, model: str):
    page.get_by_role("radio", name=re.compile(rf"^{model}\b")).check()


def snippet(page, language: str) -> str:
    page.locator("#snippets").get_by_role("tab", name=language).click()
    return page.locator("#snippets").get_by_role("tabpanel", name=language).inner_text()


def run_both(page, folder) -> list[str]:
    """What the lines for the shell and for Python print."""
    told = []
    for command in (
        ["bash", "-c", snippet(page, "curl")],
        [sys.executable, "-c", snippet(page, "Python")],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    return told


def test_a_photo_by_file(view, bundled):
    page = view.open(bundled)
    expect(page.get_by_role("radio").first).to_be_checked()
    expect(page.get_by_text("Drop a photo here")).to_be_visible()
    view.shoot("start")
    page.locator('input[type="file"]').first.set_input_files(COFFEE)
    expect(headline(page)).to_contain_text("espresso")
    expect(page.locator(".bars .bar")).to_have_count(5)
    stages = page.locator(".timing .legend li")
    expect(stages).to_contain_text(
        ["Decode", "Pre-process", "Queue", "Network run", "Post-process", "HTTP"]
    )
    expect(page.locator("#said")).to_contain_text("espresso")
    for told in run_both(page, COFFEE.parent):
        assert "espresso" in told
    snippet(page, "curl")
    view.shoot("photo")


def test_a_photo_by_drop_by_paste_by_camera_and_an_example(view, bundled):
    page = view.open(bundled)
    data = base64.b64encode(ROCKET.read_bytes()).decode()
    page.evaluate(DROP, [data, "rocket.jpg", "image/jpeg"])
    expect(headline(page)).to_contain_text(re.compile("missile|projectile"))
    expect(page.locator(".note")).to_contain_text("rocket.jpg")

    # Pasted while another kind of model is chosen.
    choose(page, "iris")
    page.evaluate(COPY, "playground/models/efficientnet-lite0/example")
    page.keyboard.press("Control+V")
    expect(headline(page)).to_contain_text("espresso")
    expect(page.get_by_role("radio", name=re.compile("^efficientnet"))).to_be_checked()

    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("button", name="Take the photo").click()
    expect(page.locator(".note")).to_contain_text("photo.jpg")
    expect(headline(page)).not_to_contain_text("espresso")

    page.get_by_role("button", name="Use an example").click()
    expect(headline(page)).to_contain_text("espresso")


def test_a_photo_that_is_too_large_is_made_smaller(view, bundled, tmp_path):
    page = view.open(bundled)
    wide = FIXTURES / "images/bad/size-10000x1000.png"
    page.locator('input[type="file"]').first.set_input_files(wide)
    expect(headline(page)).to_be_visible()
    note = page.locator(".note")
    expect(note).to_contain_text("size-10000x1000-smaller.jpg 8192 × 819")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save what was sent").click()
    saved.value.save_as(tmp_path / saved.value.suggested_filename)
    for told in run_both(page, tmp_path):
        assert "efficientnet" in told
    view.shoot("large-photo")


def test_a_sentence(view, bundled):
    page = view.open(bundled)
    choose(page, "sentiment-minilm")
    sentence = 'It\'s a "wonderful" film – $5 & `worth` it! 🎬'
    page.get_by_label("Text", exact=True).fill(sentence)
    page.get_by_role("button", name="Predict").click()
    expect(headline(page)).to_contain_text("positive")
    for told in run_both(page, COFFEE.parent):
        assert "positive" in told
    snippet(page, "Python")
    view.shoot("sentence")
    page.get_by_role("button", name="It broke after a week.").click()
    expect(headline(page)).to_contain_text("negative")


def test_a_row_of_features(view, bundled):
    page = view.open(bundled)
    choose(page, "iris")
    for name, value in zip(
        ["sepal length", "sepal width", "petal length", "petal width"], "6.7 3 5.2 2.3".split()
    ):
        page.get_by_label(name).fill(value)
    page.get_by_label(re.compile("petal width")).press("Enter")
    expect(headline(page)).to_contain_text("virginica")
    for told in run_both(page, COFFEE.parent):
        assert "virginica" in told
    view.shoot("features")


def test_what_is_wrong_is_told_where_it_is(view, bundled):
    view.expected_statuses = {400, 415, 422}
    page = view.open(bundled)
    choose(page, "iris")
    for name, value in zip(
        ["sepal length", "sepal width", "petal length", "petal width"],
        ["5.1", "wide", "1.4", "0.2"],
    ):
        page.get_by_label(name).fill(value)
    page.get_by_role("button", name="Predict").click()
    problem = page.locator(".problem")
    expect(problem).to_contain_text("The input is not valid")
    expect(problem.locator("dd").first).to_have_text("features[0][1]")
    expect(page.get_by_label(re.compile("sepal width"))).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label(re.compile("sepal width"))).to_be_focused()
    view.shoot("problem")

    page.get_by_role("button", name="Edit as JSON").click()
    page.get_by_label("Body as JSON").fill('{"features": [[5.1, 3.5, 1.4]]}')
    page.get_by_role("button", name="Predict").click()
    expect(problem).to_contain_text("3 numbers")
    page.get_by_label("Body as JSON").fill('{"features": [[5.1')
    page.get_by_role("button", name="Predict").click()
    expect(problem).to_contain_text("The request cannot be read")
    # Copied out, the same mistake is refused by the same words.
    assert (
        "valid JSON"
        in subprocess.run(
            ["bash", "-c", snippet(page, "curl")], capture_output=True, text=True
        ).stdout
    )

    choose(page, "efficientnet-lite0")
    page.locator('input[type="file"]').first.set_input_files(FIXTURES / "images/bad/text.jpg")
    expect(problem).to_contain_text("image")
    view.shoot("problem-image")
    page.locator('input[type="file"]').first.set_input_files(COFFEE)
    expect(headline(page)).to_contain_text("espresso")


def test_options_are_in_the_request(view, bundled):
    view.expected_statuses = {422}
    page = view.open(bundled)
    choose(page, "sentiment-tfidf")
    page.get_by_text("Options").click()
    page.get_by_label("Classes to list").fill("2")
    page.get_by_label("Raw scores, without softmax").check()
    page.get_by_label("Text", exact=True).fill("I love it")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".bars .bar")).to_have_count(2)
    assert "top_k=2&raw_scores=true" in snippet(page, "curl")
    page.get_by_label("Classes to list").fill("0")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".problem dd").first).to_have_text("top_k")


def test_other_tasks(view, others):
    page = view.open(others)
    choose(page, "optimum-bert-tokens")
    page.get_by_label("Text", exact=True).fill("Angela Merkel met John O'Neill 👋 in Berlin.")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".passage mark").first).to_be_visible()
    assert (
        page.locator(".passage")
        .evaluate("(p) => [...p.childNodes].map((n) => n.firstChild?.data ?? n.data).join('')")
        .startswith("Angela Merkel")
    )
    view.shoot("entities")

    choose(page, "optimum-sentence-transformer")
    text = page.get_by_label("Text", exact=True)
    text.fill("The battery lasts for days.")
    page.get_by_role("button", name="Predict").click()
    expect(headline(page)).to_contain_text("numbers")
    text.fill("A battery that lasts.")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".compared")).to_contain_text("Cosine similarity")
    view.shoot("embedding")

    choose(page, "pmml-forest")
    for field in page.locator("#editor .field input").all():
        field.fill("1.5")
    page.get_by_role("button", name="Predict").click()
    expect(headline(page)).to_be_visible()

    choose(page, "two-inputs-unknown")
    expect(page.get_by_label("Inputs as JSON")).to_have_value(re.compile("datatype"))
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#result table")).to_be_visible()
    for told in run_both(page, COFFEE.parent):
        assert "outputs" in told
    view.shoot("tensors")


def test_columns_of_text_and_numbers(view, others):
    page = view.open(others)
    choose(page, "named-columns")
    page.get_by_label(re.compile("^age")).fill("38")
    page.get_by_label(re.compile("^sex")).fill("female")
    page.get_by_role("button", name="Predict").click()
    # What is missing is told before anything is sent.
    expect(page.get_by_label(re.compile("^fare"))).to_be_focused()
    expect(page.get_by_text("Fill this in")).to_have_count(2)
    page.get_by_label(re.compile("^fare")).fill("71.3")
    page.get_by_label(re.compile("^siblings")).fill("1")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#result .headline")).to_be_visible()
    for told in run_both(page, COFFEE.parent):
        assert "named-columns" in told
    view.shoot("columns")


def test_by_keys_alone(view, bundled):
    page = view.open(bundled)
    focused = lambda: page.evaluate(
        "document.activeElement.id || document.activeElement.textContent"
    )
    page.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    page.keyboard.press("Tab")
    assert focused() == "tab-try"
    page.keyboard.press("Tab")
    # The models are one stop, and arrows choose.
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name=re.compile("^sentiment-minilm"))).to_be_checked()
    view.shoot("keys")
    page.keyboard.press("Tab")
    page.keyboard.type("What a waste of two hours.")
    page.keyboard.press("Control+Enter")
    expect(headline(page)).to_contain_text("negative")
    # Back to the views, and to the other one.
    while focused() != "tab-try":
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Live")).to_be_visible()
    expect(page.get_by_role("tab", name="Live")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Go on")).to_be_focused()


@pytest.fixture
def load(bundled):
    """Requests of several clients, as long as the test runs."""
    stop = threading.Event()
    photo = COFFEE.read_bytes()

    def client(number):
        session = requests.Session()
        while not stop.is_set():
            if number % 2:
                answer = session.post(
                    bundled.url + "predict/iris", json={"features": [[5.1, 3.5, 1.4, 0.2]] * 3}
                )
            else:
                answer = session.post(
                    bundled.url + "predict", data=photo, headers={"content-type": "image/jpeg"}
                )
            assert answer.status_code == 200
            if number == 0:
                session.post(bundled.url + "predict/iris", json={"features": [[1]]})

    threads = [threading.Thread(target=client, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def test_the_running_server(view, bundled, load):
    page = view.open(bundled, "#live")
    tiles = page.locator(".tile b")
    expect(tiles.nth(0)).to_have_text(re.compile(r"\d"))
    expect(tiles.nth(1)).to_have_text(re.compile(r"\d.*ms"))
    expect(page.locator(".since")).to_contain_text(
        re.compile(r"[1-9][\d,]* answered, [1-9][\d,]* refused, 0 failed")
    )
    expect(page.locator(".stages .legend")).to_contain_text("Network run")
    # A line of some seconds.
    line = page.get_by_role("img", name=re.compile("^Latency")).locator("path.line").first
    expect(line).to_have_attribute("d", re.compile(r"(L.*){8}"))
    expect(page.get_by_role("row", name=re.compile("^iris"))).to_contain_text("cpu")
    view.shoot("live")
    page.get_by_label("Show").select_option("iris")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.locator(".columns li").nth(2).locator(".number")).to_have_text(re.compile(r"\d"))


def test_only_what_came_since_the_page_was_opened_is_counted(view, bundled):
    requests.post(bundled.url + "predict", data="good", headers={"content-type": "text/plain"})
    page = view.open(bundled, "#live")
    expect(page.locator(".since")).to_contain_text("0 answered, 0 refused, 0 failed")
    page.get_by_role("tab", name="Try").click()
    choose(page, "iris")
    page.get_by_role("button", name=re.compile("^5.1")).click()
    expect(headline(page)).to_contain_text("setosa")
    page.get_by_role("tab", name="Live").click()
    expect(page.locator(".since")).to_contain_text("1 answered, 0 refused, 0 failed")


def test_on_a_phone(phone, bundled):
    page = phone.open(bundled)
    expect(page.get_by_text("Tap to choose a photo")).to_be_visible()
    phone.shoot("phone-start")
    page.locator('input[type="file"]').first.set_input_files(COFFEE)
    expect(headline(page)).to_contain_text("espresso")
    phone.shoot("phone-photo")
    # A phone opens its own camera.
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photo").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"
    page.get_by_role("tab", name="Live").tap()
    expect(page.locator(".tile b").first).to_have_text(re.compile(r"\d"))
    phone.shoot("phone-live")


def test_a_key_is_asked_for_and_stays_in_the_tab(view, tmp_path):
    digest = hashlib.sha256(b"open sesame").hexdigest()
    (tmp_path / "keys").write_text(digest)
    onnxd = Onnxd(tmp_path, BUNDLED[1:2], f'api_keys_file = "{tmp_path / "keys"}"\n')
    view.expected_statuses = {401}
    view.url = onnxd.url
    page = view.page
    page.goto(onnxd.url)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("An API key is needed")
    view.shoot("key")
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Enter a key").click()
    page.get_by_label("API key", exact=True).fill("guess")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("does not know this key")
    page.get_by_label("API key", exact=True).fill("open sesame")
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("^5.1")).click()
    expect(headline(page)).to_contain_text("setosa")
    for language in ("curl", "Python"):
        assert "ONNXD_KEY" in snippet(page, language)
    assert "sesame" not in page.content()
    stored = page.evaluate("JSON.stringify([Object.values(localStorage), document.cookie])")
    assert stored == '[[],""]'
    page.get_by_role("button", name="Forget the key").click()
    expect(dialog).to_be_visible()
    onnxd.stop()


def test_a_server_that_is_gone_is_told(view, tmp_path):
    onnxd = Onnxd(tmp_path, BUNDLED[1:2])
    page = view.open(onnxd)
    onnxd.stop()
    expect(page.locator("#state")).to_have_class("state lost")
    page.get_by_role("button", name=re.compile("^5.1")).click()
    expect(page.locator(".problem")).to_contain_text("The server does not answer")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    # The browser writes every refused connection to the console.
    view.errors = [error for error in view.errors if "ERR_CONNECTION_REFUSED" not in error]
