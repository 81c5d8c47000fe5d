"""Parse and build bundles with NVIDIA's own parser and builder; run in a process of its own.

usage: rtx_build.py FOLDER_OF_TENSORRT_RTX BUNDLE...     prints a JSON object for each bundle
"""

from __future__ import annotations

import json
import sys
from typing import Any

sys.path.insert(0, sys.argv[1])
import tensorrt_rtx_bindings as rtx

sys.modules["tensorrt"] = rtx
from phonotaxis.export.bundle import read_bundle  # noqa: E402
from phonotaxis.export.engines import EngineError, tensorrt_build  # noqa: E402
from phonotaxis.export.scan import scan_model  # noqa: E402

DEVICES = ("SM80", "SM86", "SM89", "SM120")


def _for_devices(config: Any) -> None:
    config.num_compute_capabilities = len(DEVICES)
    for index, name in enumerate(DEVICES):
        assert config.set_compute_capability(getattr(rtx.ComputeCapability, name), index)


def report(path: str) -> dict[str, Any]:
    """Return what parser and builder make of a bundle."""
    bundle = read_bundle(path)
    operators = scan_model(bundle.data).operators
    found: dict[str, Any] = {"operators": sorted(operators), "unsupported": tensorrt_build.unsupported(operators)}
    log = tensorrt_build.Log()
    builder = rtx.Builder(log)
    network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    try:
        tensorrt_build.parse(bundle.data, network, log)
        told: list[str] = []
        built = tensorrt_build.build_plan(
            bundle.data, bundle.contract.inputs(), tensorrt_build.Shapes(), b"", told.append, _for_devices
        )
    except EngineError as error:
        return found | {"error": str(error)}
    ports = [network.get_output(index) for index in range(network.num_outputs)]
    dtypes = [network.get_layer(index).get_output(0).dtype.name for index in range(network.num_layers)]
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    return found | {
        "inputs": {port.name: port.dtype.name for port in inputs},
        "outputs": {port.name: port.dtype.name for port in ports},
        "layers": network.num_layers,
        "half_layers": dtypes.count("HALF"),
        "int8_layers": dtypes.count("INT8"),
        "plan_bytes": len(built.plan),
        "told": told,
    }


if __name__ == "__main__":
    print(json.dumps({path: report(path) for path in sys.argv[2:]}))
