"""The type check sees every module: a check that looks at two files passes just as well."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def check_types(repository: Path) -> ModuleType:
    """Load the tool that lays the links and runs mypy; tools/ is no package."""
    spec = importlib.util.spec_from_file_location("check_types", repository / "tools/check_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(repository: Path, check_types: ModuleType, tmp_path: Path) -> Path:
    """Copy the sources, so that errors can be planted."""
    for name in ("phonotaxis", *check_types.PACKAGES):
        shutil.copytree(repository / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_module_stands_in_the_tree(repository: Path, check_types: ModuleType, tmp_path: Path) -> None:
    tree = check_types.lay_links(repository, tmp_path / "links")
    modules = check_types.modules(repository)
    for module in modules:
        inner = module if module.parts[0] == "phonotaxis" else Path("phonotaxis", module)
        assert (tree / inner).resolve() == repository / module
    linked = [file for link in (tree / "phonotaxis").iterdir() for file in _python_files(link)]
    assert len(linked) == len(modules)


def _python_files(link: Path) -> list[Path]:
    return list(link.resolve().rglob("*.py")) if link.is_dir() else [link] if link.suffix == ".py" else []


def test_links_that_are_not_wanted_any_more_are_removed(check_types: ModuleType, copy: Path) -> None:
    (copy / "phonotaxis/planted.py").touch()
    tree = check_types.lay_links(copy, copy / ".typing")
    assert (tree / "phonotaxis/planted.py").is_symlink()
    (copy / "phonotaxis/planted.py").unlink()
    check_types.lay_links(copy, tree)
    assert not (tree / "phonotaxis/planted.py").is_symlink()


def test_mypy_checks_every_module_and_finds_an_error_in_each_package(
    repository: Path, check_types: ModuleType, copy: Path
) -> None:
    # mypy's cache of the last run is taken along, so that this takes seconds
    if (repository / ".mypy_cache").is_dir():
        shutil.copytree(repository / ".mypy_cache", copy / ".mypy_cache")
    deepest = [
        max((m for m in check_types.modules(copy) if m.parts[0] == package), key=lambda m: len(m.parts))
        for package in ("phonotaxis", *check_types.PACKAGES)
    ]
    for module in deepest:
        with (copy / module).open("a") as file:
            file.write("\n\nPLANTED: int = 'text'\n")
    code, text = check_types.run_mypy(copy, check_types.lay_links(copy, copy / ".typing"), [])
    assert code == 1, text
    for module in deepest:
        assert re.search(rf"^{re.escape(str(module))}:\d+: error: Incompatible types in assign", text, re.MULTILINE)
    checked = re.search(r"checked (\d+) source files", text)
    assert checked is not None, text
    assert int(checked.group(1)) == len(check_types.modules(copy))
