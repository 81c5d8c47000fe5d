"""The bundle: one ONNX file, waveform in, action out, that carries its own contract and a seal.

Metadata keys of the ONNX file (`metadata_props`):

| key | value |
|---|---|
| `phonotaxis.format` | version of this layout |
| `phonotaxis.size_bytes` | length of the whole file, so that a cut file is known as such |
| `phonotaxis.sha256` | the seal: SHA-256 of the whole file with these 64 hex digits replaced by zeros |
| `phonotaxis.contract` | `Contract.to_json()`: what goes in and out, the array, the camera, the front end |
| `phonotaxis.provenance` | JSON object: where the policy came from |

They stand near the head of the file, before the weights. The seal finds damage and careless edits; it is no
signature: whoever can write the file can seal it again.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.atomic_file import replace_file, sync_folder
from phonotaxis.configs.contract import Contract, TensorSpec
from phonotaxis.export.scan import (
    MAX_BYTES,
    Port,
    Scan,
    ScanError,
    TruncatedError,
    first_field_end,
    scan_model,
)
from phonotaxis.export.signature import SignatureError as SignatureError  # raised by `read_bundle`
from phonotaxis.export.signature import check_signature
from phonotaxis.export.understood import Understood, understood, understood_kinds

FORMAT_VERSION = "1"
BATCH_AXIS = "batch"
FORMAT_KEY = "phonotaxis.format"
SIZE_KEY = "phonotaxis.size_bytes"
SEAL_KEY = "phonotaxis.sha256"
CONTRACT_KEY = "phonotaxis.contract"
PROVENANCE_KEY = "phonotaxis.provenance"
NETWORK_KEY = "network"  # of the provenance: the sizes of the network
PRECISION_KEY = "precision"  # of the provenance; absent for full precision
_MAX_METADATA_BYTES = 1_000_000
_SIZE_DIGITS = 12
_UNSEALED = "0" * 64


class BundleError(ValueError):
    """The file can't be used as a policy; the message says why and what to do."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked.

    Attributes:
        path: where it was read from.
        data: the whole file; engines are given these bytes, never the path: what runs is what was checked.
        sha256: of `data`, in hex: the bundle's identity in logs.
        contract: what the policy sees and says.
        provenance: where the policy came from, as its trainer wrote it.
    """

    path: Path
    data: bytes = field(repr=False)
    sha256: str
    contract: Contract
    provenance: dict[str, Any]

    def initial_state(self, batch: int = 1) -> np.ndarray:
        """Return the recurrent state before a first step: zeros, float32 [batch, *state_shape]."""
        return np.zeros((batch, *self.contract.state_shape), dtype=np.float32)

    @property
    def knows(self) -> tuple[str, ...]:
        """Kinds of sound that it understands a sentence to name; none where it takes the words as they are."""
        return understood_kinds(self.provenance.get(NETWORK_KEY))

    def understood(self, goal: np.ndarray) -> Understood | None:
        """Return what the policy takes a goal for, see `export.understood`; None where it takes the words as they are.

        Args:
            goal: float32 [n], of `configs.goal.told_goal`.
        """
        return understood(self.data, self.knows, goal)


def read_bundle(path: str | Path, signers: Sequence[str] = ()) -> Bundle:
    """Read a bundle and check everything that can be checked without executing it.

    Args:
        path: the file.
        signers: public keys (`export.signature`), one of which must have signed the file; none asks for no signature.

    Raises:
        SignatureError: it isn't signed by one of the signers; checked before anything else.
        BundleError: missing, unreadable, too large, not ONNX, not ours, cut, altered, of a newer version,
            or holding what a bundle may not hold (external data, custom operators, model-local functions).
    """
    path = Path(path)
    data = _read(path)
    if signers:
        check_signature(path, data, signers)
    return open_bundle(data, path)


def open_bundle(data: bytes, path: str | Path = "bundle.onnx") -> Bundle:
    """Check a bundle that is already in memory; `path` is what errors call it. Raises as `read_bundle`."""
    path = Path(path)
    try:
        scan = scan_model(data)
    except TruncatedError as error:
        raise BundleError(f"{path}: damaged or cut short ({error}); copy it again from where it was made") from None
    except ScanError as error:
        raise BundleError(f"{path}: refused: {error}; expected a file that `phonotaxis export` wrote") from None
    _check_seal(path, data, scan)
    contract = _contract(path, scan)
    _check_ports(path, "input", scan.inputs, contract.inputs())
    _check_ports(path, "output", scan.outputs, contract.outputs())
    provenance = _provenance(path, scan.metadata.get(PROVENANCE_KEY, "{}"))
    return Bundle(path, data, hashlib.sha256(data).hexdigest(), contract, provenance)


def seal(model: bytes, contract: Contract, provenance: dict[str, Any]) -> bytes:
    """Make a bundle of an ONNX model: add the metadata and the seal.

    Args:
        model: an ONNX file's bytes, without phonotaxis metadata.
        contract: what the model sees and says.
        provenance: JSON-able facts of its origin (commit, data, seeds, figures).

    Returns:
        The bundle's bytes; equal arguments give equal bytes.

    Raises:
        BundleError: the model is not ONNX, already sealed or doesn't fit the contract; provenance isn't JSON.
    """
    try:
        known = scan_model(model).metadata
        at = first_field_end(model)  # after `ir_version`, so that the file still begins as ONNX files do
    except ScanError as error:
        raise BundleError(f"can't make a bundle of this model: {error}") from None
    if any(key.startswith("phonotaxis.") for key in known):
        raise BundleError("the model carries phonotaxis metadata already; seal the exporter's own output")
    values = {
        FORMAT_KEY: FORMAT_VERSION,
        SIZE_KEY: "0" * _SIZE_DIGITS,
        SEAL_KEY: _UNSEALED,
        CONTRACT_KEY: contract.to_json(),
        PROVENANCE_KEY: _json(provenance),
    }
    size = len(model) + sum(len(_entry(key, value)) for key, value in values.items())
    values[SIZE_KEY] = f"{size:0{_SIZE_DIGITS}d}"
    props = b"".join(_entry(key, value) for key, value in values.items())
    unsealed = model[:at] + props + model[at:]
    first, last = scan_model(unsealed).value_span[SEAL_KEY]
    data = unsealed[:first] + hashlib.sha256(unsealed).hexdigest().encode() + unsealed[last:]
    open_bundle(data, "the exported model")
    return data


def write_bundle(path: str | Path, data: bytes) -> None:
    """Write a bundle so that a crash leaves either the old file or the whole new one.

    Args:
        path: where to.
        data: what `seal` returned.

    Raises:
        BundleError: `data` is not a bundle.
        OSError: the disk is full or the folder can't be written; nothing is left behind.
    """
    path = Path(path)
    open_bundle(data, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data, mode=0o644)
    sync_folder(path.parent)


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for its writer
            raise BundleError(f"{path}: not a file; name a bundle, e.g. policy.onnx")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: can't be read ({error.strerror or error})") from None
    if len(data) > MAX_BYTES:
        raise BundleError(f"{path}: over {MAX_BYTES} bytes, too large for a bundle")
    return data


def _check_seal(path: Path, data: bytes, scan: Scan) -> None:
    if FORMAT_KEY not in scan.metadata or SEAL_KEY not in scan.metadata:
        raise BundleError(f"{path}: an ONNX file, but not a phonotaxis bundle; make one with `phonotaxis export`")
    if scan.metadata[FORMAT_KEY] != FORMAT_VERSION:
        raise BundleError(
            f"{path}: bundle format {scan.metadata[FORMAT_KEY]!r}, this phonotaxis reads {FORMAT_VERSION}; "
            "upgrade phonotaxis or export the policy again"
        )
    if scan.metadata.get(SIZE_KEY) != f"{len(data):0{_SIZE_DIGITS}d}":
        raise BundleError(
            f"{path}: {len(data)} bytes, sealed with {scan.metadata.get(SIZE_KEY, '?').lstrip('0')}: "
            "cut short or appended to; copy it again from where it was made"
        )
    first, last = scan.value_span[SEAL_KEY]
    digest = hashlib.sha256(data[:first] + _UNSEALED.encode() + data[last:]).hexdigest()
    if digest != scan.metadata[SEAL_KEY]:
        raise BundleError(f"{path}: altered since it was exported (its seal doesn't match); export or copy it again")


def _contract(path: Path, scan: Scan) -> Contract:
    text = scan.metadata.get(CONTRACT_KEY)
    if text is None or len(text) > _MAX_METADATA_BYTES:
        raise BundleError(f"{path}: no contract, or one over {_MAX_METADATA_BYTES} bytes; export the policy again")
    try:
        return Contract.from_json(text, str(path))
    except ValueError as error:  # ConfigError, and json's refusal of enormous numbers
        raise BundleError(str(error)) from None


def _provenance(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text[: _MAX_METADATA_BYTES + 1])
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: the provenance is not JSON ({error}); export the policy again") from None
    if not isinstance(value, dict):
        raise BundleError(f"{path}: the provenance is {type(value).__name__}, expected an object; export again")
    return value


def _check_ports(path: Path, kind: str, ports: list[Port], specs: tuple[TensorSpec, ...]) -> None:
    got, expected = [port.name for port in ports], [spec.name for spec in specs]
    if got != expected:
        raise BundleError(f"{path}: {kind}s {got}, its contract says {expected}; export the policy again")
    for port, spec in zip(ports, specs):
        if port.dtype != spec.dtype or port.dims != (BATCH_AXIS, *spec.shape):
            raise BundleError(
                f"{path}: {kind} '{port.name}' is {port.dtype} {list(port.dims)}, its contract says "
                f"{spec.dtype} {[BATCH_AXIS, *spec.shape]}; export the policy again"
            )


def _json(provenance: dict[str, Any]) -> str:
    try:
        text = json.dumps(provenance, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BundleError(f"the provenance can't be written as JSON: {error}") from None
    if len(text) > _MAX_METADATA_BYTES:
        raise BundleError(f"the provenance takes {len(text)} bytes, over the bound of {_MAX_METADATA_BYTES}")
    return text


def _entry(key: str, value: str) -> bytes:
    pair = b"".join(
        tag + _varint(len(part)) + part for tag, part in ((b"\x0a", key.encode()), (b"\x12", value.encode()))
    )
    return b"\x72" + _varint(len(pair)) + pair  # field 14, length-delimited


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
