"""The articles of the Swift libraries show the programs of Tests/UserPackage, which `make docs` builds and runs."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("library, article, program", [("AuditClient", "AppendFromAHub", "RemoteHub"), ("AuditLog", "EmbedALog", "EmbeddedLog")])
def test_an_article_shows_its_program_word_for_word(library: str, article: str, program: str):
    page = (ROOT / f"Sources/{library}/{library}.docc/{article}.md").read_text()
    assert (ROOT / f"Tests/UserPackage/Sources/{program}/{program}.swift").read_text() in page
