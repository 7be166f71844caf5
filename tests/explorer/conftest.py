"""Fixtures of the explorer's tests: pages of small models in a browser."""

import pytest
from sheets import KINDS, Sheet, subject

from gdl.explorer import write_page

OWN = ("file:", "data:", "blob:")


@pytest.fixture
def open_page(chromium):
    """A function that opens a page from file:// and waits until it has decoded.

    After the test no console error, no violation of the content security policy and no request but for
    the file itself may have come.
    """
    wrong, tabs = [], []

    def open_page(path, **options):
        tab = chromium.new_page(**options)
        tabs.append(tab)
        tab.on(
            "console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None
        )
        tab.on("pageerror", lambda e: wrong.append(str(e)))
        tab.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(OWN) else None)
        tab.goto(f"file://{path}", timeout=120_000)
        tab.wait_for_selector("html[data-ready]", timeout=120_000)
        return tab

    yield open_page
    for tab in tabs:
        tab.close()
    # tests read canvases, which a page does not
    assert [text for text in wrong if "willReadFrequently" not in text] == []


@pytest.fixture(scope="session")
def sheet_pages(tmp_path_factory):
    """Pages with a canvas, and their models, by the names of sheets.KINDS."""
    folder, found = tmp_path_factory.mktemp("sheets"), {}
    for kind in KINDS:
        about = subject(kind)
        found[kind] = write_page(about, folder / f"{kind}.html"), about.model
    return found


@pytest.fixture
def open_sheet(sheet_pages, open_page):
    """A function that opens the page of a kind, and returns its `Sheet` and the model."""

    def open_sheet(kind, **options):
        path, model = sheet_pages[kind]
        sheet = Sheet(open_page(path, **options))
        sheet.settle()
        return sheet, model

    return open_sheet
