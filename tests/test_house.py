"""The package as a whole: what it names, what it loads, what it says of itself."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fabula

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "fabula"
HEAVY = {"jax", "matplotlib", "numba", "pandas", "polars", "pyarrow", "scipy", "sklearn", "torch"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def _tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of every file that is, or is about to be, in the repository."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this copy of the project is not a git repository")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name.decode() for name in listing.stdout.split(b"\0") if name]
    assert "pyproject.toml" in names
    for name in names:
        path = ROOT / name
        if path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                yield name, content.decode("utf-8")


# --- public names ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", fabula.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(fabula, name)
    assert getattr(value, "__name__", name).rpartition(".")[2] in {name, "__version__"}
    assert name in dir(fabula)
    assert vars(fabula)[name] is value  # the second look-up does not go through __getattr__


def test_type_checkers_see_the_names_of_the_table() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    guarded = next(block for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING")
    seen: dict[str, str | None] = {}
    for statement in guarded.body:
        assert isinstance(statement, ast.ImportFrom)
        for alias in statement.names:
            assert alias.asname == alias.name  # `X as X` is what makes a name public
            home = statement.module
            seen[alias.name] = f"fabula.{alias.name}" if home == "fabula" else home
    assert seen == fabula._HOME


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NaiveBay'"):
        fabula.NaiveBay  # noqa: B018
    with pytest.raises(ImportError, match="NaiveBay"):
        exec("from fabula import NaiveBay")


def test_the_api_page_lists_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(set(fabula.__all__) - {"__version__"})


# --- start-up -------------------------------------------------------------------------------


def test_importing_fabula_loads_no_library() -> None:
    done = _run("-c", "import sys, fabula; print(*sys.modules, sep='\\n')")
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "fabula" in loaded
    assert not loaded & (HEAVY | {"numpy", "cyclopts", "rich", "narwhals"})


def test_help_loads_no_heavy_library() -> None:
    done = _run(
        "-c",
        "import sys\n"
        "from fabula.cli import main\n"
        "sys.argv = ['fabula', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as leaving:\n"
        "    assert not leaving.code, leaving.code\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)\n",
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "fabula" in loaded
    assert not loaded & HEAVY


def test_the_package_runs_as_a_module() -> None:
    done = _run("-m", "fabula", "--help")
    assert done.returncode == 0, done.stderr
    for command in ("fit", "sample", "predict", "impute", "compare", "demo"):
        assert re.search(rf"\b{command}\b", done.stdout), f"{command} is not in the help"


# --- what the project says of itself --------------------------------------------------------


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\S+)", text, flags=re.MULTILINE)
    assert versions[0] == fabula.__version__


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_every_folder_of_the_package_is_a_package() -> None:
    # Without __init__.py a module can be imported under two names, and its classes exist twice.
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_file_that_the_contributing_guide_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|docs|tests|\.ci)/[\w./]*)`", text)
    assert {
        "src/fabula/families/poisson.py",
        "src/fabula/structures/mixture.py",
        "src/fabula/learning/em.py",
    } <= set(named)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_guides_name_every_layer_in_order() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    lines = [re.sub(r"[()]", "", line) for line in contract["layers"]]
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = re.search(r"## Layers.*?```text\n(.*?)```", guide, re.DOTALL)
    assert listed
    there = [line for line in lines if (PACKAGE / line.split(" | ")[0]).is_dir()]
    names = [[name for name in line.split(" | ") if (PACKAGE / name).is_dir()] for line in there]
    assert [line.split(" | ") for line in listed[1].split("\n") if line] == names
    table = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    assert [row.replace("`", "").split(", ") for row in rows][: len(names)] == names


def _pins() -> dict[str, str]:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pin = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line)
            assert pin, f"{line!r} is not a name and a version"
            pins[canonicalize_name(pin[1])] = pin[2]
    return pins


def test_every_requirement_is_pinned_to_a_version_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    pins = _pins()
    for line in (line for group in groups for line in group):
        requirement = Requirement(line)
        if requirement.name != "fabula":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_all_means_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    assert Requirement(everything).extras == set(extras) - {"all"}


def test_no_file_names_a_machine_or_an_address() -> None:
    # Put together from pieces, so that this file does not name them either.
    places = ["/" + place for place in ("work/", "root/", "home/", "opt/", "Users/")]
    hosts = ["py" + "pi", "python" + "hosted", "ana" + "conda"]
    pattern = re.compile(r"(?<![\w.])(" + "|".join(places) + r")|(" + "|".join(hosts) + r")", re.I)
    found = [
        f"{name}: {match[0]}" for name, text in _tracked_texts() for match in pattern.finditer(text)
    ]
    assert found == []


def test_only_the_continuous_check_knows_where_data_may_lie() -> None:
    neighbour = "../" + "shared"
    assert [name for name, text in _tracked_texts() if neighbour in text] == [".ci/run"]


def test_the_constraints_hold_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "@" not in text
