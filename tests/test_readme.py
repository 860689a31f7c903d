"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from fabula.cli._capabilities import capabilities

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_table_of_models_is_what_the_models_say() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| model | columns |"))
    end = next(i for i, line in enumerate(lines) if i > start and not line.startswith("|"))
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[start:end])
    written = {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in rows}
    said = {
        found.python: {
            "columns": found.data.removeprefix("columns "),
            **{question: "yes" if can else "-" for question, can in found.answers.items()},
        }
        for found in capabilities()
    }
    assert written == said


def test_every_page_that_is_linked_exists() -> None:
    for name in re.findall(r"\]\((docs/[^)#]+)", README.read_text(encoding="utf-8")):
        assert (README.parent / name).is_file(), name
