"""What is installed, what is missing for which job, and the command that mends it."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from phonotaxis import __version__
from phonotaxis.configs.base import ConfigError, did_you_mean
from phonotaxis.figures import Figure, commit
from phonotaxis.paths import cache_dir
from phonotaxis.requirements import State, install_command, states

MIN_FREE_GB = 2.0
_IMPORT_TIMEOUT_S = 180.0

# What a job needs: the extra that brings its packages, further modules, and programs of the system.
_JOBS: dict[str, tuple[str, str]] = {
    "train": ("train", "simulate, train, evaluate, export, demo"),
    "robot": ("robot", "run a policy on a robot, replay its episodes"),
    "bench": ("bench", "compare the acoustics with independent references"),
    "dev": ("dev", "test and change phonotaxis"),
}
DEVICES = "devices"  # as the extra that brings them
_HEADERS = {  # of the system, which a package is built against where it has no wheel, by module
    "pyaudio": ("portaudio19-dev",),
    "gi": ("libgirepository1.0-dev", "libcairo2-dev"),
}
_TYPELIBS = ("Gst", "GstApp")
_TYPELIB_PACKAGES = ("gir1.2-gstreamer-1.0", "gir1.2-gst-plugins-base-1.0")
_DEVICE_PROGRAMS = {"pactl": "pulseaudio-utils", "gst-inspect-1.0": "gstreamer1.0-tools"}

# Imports each module by itself and tells which failed and how; a child's crash can't take doctor along.
_PROBE = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        print(json.dumps([name, ""]), flush=True)
    except BaseException as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"[:200]]), flush=True)
"""


@dataclass(frozen=True)
class Job:
    """Whether one job can run here.

    Attributes:
        name: of the job.
        meaning: what one does in it.
        problems: what stands in its way, empty where it can run.
        remedy: the command that mends it; empty where nothing is to be mended.
    """

    name: str
    meaning: str
    problems: tuple[str, ...]
    remedy: str

    @property
    def ready(self) -> bool:
        """The job can run."""
        return not self.problems


@dataclass(frozen=True)
class Report:
    """What the doctor found: facts of the machine by name, and the jobs by name."""

    facts: dict[str, Figure]
    jobs: dict[str, Job]


def known_job(name: str | None) -> None:
    """Check a job's name, None included.

    Raises:
        ConfigError: there is no such job.
    """
    known = (*_JOBS, DEVICES)
    if name is not None and name not in known:
        raise ConfigError(f"unknown job '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")


def examine(import_packages: bool = True) -> Report:
    """Look at this machine.

    Args:
        import_packages: import what is installed in a process of its own, which takes seconds and finds
            broken installations; otherwise only versions are compared.
    """
    failures: dict[str, str] = {}
    if import_packages:
        extras = ("", DEVICES, *(extra for extra, _ in _JOBS.values()))
        wanted = {state.module for extra in extras for state in states(extra) if state.installed}
        failures = failed_imports(sorted(module for module in wanted if module))
    jobs = {name: _job(name, extra, meaning, failures) for name, (extra, meaning) in _JOBS.items()}
    jobs[DEVICES] = _devices_job(failures, import_packages)
    return Report(_facts(), jobs)


def failed_imports(modules: list[str]) -> dict[str, str]:
    """Import modules in another process.

    Returns:
        The error of each module that can't be imported.
    """
    try:
        done = _python(_PROBE, *modules)
        lines, end = done.stdout.splitlines(), f"the process ended with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        text = error.stdout or b""
        lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
        end = f"no answer in {_IMPORT_TIMEOUT_S:.0f} s"
    told = dict(json.loads(line) for line in lines if line.startswith('["'))
    return {name: told.get(name, end) for name in modules if told.get(name, end)}


def _job(name: str, extra: str, meaning: str, failures: dict[str, str]) -> Job:
    needed = [*states(""), *states(extra)]
    problems = [problem for state in needed if (problem := _problem(state, failures))]
    if not needed:
        problems = ["phonotaxis runs from its sources without being installed"]
    return Job(name, meaning, tuple(problems), install_command(extra) if problems else "")


def _problem(state: State, failures: dict[str, str]) -> str:
    if state.installed is None:
        return f"{state.name} is missing"
    if not state.fits:
        return f"{state.name} {state.installed} is installed, {state.wanted} is needed"
    failure = failures.get(state.module or "")
    return f"{state.name} {state.installed} can't be imported ({failure})" if failure else ""


def _devices_job(failures: dict[str, str], import_packages: bool) -> Job:
    job = _job(DEVICES, DEVICES, "live microphones and cameras", failures)
    programs = [name for name in _DEVICE_PROGRAMS if shutil.which(name) is None]
    packages = [_DEVICE_PROGRAMS[name] for name in programs]
    wrong = [state for state in states(DEVICES) if _problem(state, failures)]
    packages += [header for state in wrong for header in _HEADERS.get(state.module or "", ())]
    typelibs = ""
    if import_packages and any(state.module == "gi" and state not in wrong for state in states(DEVICES)):
        typelibs = _typelib_problem()
        packages += _TYPELIB_PACKAGES if typelibs else ()
    problems = [*job.problems, *(f"{name} is missing" for name in programs), *filter(None, [typelibs])]
    remedies = [f"sudo apt-get install {' '.join(packages)}"] if packages else []
    return Job(DEVICES, job.meaning, tuple(problems), " && ".join([*remedies, *filter(None, [job.remedy])]))


def _typelib_problem() -> str:
    """Say what PyGObject lacks of GStreamer, which is data of the system that no package of Python's brings."""
    done = _python("import gi, sys\nfor name in sys.argv[1:]: gi.require_version(name, '1.0')", *_TYPELIBS)
    return (
        "" if done.returncode == 0 else f"GStreamer can't be loaded ({(done.stderr.splitlines() or ['no word'])[-1]})"
    )


def _facts() -> dict[str, Figure]:
    cache = cache_dir()
    free_gb = shutil.disk_usage(_existing(Path.cwd())).free / 1e9
    return {
        "version": Figure(__version__),
        "commit": Figure(commit()),
        "python": Figure(platform.python_version()),
        "platform": Figure(f"{platform.system()} {platform.release()} {platform.machine()}"),
        "cores": Figure(len(os.sched_getaffinity(0))),
        "engines": Figure(", ".join(_providers()) or None),
        "tensorrt": Figure(importlib.util.find_spec("tensorrt") is not None),
        "pulseaudio": Figure(shutil.which("pulseaudio") is not None),
        "habitat_sim": Figure(_habitat()),
        "cache_folder": Figure(str(cache)),
        "cache_writable": Figure(os.access(_existing(cache), os.W_OK)),
        "cache_size": Figure(_size_mb(cache), "MB"),
        "free_space": Figure(free_gb, "GB"),
        "free_space_enough": Figure(free_gb >= MIN_FREE_GB),
    }


def _habitat() -> str:
    """Say what can be expected of habitat-sim, which the package index has no wheels of."""
    installed = importlib.util.find_spec("habitat_sim") is not None
    here = "installed" if installed else "not installed (conda or a build from source, no wheels)"
    return f"{here}; its scenes can't be read yet"


def _providers() -> list[str]:
    if importlib.util.find_spec("onnxruntime") is None:
        return []
    code = "import onnxruntime, json; print(json.dumps(onnxruntime.get_available_providers()))"
    done = _python(code)
    if done.returncode != 0:
        return []
    return [name.removesuffix("ExecutionProvider") for name in json.loads(done.stdout.splitlines()[-1])]


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in another interpreter, away from the working directory, whose files it might import."""
    command = [sys.executable, "-c", code, *arguments]
    folder = tempfile.gettempdir()
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=_IMPORT_TIMEOUT_S)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def figures(report: Report) -> dict[str, Figure]:
    """Return the report as `--json` prints it: the facts, then each job, its problems and the remedy."""
    found = dict(report.facts)
    for name, job in report.jobs.items():
        found[f"{name}_ready"] = Figure(job.ready)
        found[f"{name}_problems"] = Figure("; ".join(job.problems))
        found[f"{name}_remedy"] = Figure(job.remedy)
    return found


def print_report(report: Report) -> None:
    """Print the report for people on standard output."""
    from rich.console import Console
    from rich.table import Table

    from phonotaxis.figures import readable

    console = Console(highlight=False)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, figure in report.facts.items():
        facts.add_row(name.replace("_", " "), f"{readable(figure.value)} {figure.unit}".rstrip())
    console.print(facts)
    console.print()
    for job in report.jobs.values():
        mark = "[green]ready[/]  " if job.ready else "[red]missing[/]"
        console.print(f"{mark} [bold]{job.name:<7}[/] {job.meaning}")
        for line in _gathered(job.problems):
            console.print(f"        - {line}", markup=False, soft_wrap=True)
        if job.remedy:
            console.print(f"        mend it: {job.remedy}", markup=False, soft_wrap=True)


def _gathered(problems: tuple[str, ...]) -> list[str]:
    """Put all that is missing into one line, before what is wrong in other ways."""
    missing = [problem.removesuffix(" is missing") for problem in problems if problem.endswith(" is missing")]
    others = [problem for problem in problems if not problem.endswith(" is missing")]
    if missing:
        others.insert(0, f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return others
