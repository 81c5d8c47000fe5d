"""What is built and installed is what stands in the checkout, and every supported Python can have it."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import phonotaxis
from phonotaxis import requirements

PACKAGES = ("configs", "envs", "policies", "export", "deploy")
FORBIDDEN_ON_ROBOT = ("torch", "numba", "gymnasium", "scipy", "trimesh", "onnx", "matplotlib")


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> str:
    """Text of pyproject.toml; Python 3.10 has no TOML reader."""
    return (repository / "pyproject.toml").read_text()


def _list(text: str, key: str) -> list[str]:
    """Read a list of strings from TOML text."""
    match = re.search(rf"^{key} = \[(.*?)^\]|^{key} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    assert match is not None, key
    body = re.sub(r"#.*", "", match.group(1) or match.group(2))
    return re.findall(r'"([^"]+)"', body)


def sources(repository: Path) -> list[Path]:
    """List every file of the packages, caches left out."""
    found = [file for name in ("phonotaxis", *PACKAGES) for file in (repository / name).rglob("*")]
    return [file for file in found if file.is_file() and "__pycache__" not in file.parts]


def test_every_folder_with_code_is_a_listed_package(repository: Path, pyproject: str) -> None:
    folders = {file.parent for file in sources(repository) if file.suffix == ".py"}
    names = [folder.relative_to(repository).parts for folder in folders]
    expected = {".".join(parts if parts[0] == "phonotaxis" else ("phonotaxis", *parts)) for parts in names}
    assert set(_list(pyproject, "packages")) == expected
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_data_file_is_shipped(repository: Path, pyproject: str) -> None:
    packages = {"configs": "phonotaxis.configs", "phonotaxis/episode_page": "phonotaxis.episode_page"}
    packages |= {"export": "phonotaxis.export", "deploy/jetson": "phonotaxis.deploy.jetson"}
    patterns = {folder: _list(pyproject, f'"{package}"') for folder, package in packages.items()}
    files = [file.relative_to(repository) for file in sources(repository) if file.suffix != ".py"]
    assert len(files) > 4
    for file in files:
        shipped = any(
            file.is_relative_to(folder) and file.relative_to(folder).match(glob)
            for folder, globs in patterns.items()
            for glob in globs
        )
        assert shipped or file.name == "py.typed", f"{file} is in no package-data"


def test_version_and_licence_are_said_the_same_everywhere(pyproject: str, repository: Path) -> None:
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert f'version = "{phonotaxis.__version__}"' in pyproject
    assert citation["version"] == phonotaxis.__version__
    assert f'license = "{citation["license"]}"' in pyproject
    assert (citation["cff-version"], citation["title"]) == ("1.2.0", "phonotaxis")


def test_installed_metadata_is_that_of_the_checkout(pyproject: str) -> None:
    listed = {canonicalize_name(Requirement(text).name) for text in _list(pyproject, "train")}
    installed = {canonicalize_name(state.name) for state in requirements.states("train")}
    assert listed - {"phonotaxis"} <= installed, "pyproject.toml has changed since the installation; type: make venv"


def test_the_robot_needs_neither_simulator_nor_learning() -> None:
    names = {canonicalize_name(state.name) for extra in ("", "robot") for state in requirements.states(extra)}
    assert "onnxruntime" in names
    assert names.isdisjoint(FORBIDDEN_ON_ROBOT)


def test_everything_train_needs_is_installed_and_fits() -> None:
    assert [state for state in requirements.states("train") if not state.fits] == []


def test_an_extra_is_found_for_a_module() -> None:
    assert requirements.extra_of_module("onnxruntime.capi") == "robot"
    assert requirements.extra_of_module("torch") == "train"
    assert requirements.extra_of_module("yaml") == ""
    assert requirements.extra_of_module("antigravity") is None
    with pytest.raises(
        ValueError, match="unknown extra 'all' .known: robot, devices, train, sign, sofa, lerobot, rerun, bench, dev."
    ):
        requirements.states("all")


def test_the_console_script_exists() -> None:
    import importlib.metadata

    scripts = importlib.metadata.entry_points(group="console_scripts", name="phonotaxis")
    assert {script.value for script in scripts} == {"phonotaxis.cli:main"}


def test_pre_commit_and_make_run_the_same_checks(repository: Path) -> None:
    hooks = (repository / ".pre-commit-config.yaml").read_text()
    makefile = (repository / "Makefile").read_text()
    for tool in ("ruff check", "ruff format", "tools/check_types.py"):
        assert tool in hooks
        assert tool in makefile


def test_caches_are_ignored_by_git(repository: Path) -> None:
    ignored = (repository / ".gitignore").read_text().split()
    assert {".venv/", ".typing/", "runs/", "__pycache__/", ".mypy_cache/"} <= set(ignored)


def test_no_setup_cfg_shadows_pyproject(repository: Path) -> None:
    config = configparser.ConfigParser()
    assert config.read(repository / "setup.cfg") == []
