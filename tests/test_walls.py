"""Imports run one way: configs <- envs <- policies <- export <- deploy, and the robot carries little."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("configs", "envs", "policies", "export", "deploy")

# What each package may import of phonotaxis besides itself.
ALLOWED: dict[str, tuple[str, ...]] = {
    "configs": (),
    "envs": ("configs",),
    "policies": ("configs", "envs"),
    "export": ("configs", "envs", "policies"),
    "deploy": ("configs", "export.bundle", "export.engines"),
}
# The part of export that the robot loads must not reach for the rest of it.
ROBOT_EXPORT = tuple(f"export/{name}.py" for name in ("__init__", "bundle", "scan", "signature", "understood"))
ROBOT_EXPORT_ALLOWED = (
    "configs", "export.bundle", "export.engines", "export.scan", "export.signature", "export.understood", "paths",
)  # fmt: skip
FRONT_DOOR = ("version", "__version__", "paths", "figures", "errors")

FORBIDDEN_ON_ROBOT = (
    "torch", "numba", "gymnasium", "scipy", "trimesh", "onnx", "stable_baselines3", "matplotlib",
    "phonotaxis.envs", "phonotaxis.policies",
)  # fmt: skip


def imported(source: str, module: str) -> list[tuple[int, str]]:
    """List every phonotaxis module a file imports at any depth, with its line, without the package's name.

    `module` is the file's own dotted name, which relative imports start from.
    """
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: -node.level]
                base = ".".join([*above, *([base] if base else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and _calls_import(node.func):
            names = [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
        ours = [name for name in names if f"{name}.".startswith("phonotaxis.")]
        found += [(node.lineno, name.removeprefix("phonotaxis.")) for name in ours]
    return found


def _calls_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


def _may(name: str, allowed: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)


def breaches(source: str, path: Path, allowed: tuple[str, ...]) -> list[str]:
    """List the imports of a file that its package may not make."""
    module = ".".join(("phonotaxis", *path.with_suffix("").parts))
    return [f"{path}:{line}: imports {name}" for line, name in imported(source, module) if not _may(name, allowed)]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_stands_before_it(repository: Path, package: str) -> None:
    files = sorted((repository / package).rglob("*.py"))
    assert files
    allowed = (package, *ALLOWED[package])
    # the version of phonotaxis itself may be asked for anywhere
    found = [
        breach
        for file in files
        for breach in breaches(file.read_text(), file.relative_to(repository), (*allowed, *FRONT_DOOR))
    ]
    assert found == []


def test_what_the_robot_loads_of_export_reaches_no_further(repository: Path) -> None:
    files = [repository / name for name in ROBOT_EXPORT] + sorted((repository / "export/engines").rglob("*.py"))
    found = [
        breach
        for file in files
        for breach in breaches(file.read_text(), file.relative_to(repository), ROBOT_EXPORT_ALLOWED)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import phonotaxis.envs.world",
        "from phonotaxis.policies import policy",
        "from phonotaxis import envs",
        "def f():\n    from phonotaxis.export.onnx import export_policy",
        "from ..policies import policy",
        "import importlib\nimportlib.import_module('phonotaxis.envs')",
    ],
)
def test_a_planted_breach_is_seen(line: str) -> None:
    allowed = ("deploy", *ALLOWED["deploy"])
    assert len(breaches(line, Path("deploy/planted.py"), allowed)) == 1


def test_imports_inside_the_walls_are_no_breach() -> None:
    source = "from . import clock\nfrom phonotaxis.export.engines import open_engine\nimport torch"
    assert breaches(source, Path("deploy/planted.py"), ("deploy", *ALLOWED["deploy"])) == []


def test_the_robot_loads_neither_simulator_nor_learning(repository: Path) -> None:
    files = [file for file in (repository / "deploy").rglob("*.py") if file.name != "__main__.py"]
    names = sorted(".".join(("phonotaxis", *file.relative_to(repository).with_suffix("").parts)) for file in files)
    modules = [name.removesuffix(".__init__") for name in names]
    assert "phonotaxis.deploy" in modules
    code = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "import phonotaxis.cli\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "phonotaxis.deploy" in loaded
    assert [name for name in loaded if f"{name}.".startswith(tuple(f"{bad}." for bad in FORBIDDEN_ON_ROBOT))] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_lint_refuses_a_bare_import(repository: Path, package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", "envs/planted.py", "-"],
        input=f'"""Planted."""\nimport {package}\n\nprint({package})\n',
        capture_output=True,
        text=True,
        cwd=repository,
        check=False,
    )
    assert done.returncode == 1
    assert "TID251" in done.stdout
    assert f"import phonotaxis.{package}" in done.stdout
