"""Models of sequences on the command line: tables, lines, letters, sound; and what goes wrong."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fabula as library


def chain(n_sequences: int = 12, length: int = 30, seed: int = 0) -> pl.DataFrame:
    """Sequences that dwell in two levels; half of the sequences run faster, and say so."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_sequences):
        fast = i % 2
        level = 0
        for t in range(length):
            if rng.random() < (0.5 if fast else 0.05):
                level = 1 - level
            value = 8.0 * level + rng.normal()
            rows.append((f"s{i}", t, value, "fast" if fast else "slow"))
    frame = pl.DataFrame(rows, schema=["who", "when", "value", "pace"], orient="row")
    return frame.sample(fraction=1.0, shuffle=True, seed=seed)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sequences") / "chain.csv"
    chain().write_csv(path)
    return path


@pytest.fixture
def model(fabula: Any, table: Path, tmp_path: Path) -> Path:
    """A hidden Markov model of the table."""
    path = tmp_path / "hmm.fabula"
    done = fabula(
        "fit", table, "--sequence", "who", "--time", "when", "--drop", "pace", "--states", 2,
        "-o", path,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "12 sequences, 360 steps, 2 states" in done.err
    return path


def test_scores_are_those_of_python(fabula: Any, table: Path, model: Path) -> None:
    found = fabula("score", model, table).frame
    estimator = library.load(model)
    frame = chain().drop("pace")
    np.testing.assert_allclose(found["log_density"], estimator.score_samples(frame), rtol=1e-9)
    assert found["steps"].to_list() == [30] * 12
    surprise = fabula("score", model, table, "--steps").frame
    assert surprise.columns == ["who", "when", "surprise"]
    sums = surprise.group_by("who", maintain_order=True).agg(pl.col("surprise").sum())
    np.testing.assert_allclose(-sums["surprise"], found["log_density"], rtol=1e-8)


def test_states_stand_beside_the_rows_of_the_table(fabula: Any, table: Path, model: Path) -> None:
    found = fabula("predict", model, table, "--keep").frame
    assert found["value"].to_list() == pytest.approx(chain()["value"].to_list())
    high = found.filter(pl.col("value") > 4)["state"].unique().to_list()
    low = found.filter(pl.col("value") < 4)["state"].unique().to_list()
    assert len(high) == len(low) == 1 and high != low
    assert (found["p_0"] + found["p_1"]).to_list() == pytest.approx([1.0] * len(found))


def test_sample_show_and_forecast(fabula: Any, table: Path, model: Path) -> None:
    drawn = fabula("sample", model, "-n", 3, "--steps", 7, "--components").frame
    assert drawn.columns == ["who", "when", "value", "state"]
    assert drawn.group_by("who").len()["len"].to_list() == [7, 7, 7]
    shown = fabula("show", model).out
    assert "a hidden Markov chain of 2 states" in shown and "steps of a visit" in shown
    told = fabula("forecast", model, table, "--steps", 4, "--interval", 0.5).frame
    assert len(told) == 48
    assert ((told["value_low"] < told["value"]) & (told["value"] < told["value_high"])).mean() > 0.5
    assert fabula("show", model, "--json").json["parameters"]["is"] == "HiddenMarkov"


def test_gaps_are_filled(fabula: Any, table: Path, model: Path, tmp_path: Path) -> None:
    holes = pl.read_csv(table).with_row_index("row").with_columns(
        pl.when(pl.col("row") % 9 == 0).then(None).otherwise(pl.col("value")).alias("value")
    )  # fmt: skip
    holes.drop("row").write_csv(tmp_path / "holes.csv")
    done = fabula("impute", model, tmp_path / "holes.csv")
    assert done.code == 0, done.err
    assert "Filled 40 of 40 empty cells" in done.err
    whole = pl.read_csv(table)["value"].to_numpy()
    filled = done.frame["value"].to_numpy()
    hidden = np.arange(360) % 9 == 0
    np.testing.assert_allclose(filled[~hidden], whole[~hidden])
    assert np.abs(filled - whole)[hidden].mean() < 3.5  # the wrong level would be 8 away


def test_sequences_of_classes(fabula: Any, table: Path, tmp_path: Path) -> None:
    path = tmp_path / "paces.fabula"
    done = fabula(
        "fit", table, "--sequence", "who", "--time", "when", "--target", "pace", "-o", path
    )
    assert done.code == 0, done.err
    assert "fast (6)" in done.err and "slow (6)" in done.err
    found = fabula("predict", path, table)
    assert "agrees with 100 %" in found.err
    assert found.frame.columns == ["sequence", "predicted_pace", "p_fast", "p_slow"]
    drawn = fabula("sample", path, "-n", 4, "--steps", 5).frame
    assert set(drawn["pace"]) <= {"fast", "slow"} and len(drawn) == 20


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("anna\nhanna\njohanna\nnana\nann\nhan\njohn\njan\n")
    return path


def test_lines_of_text(fabula: Any, names: Path, tmp_path: Path) -> None:
    path = tmp_path / "names.fabula"
    done = fabula("fit", names, "--model", "markov-chain", "--order", 2, "-o", path)
    assert "8 sequences" in done.err and "order 2" in done.err
    drawn = fabula("sample", path, "-n", 6, "--prefix", "ha").out.split()
    assert len(drawn) == 6 and all(name.startswith("ha") for name in drawn)
    assert fabula("score", path, names).frame["steps"].to_list() == [4, 5, 7, 4, 3, 3, 4, 3]
    refused = fabula("predict", path, names)
    assert refused.code == 1 and "no hidden states" in refused.err


def test_lines_of_text_for_hidden_states(fabula: Any, names: Path, tmp_path: Path) -> None:
    done = fabula("fit", names, "--model", "hmm", "-o", tmp_path / "letters.fabula")
    assert "8 sequences, 33 steps, 2 states" in done.err, done.err


def test_a_folder_of_lines_for_each_class(fabula: Any, tmp_path: Path) -> None:
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "vowels.txt").write_text("aeiou\naaee\niouae\neeaa\n")
    (folder / "digits.txt").write_text("12345\n1122\n34512\n2211\n")
    path = tmp_path / "words.fabula"
    done = fabula("fit", folder, "--order", 1, "-o", path)
    assert done.code == 0 and "digits (4)" in done.err, done.err
    (tmp_path / "new.txt").write_text("aei\n123\n")
    found = fabula("predict", path, tmp_path / "new.txt").frame
    assert found["predicted_class"].to_list() == ["vowels", "digits"]


def test_letters_in_fasta(fabula: Any, tmp_path: Path) -> None:
    fasta = tmp_path / "dna.fasta"
    fasta.write_text(">one\nACGTNACGTTACG\nacgt\n>two\nGGGCCCNNGGCC\n")
    path = tmp_path / "dna.fabula"
    done = fabula("fit", fasta, "--model", "hmm", "--states", 2, "-o", path)
    assert done.code == 0, done.err
    assert "29 steps (3 missing)" in done.err
    found = fabula("predict", path, fasta).frame
    assert found["sequence"].to_list() == ["one"] * 17 + ["two"] * 12
    drawn = fabula("sample", path, "-n", 2, "--steps", 61).out.splitlines()
    assert [line[0] for line in drawn if line.startswith(">")] == [">", ">"]
    assert [len(line) for line in drawn if not line.startswith(">")] == [60, 1, 60, 1]
    assert set("".join(line for line in drawn if line[0] != ">")) <= set("ACGT")


def test_unknown_letters_are_filled(fabula: Any, tmp_path: Path) -> None:
    """Letters alternate, so that what is lost is plain; case and known letters stay."""
    fasta = tmp_path / "dna.fa"
    fasta.write_text(">one first\n" + "AC" * 40 + "\n>two\n" + "CA" * 40 + "\n")
    path = tmp_path / "dna.fabula"
    done = fabula("fit", fasta, "--model", "hmm", "--states", 2, "-o", path)
    assert done.code == 0, done.err
    holes = tmp_path / "holes.fa"
    holes.write_text(">x\nACACACNCACAC\nacnc\n>y\nNACA\n")
    done = fabula("impute", path, holes)
    assert done.code == 0 and "Filled 3 of 20 letters, which were N" in done.err, done.err
    assert done.out.split() == [">x", "ACACACACACACacac", ">y", "CACA"]
    out = tmp_path / "draws.fa"
    assert fabula("impute", path, holes, "--how", "draw", "--draws", 2, "-o", out).code == 0
    assert [line for line in out.read_text().split() if line[0] == ">"] == [
        ">x_draw1", ">y_draw1", ">x_draw2", ">y_draw2",
    ]  # fmt: skip
    refused = fabula("impute", path, holes, "-o", tmp_path / "draws.csv")
    assert refused.code == 2 and ".fasta" in refused.err
    assert fabula("fit", fasta, "-o", tmp_path / "chain.fabula").code == 0
    refused = fabula("impute", tmp_path / "chain.fabula", holes)
    assert refused.code == 1 and "across a gap" in refused.err and "hmm" in refused.err


def test_the_unknown_letter_is_that_of_the_fit(fabula: Any, tmp_path: Path) -> None:
    """N is asparagine in a protein, also in a peptide whose letters could all be nucleotides."""
    (tmp_path / "p.fa").write_text(">p\nMKVLNAXWNKVMLN\n")
    done = fabula("fit", tmp_path / "p.fa", "--model", "hmm", "-o", tmp_path / "p.fabula")
    assert "(1 missing)" in done.err
    (tmp_path / "short.fa").write_text(">s\nNNKV\n")
    done = fabula("impute", tmp_path / "p.fabula", tmp_path / "short.fa")
    assert done.out.split() == [">s", "NNKV"] and "Filled 0" in done.err


def test_a_text_file_is_told_from_a_table(fabula: Any, names: Path, tmp_path: Path) -> None:
    done = fabula("fit", names, "-o", tmp_path / "names.fabula")
    assert "MarkovChain: 8 sequences" in done.err and "--text whole" in done.err, done.err
    tables = {
        "cells.txt": "a,b\n1.5,x\n2.5,y\n",
        "numbers.txt": "1.5\n2.5\n7\n",
        "colours.txt": "red\nblue\n" * 5,
    }
    for name, content in tables.items():
        (tmp_path / name).write_text(content)
        done = fabula("fit", tmp_path / name, "-o", tmp_path / f"{name}.fabula")
        assert "Markov" not in done.err, done.err
    prose = "It was the best of times,\nit was the worst of times\n"
    (tmp_path / "prose.txt").write_text(prose)
    done = fabula("fit", tmp_path / "prose.txt", "-o", tmp_path / "prose.fabula")
    assert "MarkovChain: 2 sequences" in done.err
    refused = fabula("fit", names, "--target", "x", "-o", tmp_path / "no.fabula")
    assert refused.code == 2 and "no column 'x'" in refused.err


def test_a_markov_chain_of_a_column_of_a_table(fabula: Any, table: Path, tmp_path: Path) -> None:
    path = tmp_path / "paces.fabula"
    for options, n in ((["--sequence", "who", "--time", "when"], 12), (["--drop", "who"], 1)):
        drop = ["--drop", "value"] + (["--drop", "when"] if n == 1 else [])
        done = fabula(
            "fit", table, "--model", "markov-chain", *options, *drop, "-o", path, "--force"
        )
        assert f"{n} sequence" in done.err and "360 steps" in done.err, done.err
        drawn = fabula("sample", path, "-n", 3, "--steps", 50).frame
        assert set(drawn["pace"]) <= {"fast", "slow"}
        assert {"who", "sequence"} & set(drawn.columns)


def test_classes_of_lines_are_drawn_with_their_ends(fabula: Any, tmp_path: Path) -> None:
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "long.txt").write_text("aaaaaaaa\naaaaaaab\n" * 5)
    (folder / "short.txt").write_text("x\ny\n" * 5)
    path = tmp_path / "words.fabula"
    assert fabula("fit", folder, "--order", 3, "-o", path).code == 0
    lines = [line.split("\t") for line in fabula("sample", path, "-n", 60).out.splitlines()]
    sizes = {c: np.mean([len(t) for label, t in lines if label == c]) for c in ("long", "short")}
    assert sizes["short"] < 3 < sizes["long"]
    assert max(len(t) for _, t in lines) < 60


def test_models_from_python_are_asked_as_they_were_fitted(fabula: Any, tmp_path: Path) -> None:
    frame = chain().drop("pace")
    numbers = frame.select("value")
    frame.write_csv(tmp_path / "frame.csv")
    numbers.write_csv(tmp_path / "numbers.csv")
    (tmp_path / "lines.txt").write_text("anna\nnana\n")
    framed = library.HiddenMarkovModel(2, sequence="who", time="when", random_state=0).fit(frame)
    plain = library.HiddenMarkovModel(2, random_state=0).fit(numbers.to_numpy())
    texts = library.MarkovChain(1).fit(["anna", "hanna"])
    for model, name, n in (
        (framed, "frame.csv", 12),
        (plain, "numbers.csv", 1),
        (texts, "lines.txt", 2),
    ):
        path = tmp_path / f"{name}.fabula"
        library.save(model, path)
        assert len(fabula("score", path, tmp_path / name).frame) == n
        assert fabula("sample", path, "-n", 2, "--steps", 3).code == 0


def test_questions_about_columns_and_pictures_are_refused(
    fabula: Any, table: Path, model: Path, names: Path, tmp_path: Path
) -> None:
    refused = fabula("condition", model, "--given", "value=1", "-o", tmp_path / "no.fabula")
    assert refused.code == 1 and "length is not known" in refused.err
    refused = fabula("plot", model, table, "-o", tmp_path / "no.png")
    assert refused.code == 2 and "model of sequences" in refused.err
    for option in ("--drop", "--target"):
        refused = fabula(
            "fit", names, "--model", "markov-chain", option, "x", "-o", tmp_path / "no.fabula"
        )
        assert refused.code == 2 and f"{option} names a column of a table" in refused.err


def tone(path: Path, pitch: float, seconds: float = 0.3, rate: int = 8000) -> None:
    rng = np.random.default_rng(int(pitch))
    t = np.arange(int(seconds * rate)) / rate
    wiggle = pitch * (1 + 0.05 * np.sin(2 * np.pi * 4 * t))
    values = 8000 * np.sin(2 * np.pi * np.cumsum(wiggle) / rate) + 300 * rng.normal(size=len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(values)}h", *values.astype(int)))


def test_a_folder_of_sounds(fabula: Any, tmp_path: Path) -> None:
    for name, pitch in (("low", 300), ("high", 1400)):
        for i in range(3):
            tone(tmp_path / "sounds" / name / f"{i}.wav", pitch + 10 * i)
    path = tmp_path / "sounds.fabula"
    done = fabula("fit", tmp_path / "sounds", "--states", 2, "--set", "emission=diag", "-o", path)
    assert done.code == 0, done.err
    found = fabula("predict", path, tmp_path / "sounds")
    assert "agrees with 100 %" in found.err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--sequence", "nobody"], 2, "no column 'nobody'"),
        (["--sequence", "who", "--time", "then"], 2, "no column 'then'"),
        (["--sequence", "who", "--target", "value"], 3, "30 different labels"),
        (["--sequence", "who", "--components", "2"], 2, "--components is for tables"),
        (["--sequence", "who", "--states", "0"], 2, "--states is 0"),
        (["--sequence", "who", "--model", "lda"], 2, "independent rows"),
        (["--sequence", "who", "--order", "3"], 2, "--order is for"),
        (["--model", "markov-chain", "--states", "3"], 2, "--states is for"),
        (["--sequence", "who", "--calibrate", "sigmoid"], 2, "there are none here"),
        (["--states", "2"], 2, "models of sequences"),
        (["--target", "pace", "--model", "hmm"], 2, "--sequence"),
    ],
)
def test_what_makes_no_sense_is_refused(
    fabula: Any, table: Path, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    done = fabula("fit", table, *options, "-o", tmp_path / "no.fabula")
    assert (done.code, said in done.err) == (code, True), done.err
    assert not (tmp_path / "no.fabula").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.fasta", b"", "empty"),
        ("headless.fasta", b"ACGT\nACGT\n", "header"),
        ("cut.fasta.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x74", "cut"),
        ("latin.txt", "café\n".encode("latin-1"), "line 1"),
        ("blank.txt", b"\n\n", "no line with a character"),
    ],
)
def test_files_that_cannot_be_used(
    fabula: Any, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    done = fabula("fit", path, "--model", "markov-chain", "-o", tmp_path / "no.fabula")
    assert done.code == 3 and said in done.err, done.err
    assert name in done.err


def test_a_folder_without_sequences(fabula: Any, tmp_path: Path) -> None:
    done = fabula("fit", tmp_path, "-o", tmp_path / "no.fabula")
    assert done.code == 2 and "holds no sequences" in done.err


def test_questions_of_the_other_shape_of_data(
    fabula: Any, table: Path, model: Path, tmp_path: Path
) -> None:
    refused = fabula("sample", model, "--given", "value=3")
    assert refused.code == 2 and "--given is for tables" in refused.err
    refused = fabula("predict", model, table, "--prior", "estimate")
    assert refused.code == 2 and "independent rows" in refused.err
    path = tmp_path / "rows.fabula"
    assert fabula("fit", table, "--model", "mixture", "-k", 2, "-o", path).code == 0
    for question in (["score", path, table, "--steps"], ["sample", path, "--prefix", "a"]):
        refused = fabula(*question)
        assert refused.code == 2 and "models of sequences" in refused.err
    refused = fabula("forecast", path, table)
    assert refused.code == 2 and "independent rows" in refused.err
