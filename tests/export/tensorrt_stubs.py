"""Type stubs of the real TensorRT bindings, made or mended so that mypy reads them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

_SETTINGS = """[mypy]
python_version = 3.11
namespace_packages = False
check_untyped_defs = True
ignore_missing_imports = True
follow_imports = silent
[mypy-tensorrt.*]
ignore_errors = True
[mypy-tensorrt_bindings.*]
ignore_errors = True
"""
# pybind11 names what Python calls otherwise; a stub that says so would reject what the binding takes.
_SPELLINGS = {r"\bbuffer\b": "bytes", r"typing\.SupportsInt": "int", r"typing_extensions\.Buffer": "bytes"}


def bindings_stub(folder: Path, out: Path) -> Path:
    """Ask bindings that are loaded over empty libraries for their names and signatures."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "libs"), "PYTHONPATH": str(folder / "module")}
    code = "import sys; from mypy.stubgen import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "--inspect-mode", "-m", "tensorrt", "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)
    stub = out / "tensorrt.pyi"
    stub.write_text(mended(stub.read_text()) + "\n__version__: str\n")  # the package adds it, not the binding
    return out


def published_stub(folder: Path, out: Path) -> Path:
    """Copy the published stubs, one module of them, mended."""
    out.mkdir(parents=True, exist_ok=True)
    text = mended((folder / "tensorrt_bindings" / "tensorrt.pyi").read_text())
    (out / "tensorrt.pyi").write_text(text + "\n__version__: str\n")
    return out


def mended(text: str) -> str:
    """Replace what doesn't parse: signatures that pybind11 wrote in C++."""
    for pattern, replacement in _SPELLINGS.items():
        text = re.sub(pattern, replacement, text)
    lines = text.splitlines()
    for _ in range(500):
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = (error.lineno or 1) - 1
            found = re.match(r"(\s*)def (\w+)\(", lines[at])
            lines[at] = f"{found[1]}def {found[2]}(*args, **kwargs): ..." if found else ""
            if not found and at and "def " in lines[at - 1]:
                lines[at - 1] = re.sub(r":\s*$", ": ...", lines[at - 1])
            continue
        return "\n".join(lines)
    raise AssertionError("the stubs can't be mended")


def complaints(stubs: Path, tree: Path, work: Path, modules: tuple[str, ...]) -> str:
    """Run mypy over modules of phonotaxis with these stubs; returns what it says, empty where all is well."""
    work.mkdir(parents=True, exist_ok=True)
    settings = work / "mypy.ini"
    settings.write_text(_SETTINGS)
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(work / "cache")]
    for module in modules:
        command += ["-m", module]
    environment = {**os.environ, "MYPYPATH": f"{stubs}:{tree}"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment, check=False, timeout=600)
    return "" if done.returncode == 0 else done.stdout + done.stderr
