from __future__ import annotations

from fabula.report.document import Document, Section, TextTable

DOCUMENT = Document(
    "A study",
    ("First.", "Second."),
    (
        Section("One", ("It holds 12 % of it.",), TextTable(("a", "b"), ((1, "x"),)), ("one.png",)),
        Section("Two", ("word " * 40 + "end.",)),
    ),
)


def test_markdown() -> None:
    text = DOCUMENT.to_markdown()
    assert text.startswith("# A study\n\nFirst. Second.\n\n## One\n\nIt holds 12 % of it.\n\n| a |")
    assert "![One](one.png)" in text
    assert text.endswith("end.\n")


def test_text_is_wrapped_and_keeps_numbers_with_their_sign() -> None:
    text = DOCUMENT.to_text(width=40)
    assert max(map(len, text.splitlines())) <= 40
    assert "12\N{NO-BREAK SPACE}%" in text
    assert ".png" not in text
    assert "  a  b" in text
