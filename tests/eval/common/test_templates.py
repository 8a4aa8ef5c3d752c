"""Templates: no text that enters HTML is ever taken for a tag."""

import sys

import pytest
from support.pages import Page

from dilo.eval.common.templates import render

EVIL = "<script>alert('x')</script> & \"quoted\" \u202e\x1b[0m\udcff"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package with templates."""
    (tmp_path / "strange" / "templates").mkdir(parents=True)
    (tmp_path / "strange" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "strange" / "templates"
    sys.modules.pop("strange", None)


def test_text_is_escaped_wherever_it_enters_and_once(package):
    (package / "a.html.j2").write_text(
        "{% macro cell(x) %}<b>{{ x }}</b>{% endmacro %}"
        '<p title="{{ evil }}">{{ evil }}{{ cell(evil) }}{{ 3 }}</p>'
    )
    text = render("strange", "a.html.j2", evil=EVIL)
    text.encode()
    page = Page(text)
    shown = EVIL.replace("\u202e\x1b[0m\udcff", r"\u202e\x1b[0m\udcff")
    assert page.text == f"{shown}{shown}3"
    assert page.attributes("p", "title") == [shown]
    assert {name for name, _ in page.tags} == {"p", "b"}


def test_a_markdown_template_takes_text_as_it_is(package):
    (package / "a.md.j2").write_text("{{ text }}\n")
    assert render("strange", "a.md.j2", text="`a < b`\nc") == "`a < b`\nc\n"
