"""``fabula align``: alignments in every format, how sure they are, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fabula.sequences.alignment import Alignment

HUMAN = "ACGTTAGCTAGGATCCATTACGGATCCA"
CHIMP = "ACGTAGCTAGGCTCCATTTACGGATTCA"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.fa", tmp_path / "b.fa"
    for path, name, sequence in zip(paths, ("human", "chimp"), (HUMAN, CHIMP), strict=True):
        path.write_text(f">{name}\n{sequence}\n")
    return paths


@pytest.mark.parametrize("format", ["fasta", "json", "paf", "cigar"])
def test_formats_can_be_read_back(fabula: Any, pair: tuple[Path, Path], format: str) -> None:
    done = fabula("align", *pair, "--format", format)
    assert done.code == 0, done.err
    assert "rather related" in done.err
    text = done.out.strip()
    read = {
        "fasta": lambda: Alignment.from_fasta(text),
        "json": lambda: Alignment.from_json(text),
        "paf": lambda: Alignment.from_paf(text, HUMAN, CHIMP),
        "cigar": lambda: Alignment.from_cigar(text, HUMAN, CHIMP),
    }[format]()
    assert read.sequences == (HUMAN, CHIMP)
    assert read.counts()["matches"] == 25 and len(read) == 29


def test_picture_and_samples(fabula: Any, pair: tuple[Path, Path], tmp_path: Path) -> None:
    picture = tmp_path / "posterior.png"
    done = fabula("align", *pair, "--samples", 50, "--posterior", picture)
    assert done.code == 0, done.err
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "Of 50 sampled alignments" in done.err
    assert "human  1" in done.out


def test_a_trained_model_is_kept_and_used_again(fabula: Any, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(f">one\n{HUMAN * 6}\n>two\n{CHIMP * 6}\n")
    (tmp_path / "b.fa").write_text(f">uno\n{CHIMP * 6}\n>due\n{HUMAN * 6}\n")
    files, model = (tmp_path / "a.fa", tmp_path / "b.fa"), tmp_path / "pair.fabula"
    done = fabula("align", *files, "--train", "--save", model, "--format", "cigar")
    assert done.code == 0, done.err
    assert "distance: " in done.err and "95 % interval" in done.err
    again = fabula("align", *files, "--model", model, "--format", "cigar")
    assert again.out == done.out
    assert len(done.out.split()) == 2
    shown = fabula("show", model).out
    assert "fitted to 2 pairs" in shown and "insertion" in shown and "kappa" in shown


def test_circles_are_turned(fabula: Any, tmp_path: Path) -> None:
    import numpy as np

    letters = np.array(list("ACGT"))
    circle = "".join(letters[np.random.default_rng(0).integers(4, size=900)])
    (tmp_path / "a.fa").write_text(f">a\n{circle[300:] + circle[:300]}\n")
    (tmp_path / "b.fa").write_text(f">b\n{circle}\n")
    done = fabula("align", tmp_path / "a.fa", tmp_path / "b.fa", "--rotate", "--format", "cigar")
    assert done.out.strip() == "900=", done.err
    assert "begins at its letter 601" in done.err


@pytest.mark.parametrize(
    ("format", "written"),
    [
        ("text", "human and chimp: not aligned"),
        ("cigar", "*"),
        ("paf", "chimp\t30\t0\t0\t*\t*\t0\t0\t0\t0\t0\t0"),
        ("json", '"cigar": ""'),
        ("fasta", ">human"),
    ],
)
def test_unrelated_sequences_have_no_local_alignment(
    fabula: Any, tmp_path: Path, format: str, written: str
) -> None:
    (tmp_path / "a.fa").write_text(f">human\n{'ACAAC' * 6}\n")
    (tmp_path / "b.fa").write_text(f">chimp\n{'TGTTG' * 6}\n")
    done = fabula(
        "align", tmp_path / "a.fa", tmp_path / "b.fa", "--ends", "local", "--samples", 5,
        "--posterior", tmp_path / "p.png", "--format", format,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert written in done.out
    assert "no letters are aligned" in done.err and "warning" not in done.err
    assert "Of 5 sampled alignments" in done.err


def test_proteins(fabula: Any, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKVLAAGIVGLCAKAYWL\n")
    (tmp_path / "b.fa").write_text(">b\nMKVLAGIVGLCARAYWL\n")
    done = fabula(
        "align", tmp_path / "a.fa", tmp_path / "b.fa", "--alphabet", "protein", "--format", "json"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--train", "--distance", "0.1"], "--train finds it"),
        (["--save", "x.fabula"], "give both"),
        (["--substitution", "none"], "before --train"),
        (["--alphabet", "protein", "--substitution", "k80"], "is for DNA"),
        (["--samples", "0"], "--samples is 0"),
        (["--posterior", "x.txt"], ".png"),
        (["--distance", "-1"], "--distance is -1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    fabula: Any, pair: tuple[Path, Path], options: list[str], said: str
) -> None:
    done = fabula("align", *pair, *options)
    assert done.code == 2 and said in done.err, done.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b">x\nMKVLEEPQ\n", "position"),
        (b"ACGT\n", "header"),
        (b"", "empty"),
        (b">x\nACGT\n>y\nACG\n>z\nAC\n", "records"),
        (b"\x1f\x8b\x08\x00\x00", "cut"),
    ],
)
def test_bad_files_are_named(
    fabula: Any, pair: tuple[Path, Path], tmp_path: Path, content: bytes, said: str
) -> None:
    two = tmp_path / "two.fa"
    two.write_text(f">a\n{HUMAN}\n>b\n{CHIMP}\n")
    bad = tmp_path / "bad.fa"
    bad.write_bytes(content)
    done = fabula("align", two, bad, "-o", tmp_path / "out.txt")
    assert done.code == 3 and said in done.err, done.err
    assert not (tmp_path / "out.txt").exists()
