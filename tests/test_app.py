"""The page: what it paints, and how it does in a real browser."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from experiments import app
from spiral_jax.data import load_mnist
from spiral_jax.data.decoding import as_shown
from spiral_jax.programs import Program
from spiral_jax.tiles import Mosaic
from tests.test_experiments import ROOT
from tests.test_images import SVG

pytestmark = pytest.mark.thorough

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A picture file that falls onto the page, as from a desktop.
DROP = """([bytes, name]) => {
  const transfer = new DataTransfer();
  const file = new File([new Uint8Array(bytes)], name, {type: "image/png"});
  transfer.items.add(file);
  return transfer;
}"""


def digit() -> Image.Image:
    image = load_mnist("", 32, "white").test.images[0]
    return Image.fromarray(image[..., 0]).resize((256, 256))


@pytest.fixture(scope="module")
def page():
    """The page in Debian's chromium; yields playwright's `Page`."""
    for name in ("gradio", "playwright"):
        pytest.importorskip(name, reason=f"{name} is not installed: extra [app]")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "experiments.app", f"--port={port}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, process)
        with sync_playwright() as playwright:
            flags = ["--no-sandbox"]  # or root may not start it
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.set_default_timeout(120_000)
            page.goto(address)
            yield page
            browser.close()
    finally:
        process.terminate()
        process.wait()


def wait_for(address, process) -> None:
    for _ in range(240):
        assert process.poll() is None, "the page's program has ended"
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            time.sleep(1)
    raise TimeoutError(address)


def test_a_picture_is_dropped_painted_and_downloaded(page, tmp_path):
    digit().save(tmp_path / "digit.png")
    content = [list((tmp_path / "digit.png").read_bytes()), "digit.png"]
    transfer = page.evaluate_handle(DROP, content)
    place = page.get_by_text("Drop Image Here").first
    place.dispatch_event("drop", {"dataTransfer": transfer})
    page.locator("img[src*='digit.png']").wait_for()
    page.get_by_role("button", name="Paint it").first.click()
    page.get_by_text("a blank canvas has").wait_for()
    page.locator("img[src$='painting.gif']").wait_for()
    for kind, name in (("SVG", "painting.svg"), ("JSON", "program.json")):
        with page.expect_download() as download:
            page.locator(f"#{kind}").click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    program = Program.from_json((tmp_path / "program.json").read_bytes())
    text = (tmp_path / "painting.svg").read_text(encoding="utf-8")
    assert text == program.to_svg(512)
    assert ElementTree.fromstring(text).findall(f"{SVG}path")


def test_what_the_page_paints(tmp_path):
    """Without a browser: files, words and tiles."""
    read = partial(as_shown, digit())
    paths, said = app.paint(read, tmp_path, "mnist_conditional", num_samples=2)
    assert [path.name for path in paths] == list(
        ("painting.png", "painting.gif", "painting.svg", "program.json")
    )
    assert said.startswith("l2 ")
    assert "\n" not in said  # no warnings
    inverted = {"invert": True, "num_tiles": 2, "brush": "classic/pen"}
    paths, said = app.paint(read, tmp_path, "mnist_conditional", **inverted)
    assert "This picture: light ink on dark" in said
    mosaic = Mosaic.from_json(paths[-1].read_bytes())
    assert mosaic.num_tiles == 2
    with Image.open(paths[0]) as image:
        assert np.asarray(image).shape[:2] == (512, 512)


def test_only_agents_that_look_are_offered():
    assert app.conditional_agents(["mnist", "mnist_conditional"]) == ["mnist_conditional"]
    with pytest.raises(ValueError, match=r"agents=\['mnist'\]: expected a conditional"):
        app.conditional_agents(["mnist"])
