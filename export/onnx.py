"""From a trained policy to a bundle: one ONNX file with everything from waveform to action inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch

from phonotaxis.export.bundle import BATCH_AXIS, NETWORK_KEY, seal
from phonotaxis.export.weights import name_weights
from phonotaxis.policies.policy import ExportablePolicy, Policy

OPSET = 18  # the newest that TensorRT 10 and the oldest supported ONNX Runtime read whole
_TRACE_BATCH = 2  # one would be taken for a constant
_PORT = "port."  # marks ports while tracing: the exporter may call an inner value "mean", as an output is called


class ExportError(RuntimeError):
    """The policy can't be written as ONNX."""


def export_policy(policy: Policy, provenance: dict[str, Any]) -> bytes:
    """Export a policy as a bundle.

    Args:
        policy: trained; its weights aren't changed and its training mode is put back.
        provenance: JSON-able facts of its origin: commit, configuration, figures.

    Returns:
        The bundle's bytes, for `bundle.write_bundle`.

    Raises:
        ExportError: a weight is not finite, or the exporter failed.
        BundleError: the provenance is not JSON.
    """
    for name, value in policy.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise ExportError(f"weight '{name}' is not finite; the training diverged, use an earlier checkpoint")
    model = onnx_model(policy)
    onnx.checker.check_model(model, full_check=True)
    facts = {**provenance, NETWORK_KEY: policy.config.model_dump(mode="json")}
    return seal(model.SerializeToString(deterministic=True), policy.contract, facts)


def onnx_model(policy: Policy) -> onnx.ModelProto:
    """Trace the policy: opset 18, default operators only, weights inside, the batch axis dynamic.

    Raises:
        ExportError: the exporter failed.
    """
    exportable = ExportablePolicy(policy)
    batch = torch.export.Dim(BATCH_AXIS, min=1, max=65536)
    inputs = tuple(torch.zeros((_TRACE_BATCH, *spec.shape), device=policy.device) for spec in policy.contract.inputs())
    was_training = policy.training
    exportable.eval()
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                exportable,
                inputs,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=[_PORT + name for name in exportable.input_names],
                output_names=[_PORT + name for name in exportable.output_names],
                dynamic_shapes=(tuple({0: batch} for _ in inputs),),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"the exporter failed: {str(error).strip().splitlines()[0]}") from error
    finally:
        policy.train(was_training)
    if program is None:
        raise ExportError("the exporter returned nothing")
    model = _tidy(program.model_proto)
    name_weights(model, policy)
    return _name_ports(model)


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what names the machine: stack traces of every node, and notes of the exporter."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for values in (model.graph.input, model.graph.output, model.graph.value_info, model.graph.initializer):
        for value in values:
            del value.metadata_props[:]
            value.doc_string = ""
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]  # shapes are inferred again by whoever reads it
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "phonotaxis"
    return model


def _name_ports(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take the mark off the ports' names, and out of their way any inner value of the same name."""
    graph = model.graph
    marked = [value.name for value in (*graph.input, *graph.output)]
    names = {name.removeprefix(_PORT): f"inner.{name.removeprefix(_PORT)}" for name in marked}
    names |= {name: name.removeprefix(_PORT) for name in marked}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress and its warnings about its own internals; errors still raise."""
    noisy = logging.getLogger("torch.onnx"), logging.getLogger("onnxscript"), logging.getLogger("onnx_ir")
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels):
            logger.setLevel(level)
