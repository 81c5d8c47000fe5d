"""Where caches go: to the user's cache folder, numba's compiled kernels among them."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

CACHE_VARIABLE = "PHONOTAXIS_CACHE"
NUMBA_VARIABLE = "NUMBA_CACHE_DIR"


def cache_dir() -> Path:
    """Return the cache folder, which may not exist yet.

    `$PHONOTAXIS_CACHE`, or `phonotaxis` in `$XDG_CACHE_HOME` (a relative one is ignored, as the XDG Base
    Directory Specification asks), or in `~/.cache`; without a home, a folder of the user's in the temporary
    directory.
    """
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):
        return Path(xdg) / "phonotaxis"
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        return Path(home) / ".cache" / "phonotaxis"
    return Path(tempfile.gettempdir()) / f"phonotaxis-{os.getuid()}"


def source_roots() -> tuple[Path, ...]:
    """Return the folders whose files hold compiled kernels, in a checkout or an installed package."""
    here = Path(__file__).resolve().parent
    parent = here if (here / "envs").is_dir() else here.parent
    return (parent / "envs", parent / "policies")


def kernel_digest(roots: Iterable[Path]) -> str:
    """Return 12 hex digits over the text of all that is compiled, writes what is compiled, or is imported there.

    numba renews a cached kernel when the file it stands in changes, but not when a function or a constant from another
    file does that is compiled into it; a cache folder named after all of them can't serve a stale kernel.
    """
    texts: dict[Path, bytes] = {}
    for root in roots:
        for path in root.rglob("*.py"):
            text = path.read_bytes()
            if b"njit" in text or b"numba" in text:
                texts[path] = text
                names = re.findall(rb"from phonotaxis\.([\w.]+) import", text)
                files = [root.parent.joinpath(*name.decode().split(".")).with_suffix(".py") for name in names]
                texts |= {file: file.read_bytes() for file in files if file.is_file()}
    digest = hashlib.sha256()
    for path in sorted(texts):
        digest.update(path.name.encode() + b"\0" + texts[path] + b"\0")
    return digest.hexdigest()[:12]


def numba_cache_dir() -> Path:
    """Return the folder of numba's compiled kernels for the sources at hand."""
    return cache_dir() / "numba" / kernel_digest(source_roots())


def use_user_cache() -> None:
    """Point numba at the user's cache folder, unless told otherwise; call before numba is imported."""
    if not os.environ.get(NUMBA_VARIABLE):
        os.environ[NUMBA_VARIABLE] = str(numba_cache_dir())
