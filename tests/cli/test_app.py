from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import fabula as package
from fabula.cli import ask, main
from fabula.core.errors import (
    CannotAnswerError,
    ConvergenceWarning,
    DataError,
    FileFormatError,
    UsageError,
)

COMMANDS = (
    "fit", "sample", "score", "predict", "impute", "condition", "compare", "schema", "show",
    "models", "plot", "demo",
)  # fmt: skip


def _start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fabula", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_help_names_every_command_and_goes_to_standard_output(fabula: Any) -> None:
    done = fabula("--help")
    assert done.code == 0
    assert not done.err
    for command in COMMANDS:
        assert f" {command} " in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(fabula: Any, command: str) -> None:
    done = fabula(command, "--help")
    assert done.code == 0
    assert f"Usage: fabula {command}" in done.out
    assert "[default: False]" not in done.out


def test_without_a_command_there_is_help(fabula: Any) -> None:
    assert "Usage: fabula COMMAND" in fabula().out


def test_the_version(fabula: Any) -> None:
    assert fabula("--version").out.strip() == package.__version__


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fitt", "x.csv"], "Did you mean"),
        (["fit", "x.csv"], "requires an argument"),
        (["fit", "x.csv", "-o", "m.fabula", "--sed", "1"], "--seed"),
        (["fit", "x.csv", "-o", "m.fabula", "--seed", "one"], "int"),
        (["fit", "x.csv", "-o", "m.fabula", "--model", "forest"], "naive-bayes"),
        (["show", "a.fabula", "b.fabula"], "nothing to do with 'b.fabula'"),
        (["sample"], "requires an argument"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(fabula: Any, arguments: list[str], said: str) -> None:
    done = fabula(*arguments)
    assert done.code == 2
    assert not done.out
    assert done.err.startswith("fabula: error: ")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert "--help" in done.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such way"), 2),
        (DataError("row 3"), 3),
        (FileFormatError("cut"), 3),
        (CannotAnswerError("sample", "Divider", "it has no density", ("NaiveBayes",)), 1),
    ],
)
def test_errors_on_purpose_leave_with_their_code(
    fabula: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(path: str) -> None:
        raise error

    monkeypatch.setattr(ask, "load_model", fail)
    done = fabula("score", folder / "bayes.fabula", folder / "people.csv")
    assert (done.code, done.out) == (code, "")
    assert done.err == f"fabula: error: {error}\n"


def test_a_defect_is_one_line_and_code_1(
    fabula: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(ask, "load_model", fail)
    done = fabula("score", folder / "bayes.fabula", folder / "people.csv")
    assert done.code == 1
    assert done.err == (
        "fabula: error: this is a defect of fabula: ZeroDivisionError: by zero; run with "
        "FABULA_DEBUG=1 for the traceback.\n"
    )


def test_with_debugging_there_is_a_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: str) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(ask, "load_model", fail)
    monkeypatch.setenv("FABULA_DEBUG", "1")
    with pytest.raises(SystemExit) as leaving:
        main(["score", str(folder / "bayes.fabula"), str(folder / "people.csv")])
    assert leaving.value.code == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(KeyboardInterrupt(), 130, "nothing was written"), (MemoryError(), 1, "not enough memory")],
)
def test_interruption_and_lack_of_memory(
    fabula: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(path: str) -> None:
        raise error

    monkeypatch.setattr(ask, "load_model", fail)
    done = fabula("score", folder / "bayes.fabula", folder / "people.csv")
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_warnings_are_lines_on_standard_error_once_each(
    fabula: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ask.load_model

    def warn(path: str) -> Any:
        for _ in range(3):
            warnings.warn("stopped early:\nraise max_iter", ConvergenceWarning, stacklevel=1)
        warnings.warn("log of 0", RuntimeWarning, stacklevel=1)
        warnings.warn("for programmers", DeprecationWarning, stacklevel=1)
        return real(path)

    monkeypatch.setattr(ask, "load_model", warn)
    done = fabula("score", folder / "bayes.fabula", folder / "people.csv")
    assert done.code == 0
    assert done.err.splitlines()[:2] == [
        "fabula: warning: stopped early: raise max_iter",
        "fabula: warning: log of 0 (RuntimeWarning)",
    ]
    assert "programmers" not in done.err
    assert done.frame.columns == ["log_density"]


def test_a_fit_that_stops_early_warns(fabula: Any, folder: Path, tmp_path: Path) -> None:
    done = fabula(
        "fit", folder / "numbers.csv", "--model", "gaussian-mixture", "-k", 3, "--set",
        "max_iter=1", "--set", "tol=0", "-o", tmp_path / "m.fabula",
    )  # fmt: skip
    assert done.code == 0
    assert "fabula: warning: GaussianMixture stopped before it converged" in done.err


def test_nobody_reads_any_more(folder: Path) -> None:
    with _start("sample", folder / "bayes.fabula", "-n", 200_000) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=120) == 141


_READY = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what started the tests may ignore it
import fabula.tables
from fabula.cli import main
print("ready", file=sys.stderr, flush=True)
main(sys.argv[1:])
"""


def test_interrupting_leaves_nothing_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _READY, "fit", "-", "-o", str(tmp_path / "m.fabula")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # Standard input that never ends keeps the command reading for as long as we like.
        process.stdin.write(b"a,b\n1,2\n")
        process.stdin.flush()
        assert process.stderr.readline() == b"ready\n"
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == b"fabula: interrupted: nothing was written\n"
    assert list(tmp_path.iterdir()) == []


_TURNED_INTO_ANOTHER_ERROR = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fabula.cli import app
def called(arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise BaseException("panicked") from None
app._call = called
app.main(sys.argv[1:])
"""


def test_an_interrupt_is_one_whatever_a_library_makes_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TURNED_INTO_ANOTHER_ERROR, "models"], capture_output=True
    )
    assert done.returncode == 130
    assert done.stderr == b"fabula: interrupted: nothing was written\n"


def test_threads_do_not_change_a_bit(fabula: Any, folder: Path) -> None:
    one, two = (
        fabula("score", folder / "bayes.fabula", folder / "people.csv", "--threads", n)
        for n in (1, 2)
    )
    assert one.out == two.out
    assert fabula("score", folder / "bayes.fabula", folder / "people.csv", "--threads", 0).code == 2


def test_an_interrupt_says_what_the_same_command_goes_on_from(tmp_path, capsys):
    from fabula.cli import _interrupts

    _interrupts.remember_interrupts()
    assert _interrupts.what_was_kept() == "nothing was written"
    part = tmp_path / "part"
    _interrupts.keeps_going_in(str(part))
    assert _interrupts.what_was_kept() == "nothing was written"
    part.write_bytes(b"weights")
    assert f"goes on from {part}" in _interrupts.what_was_kept()
    _interrupts.keeps_going_in(str(part))
    assert "Going on from" in capsys.readouterr().err
    _interrupts.remember_interrupts()
    assert _interrupts.what_was_kept() == "nothing was written"
