from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from phonotaxis.configs.contract import Contract
from phonotaxis.export import bundle as bundle_module
from phonotaxis.export.bundle import BundleError, open_bundle, read_bundle, seal, write_bundle

Write = Callable[[bytes], Path]


def _reseal(data: bytes) -> bytes:
    """Repair the seal of an altered file, as a careful forger would."""
    first, last = bundle_module.scan_model(data).value_span["phonotaxis.sha256"]
    unsealed = data[:first] + b"0" * 64 + data[last:]
    return data[:first] + hashlib.sha256(unsealed).hexdigest().encode() + data[last:]


def test_round_trip(contract: Contract, tiny_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "policy.onnx"
    write_bundle(path, tiny_bytes)
    bundle = read_bundle(path)
    assert bundle.contract == contract
    assert bundle.provenance == {"commit": "abc"}
    assert bundle.data == tiny_bytes
    assert bundle.sha256 == hashlib.sha256(tiny_bytes).hexdigest()
    state = bundle.initial_state(3)
    assert state.shape == (3, 4)
    assert state.dtype == np.float32
    assert not state.any()


def test_is_still_onnx(tiny_bytes: bytes) -> None:
    onnx.checker.check_model(onnx.load_from_string(tiny_bytes), full_check=True)


def test_sealing_is_deterministic(contract: Contract, model: onnx.ModelProto, tiny_bytes: bytes) -> None:
    assert seal(model.SerializeToString(), contract, {"commit": "abc"}) == tiny_bytes


def test_cut_at_any_byte_is_refused(tiny_bytes: bytes) -> None:
    for end in range(len(tiny_bytes)):
        with pytest.raises(BundleError):
            open_bundle(tiny_bytes[:end])


def test_any_altered_byte_is_refused(tiny_bytes: bytes) -> None:
    for at in range(len(tiny_bytes)):
        altered = bytearray(tiny_bytes)
        altered[at] ^= 1 << (at % 8)
        with pytest.raises(BundleError):
            open_bundle(bytes(altered))


def test_appended_bytes_are_refused(tiny_bytes: bytes) -> None:
    with pytest.raises(BundleError, match="cut short or appended to"):
        open_bundle(tiny_bytes + b"\x0a\x00")


def test_altered_weights_are_named_so(tiny_bytes: bytes) -> None:
    altered = tiny_bytes.replace(b"tiny", b"tidy")
    assert altered != tiny_bytes
    with pytest.raises(BundleError, match="altered since it was exported"):
        open_bundle(altered)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        read_bundle(tmp_path / "none.onnx")
    with pytest.raises(BundleError, match="not a file"):
        read_bundle(tmp_path)


def test_not_onnx(write: Write) -> None:
    with pytest.raises(BundleError, match="refused: the file is empty"):
        read_bundle(write(b""))
    with pytest.raises(BundleError, match=r"bundle\.onnx"):
        read_bundle(write(b"hello, this is a text file"))


def test_too_large_is_not_read_whole(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "MAX_BYTES", 10)
    with pytest.raises(BundleError, match="over 10 bytes"):
        read_bundle(write(b"x" * 100))


def test_onnx_of_others(write: Write, model: onnx.ModelProto) -> None:
    with pytest.raises(BundleError, match="not a phonotaxis bundle"):
        read_bundle(write(model.SerializeToString()))


def test_newer_contract_and_format(tiny_bytes: bytes) -> None:
    newer = _reseal(tiny_bytes.replace(b'"version":1', b'"version":9'))
    with pytest.raises(BundleError, match="contract version 9"):
        open_bundle(newer)
    at = tiny_bytes.index(b"phonotaxis.format\x12\x01") + len(b"phonotaxis.format\x12\x01")
    newer = _reseal(tiny_bytes[:at] + b"7" + tiny_bytes[at + 1 :])
    with pytest.raises(BundleError, match="bundle format '7'"):
        open_bundle(newer)


def test_ports_must_be_the_contracts(contract: Contract, model: onnx.ModelProto) -> None:
    other = contract.model_copy(update={"state_shape": (5,)})
    with pytest.raises(BundleError, match="input 'state_in' is float32"):
        seal(model.SerializeToString(), other, {})
    model.graph.input[0].name = "sound"
    with pytest.raises(BundleError, match="its contract says"):
        seal(model.SerializeToString(), contract, {})


@pytest.mark.parametrize("shape", [(10**9,), (1, 1, 1, 1, 4), (0,), (-4,), (5000, 5000)])
def test_the_state_that_a_contract_asks_for_is_bounded(
    contract: Contract, model: onnx.ModelProto, shape: tuple[int, ...]
) -> None:
    with pytest.raises(BundleError, match=r"state_shape: .*at most 4 sizes of 1 or more, 20000000 numbers in all"):
        seal(model.SerializeToString(), contract.model_copy(update={"state_shape": shape}), {})


def test_a_fixed_batch_is_refused(contract: Contract, model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(BundleError, match="'audio'"):
        seal(model.SerializeToString(), contract, {})


def test_refuses_to_seal_twice(contract: Contract, tiny_bytes: bytes) -> None:
    with pytest.raises(BundleError, match="already"):
        seal(tiny_bytes, contract, {})


@pytest.mark.parametrize("provenance", [{"a": float("nan")}, {"a": object()}, {"a": "x" * 1_000_001}])
def test_provenance_must_be_plain(contract: Contract, model: onnx.ModelProto, provenance: dict) -> None:
    with pytest.raises(BundleError, match="provenance"):
        seal(model.SerializeToString(), contract, provenance)


def test_hostile_json_with_a_good_seal(tiny_bytes: bytes) -> None:
    text = json.dumps({"commit": "abc"}, separators=(",", ":")).encode()
    for hostile in (b"[" * len(text), b"1" * len(text), b'"' + b"x" * (len(text) - 2) + b'"'):
        with pytest.raises(BundleError, match="provenance"):
            open_bundle(_reseal(tiny_bytes.replace(text, hostile)))


def test_refuses_to_write_anything_else(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "x.onnx", b"not a bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tiny_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bundle(path, tiny_bytes)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy.onnx"]


def test_reading_needs_no_learning_packages() -> None:
    code = (
        "import sys, phonotaxis.export.bundle, phonotaxis.export.engines.onnx_runtime;"
        "bad = {'torch', 'numba', 'gymnasium', 'scipy', 'trimesh', 'onnx'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
