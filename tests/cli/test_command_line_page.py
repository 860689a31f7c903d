"""The page on the command line: each of its commands is run, and has to say what the page says."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command_line.md"
BLOCKS = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
SAME = doctest.OutputChecker()


def _commands() -> list[tuple[str, str]]:
    """Each command of the page, with what the page says that it prints."""
    parts = [part for block in BLOCKS for part in re.split(r"^\$ ", block, flags=re.M)[1:]]
    return [(command, said) for command, _, said in (part.partition("\n") for part in parts)]


def test_every_example_prints_what_the_page_says(
    fabula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = _commands()
    assert len(commands) > 8
    for command, said in commands:
        if "|" in shlex.split(command):
            printed = _in_a_shell(command)
        else:
            program, *arguments = shlex.split(command)
            assert program == "fabula"
            done = fabula(*arguments)
            assert done.code == 0, done.err
            printed = done.err + done.out
        assert SAME.check_output(said, printed, doctest.ELLIPSIS), f"$ {command}\n{printed}"


def _in_a_shell(command: str) -> str:
    """What is printed where several programs are joined; standard output comes first."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | {"PATH": scripts},
    )
    return done.stdout + done.stderr
