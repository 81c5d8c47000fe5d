"""Shows a person what stands in a bundle."""

from __future__ import annotations

from phonotaxis.configs.contract import Contract, DiscreteActions, TensorSpec
from phonotaxis.configs.goal import spoken
from phonotaxis.export.bundle import PRECISION_KEY, Bundle
from phonotaxis.export.scan import scan_model

Section = tuple[str, list[tuple[str, ...]]]


def sections(bundle: Bundle) -> list[Section]:
    """Return titles with rows of text: what goes in, what comes out, what it was made for, where it is from.

    What a stranger wrote must not move the cursor of whoever reads it: what can't be printed becomes a question mark.
    """
    contract = bundle.contract
    shown: list[Section] = [
        ("file", _file(bundle)),
        ("sees, each step", [_row(spec) for spec in contract.inputs()]),
        ("says", [_row(spec) for spec in contract.outputs()]),
        ("made for", _made_for(bundle)),
        ("comes from", _provenance(bundle)),
    ]
    return [(title, [tuple(map(_printable, row)) for row in rows]) for title, rows in shown]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _file(bundle: Bundle) -> list[tuple[str, ...]]:
    scan = scan_model(bundle.data)
    return [
        ("path", str(bundle.path)),
        ("sha256", bundle.sha256),
        ("size", f"{len(bundle.data):,} bytes"),
        ("precision", str(bundle.provenance.get(PRECISION_KEY, "fp32"))),
        ("graph", f"{scan.nodes} operators of {len(scan.operators)} kinds, opset {scan.opset}"),
    ]


def _row(spec: TensorSpec) -> tuple[str, ...]:
    shape = " x ".join(map(str, spec.shape)) or "scalar"
    bounded = abs(spec.low) < float("inf") and abs(spec.high) < float("inf")
    span = f"{spec.low:g} to {spec.high:g}" if bounded else ""
    return spec.name, f"{spec.dtype} {shape}", " ".join(part for part in (span, spec.unit) if part), spec.meaning


def _made_for(bundle: Bundle) -> list[tuple[str, ...]]:
    contract, camera, body = bundle.contract, bundle.contract.camera, bundle.contract.body
    rows: list[tuple[str, ...]] = [
        ("task", contract.task),
        ("step", f"{contract.control_period_s:g} s: {contract.hop_samples} samples at {contract.sample_rate_hz} Hz"),
        ("window", f"{contract.window_samples} samples"),
        ("array", f"{contract.array.mics} microphones: {_positions(bundle)}"),
        (
            "camera",
            f"{camera.width} x {camera.height}, {camera.min_range_m:g} to {camera.max_range_m:g} m, "
            f"mounted at {list(camera.mount_xyz_m)} m{_view(contract)}",
        ),
        ("body", f"radius {body.radius_m:g} m, {body.max_v_mps:g} m/s, {body.max_w_radps:.3g} rad/s"),
        ("odometry", contract.motion_source),
    ]
    if isinstance(contract.actions, DiscreteActions):
        named = zip(contract.actions.names, contract.actions.setpoints)
        rows.append(("actions", ", ".join(f"{name} ({v:g} m/s, {w:.3g} rad/s)" for name, (v, w) in named)))
    else:
        rows.append(("actions", "continuous: v, w, stop"))
    if contract.goal is not None:
        known = ", ".join(map(spoken, bundle.knows))
        rows.append(("goal", "said in words" + (f"; knows by name: {known}" if known else "")))
    return rows


def _positions(bundle: Bundle) -> str:
    return (
        "; ".join(", ".join(f"{1000 * x:.1f}" for x in place) for place in bundle.contract.array.positions_m()) + " mm"
    )


def _provenance(bundle: Bundle) -> list[tuple[str, ...]]:
    return [(key, _short(value)) for key, value in sorted(bundle.provenance.items())]


def _short(value: object) -> str:
    if isinstance(value, dict):
        text = ", ".join(f"{key} {_leaf(one)}" for key, one in value.items())
    else:
        text = _leaf(value)
    return text if len(text) <= 600 else text[:597] + "..."


def _leaf(value: object) -> str:
    """Write a value in a few words; what has parts of its own is only counted: `--json` has it whole."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return f"({len(value)} parts)"
    if isinstance(value, list):
        return f"({len(value)} parts)" if any(isinstance(one, dict | list) for one in value) else str(value)
    return str(value)


def _view(contract: Contract) -> str:
    """Say how much of the image has to show something, where that isn't all of it."""
    if contract.view_deg is None:
        return ""
    return "; {:g} x {:g} degrees of it seen".format(*contract.view_deg)
