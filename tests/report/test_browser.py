"""The page as a browser shows it: no complaint, no request, the log's figures, on a desk, on a phone, in the dark, on paper."""

import pytest
from report_browser import CHROMIUM, Browser
from report_making import HOSTILE, finished, lines, report, write_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("browser") / "run", lines(finished()), {HOSTILE: HOSTILE})
    report(folder)
    return folder / "report.html"


def open_page(browser, page, **how):
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page, **how)


def test_no_complaint_and_no_request(browser, page):
    open_page(browser, page)
    assert browser.complaints == []
    assert browser.requests == [page.resolve().as_uri()]
    assert browser.value("document.scripts.length") == 1


def test_a_complaint_and_a_request_would_be_noticed(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<script>console.error('x')</script><img src='missing.png'>")
    open_page(browser, bad)
    browser.wait_for(lambda: len(browser.complaints) >= 2)  # the image's may come after the load event
    assert [address.rpartition("/")[2] for address in browser.requests] == ["bad.html", "missing.png"]


def test_the_figures_shown_are_the_logs(browser, page):
    open_page(browser, page)
    logged = [event for event in finished() if event["event"] == "step"]
    shown = dict(
        browser.value("[...document.querySelectorAll('.tile')].map(t => [...t.children].map(c => c.innerText))")
    )
    assert shown["Steps"].splitlines()[0] == "60 of 60"
    assert shown["Last loss"] == f"{logged[-1]['loss']:.4f}"
    assert shown["Best top-1"].splitlines() == ["70.00 %", "70 of 100 after step 60"]
    assert shown["Waiting for data"].splitlines()[0] == f"{100 * logged[-1]['waiting_share']:.2f} %"
    losses = browser.value("JSON.parse(document.getElementById('figures').textContent).steps.loss")
    assert losses == [event["loss"] for event in logged]


def test_every_plot_has_ink_within_its_frame(browser, page):
    open_page(browser, page)
    sizes = browser.value(
        "[...document.querySelectorAll('svg')].map(s => { const b = s.getBBox(), r = s.getBoundingClientRect();"
        " return [b.width / s.viewBox.baseVal.width, b.height / s.viewBox.baseVal.height, r.width] })"
    )
    assert len(sizes) == 6
    assert all(0.9 < width <= 1.02 and 0.9 < height <= 1.02 and pixels > 400 for width, height, pixels in sizes)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out_sideways(browser, page, width):
    open_page(browser, page, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_dark_mode_turns_paper_and_ink(browser, page):
    open_page(browser, page)
    colours = "['body', '.tile', 'svg text'].map(s => getComputedStyle(document.querySelector(s)))"
    expression = f"{colours}.map((c, i) => i == 2 ? c.fill : c.backgroundColor)"
    light = browser.value(expression)
    browser.appearance("dark")
    dark = browser.value(expression)

    def brightness(colour):
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    assert min(map(brightness, light[:2])) > 600
    assert max(map(brightness, dark[:2])) < 200
    assert brightness(light[2]) < brightness(dark[2])


def test_it_prints(browser, page, tmp_path):
    open_page(browser, page)
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")
