"""A reader of ONNX's wire format that looks a file over before any engine parses it.

Engines parse models in C++ with few bounds, resolve file names that a model gives for its weights, and load
code for operators outside the standard. This module walks the protocol buffer (protobuf.dev, "Encoding";
field numbers from onnx.proto) in plain Python, executes nothing and needs no `onnx` package.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from phonotaxis.configs.contract import MAX_BUNDLE_BYTES

MAX_BYTES = MAX_BUNDLE_BYTES
MAX_FIELDS = 2_000_000  # protobuf fields visited: bounds the time of a hostile file to a few seconds
MAX_GRAPH_DEPTH = 8  # subgraphs of If, Loop and Scan nest; an exporter nests two or three
MAX_NODES = 100_000
MAX_AXES = 8  # of a weight that is read here
MAX_TENSOR_ELEMENTS = MAX_BYTES  # no tensor of a file has more elements than the file may have bytes
STANDARD_DOMAINS = ("", "ai.onnx")
# Arithmetic on tensors, and nothing else: no control flow, no randomness, no strings, no sequences, nothing that looks
# outside the graph. What our exporter writes, with room for other networks.
_ARITHMETIC = """
    Abs Add And ArgMax ArgMin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Constant Conv Cos CumSum
    DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor GRU Gather GatherElements Gelu Gemm
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max
    MaxPool Mean Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow QuantizeLinear RNN Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape
    Sigmoid Sign Sin Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tan Tanh Tile TopK Transpose Trilu
    Unsqueeze Where Xor
"""
OPERATORS = frozenset(_ARITHMETIC.split())
ELEMENT_TYPES = {1: "float32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 6: "int32"}
_SPARSE = "holds a sparse tensor, which a runtime makes dense at any size"  # our exporter writes none

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ScanError(ValueError):
    """The file isn't ONNX, is damaged, or holds what a bundle may not hold."""


class TruncatedError(ScanError):
    """The file ends in the middle of a field."""


@dataclass(frozen=True)
class Port:
    """An input or output of the graph; a dimension is a size, a name (dynamic) or None (unknown)."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...]


@dataclass
class Scan:
    """What was found: the graph's ports, the metadata, and where in the file each metadata value lies."""

    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    value_span: dict[str, tuple[int, int]] = field(default_factory=dict)  # key -> first byte, byte after the last
    opset: int = 0
    nodes: int = 0
    operators: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Field:
    """One field of a message: its number, and a number or the span of its bytes in the file."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def scan_model(data: bytes) -> Scan:
    """Look over the bytes of an ONNX file.

    Args:
        data: the whole file.

    Returns:
        What the file holds.

    Raises:
        TruncatedError: the file ends in the middle of a field.
        ScanError: too large, not ONNX, custom operator domains, external data, sparse tensors, model-local
            functions, training graphs, nesting or counts over their bounds.
    """
    if len(data) > MAX_BYTES:
        raise ScanError(f"{len(data)} bytes, over the bound of {MAX_BYTES}")
    if not data:
        raise ScanError("the file is empty")
    return _Walk(data).model()


def float_tensors(data: bytes, prefix: str) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Find weights of float32 in a file that `scan_model` has passed.

    Args:
        data: the whole file.
        prefix: with which their names begin.

    Returns:
        By the rest of their names, sizes and bytes (little-endian, row by row) of those that have as many as they say.
    """
    walk, found = _Walk(data), {}
    for graph in walk.fields(0, len(data)):
        for item in walk.message(graph, "graph") if graph.number == 7 else ():
            if item.number == 5:
                name, shape, raw = walk.floats(item)
                if name.startswith(prefix) and len(shape) <= MAX_AXES and len(raw) == 4 * math.prod(shape):
                    found[name.removeprefix(prefix)] = shape, raw
    return found


def first_field_end(data: bytes) -> int:
    """Return the offset of the byte after the file's first field."""
    return next(_Walk(data).fields(0, len(data))).end


class _Walk:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.found = Scan()
        self.visited = 0

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise TruncatedError(f"ends within a number at byte {at}")
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
        raise ScanError(f"not ONNX: a number of over ten bytes at byte {at}")

    def fields(self, at: int, end: int) -> Iterator[Field]:
        while at < end:
            self.visited += 1
            if self.visited > MAX_FIELDS:
                raise ScanError(f"more than {MAX_FIELDS} fields")
            tag, start = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            if number == 0 or number >= 1 << 29:
                raise ScanError(f"not ONNX: field number {number} at byte {at}")
            value = 0
            if wire == _VARINT:
                value, at = self.varint(start, end)
            elif wire == _BYTES:
                size, start = self.varint(start, end)
                at = start + size
            elif wire in (_FIXED64, _FIXED32):
                at = start + (8 if wire == _FIXED64 else 4)
            else:
                raise ScanError(f"not ONNX: wire type {wire} at byte {at}")
            if at > end:
                raise TruncatedError(f"a field at byte {start} needs bytes up to {at}, beyond {end}")
            yield Field(number, wire, value, start, at)

    def message(self, item: Field, what: str) -> Iterator[Field]:
        if item.wire != _BYTES:
            raise ScanError(f"not ONNX: {what} has wire type {item.wire} at byte {item.start}")
        return self.fields(item.start, item.end)

    def text(self, item: Field, what: str) -> str:
        if item.wire != _BYTES:
            raise ScanError(f"not ONNX: {what} has wire type {item.wire} at byte {item.start}")
        try:
            return self.data[item.start : item.end].decode()
        except UnicodeDecodeError:
            raise ScanError(f"not ONNX: {what} at byte {item.start} is not UTF-8") from None

    def model(self) -> Scan:
        graphs = 0
        for item in self.fields(0, len(self.data)):
            if item.number == 7:
                graphs += 1
                self.graph(item, depth=1)
            elif item.number == 8:
                self.opset(item)
            elif item.number == 14:
                self.metadata(item)
            elif item.number == 20:
                raise ScanError("holds a training graph")
            elif item.number == 25:
                raise ScanError("holds model-local functions; export with them inlined")
        if graphs != 1:
            raise ScanError(f"not ONNX: {graphs} graphs, expected one")
        if not self.found.opset:
            raise ScanError("not ONNX: no operator set is named")
        return self.found

    def opset(self, item: Field) -> None:
        domain, version = "", 0
        for part in self.message(item, "opset_import"):
            if part.number == 1:
                domain = self.text(part, "opset domain")
            elif part.number == 2:
                version = part.value
        self.standard(domain, "opset_import")
        self.found.opset = version

    def standard(self, domain: str, where: str) -> None:
        if domain not in STANDARD_DOMAINS:
            raise ScanError(f"{where} names the operator domain '{domain[:80]}'; only the standard one is run")

    def metadata(self, item: Field) -> None:
        texts, span = {1: "", 2: ""}, (item.end, item.end)
        for part in self.message(item, "metadata_props"):
            if part.number in texts:
                texts[part.number] = self.text(part, "metadata")
                span = (part.start, part.end) if part.number == 2 else span
        if texts[1] in self.found.metadata:
            raise ScanError(f"metadata key '{texts[1][:80]}' stands twice")
        self.found.metadata[texts[1]] = texts[2]
        self.found.value_span[texts[1]] = span

    def graph(self, item: Field, depth: int) -> None:
        if depth > MAX_GRAPH_DEPTH:
            raise ScanError(f"graphs nest deeper than {MAX_GRAPH_DEPTH}")
        for part in self.message(item, "graph"):
            if part.number == 1:
                self.node(part, depth)
            elif part.number == 5:
                self.tensor(part)
            elif part.number == 15:
                raise ScanError(_SPARSE)
            elif part.number in (11, 12) and depth == 1:
                ports = self.found.inputs if part.number == 11 else self.found.outputs
                ports.append(self.port(part))

    def node(self, item: Field, depth: int) -> None:
        self.found.nodes += 1
        if self.found.nodes > MAX_NODES:
            raise ScanError(f"more than {MAX_NODES} nodes")
        for part in self.message(item, "node"):
            if part.number == 4:
                self.operator(self.text(part, "op_type"))
            elif part.number == 5:
                self.attribute(part, depth)
            elif part.number == 7:
                self.standard(self.text(part, "node domain"), "a node")

    def operator(self, name: str) -> None:
        if name not in OPERATORS:
            raise ScanError(f"a node is a '{name[:80]}'; only arithmetic on tensors is run")
        self.found.operators.add(name)

    def attribute(self, item: Field, depth: int) -> None:
        for part in self.message(item, "attribute"):
            if part.number in (5, 10):
                self.tensor(part)
            elif part.number in (6, 11):
                self.graph(part, depth + 1)
            elif part.number in (22, 23):
                raise ScanError(_SPARSE)

    def tensor(self, item: Field) -> None:
        elements = 1
        for part in self.message(item, "tensor"):
            if part.number == 13 or (part.number == 14 and part.value != 0):
                raise ScanError("keeps weights in another file; a bundle is one file")
            if part.number == 1:
                for dim in self.integers(part):
                    elements *= max(dim, 1)
                    if elements > MAX_TENSOR_ELEMENTS:  # here: a product of a million numbers takes hours
                        raise ScanError(f"a tensor of elements over the bound of {MAX_TENSOR_ELEMENTS}")

    def floats(self, item: Field) -> tuple[str, tuple[int, ...], bytes]:
        """Return name, sizes and bytes of a tensor; no bytes where it isn't of float32."""
        name, kind, shape, raw = "", 0, [], b""
        for part in self.message(item, "tensor"):
            if part.number == 1:
                shape += self.integers(part)
            elif part.number == 2:
                kind = part.value
            elif part.number == 8:
                name = self.data[part.start : part.end].decode(errors="replace")
            elif part.number == 9:
                raw = self.data[part.start : part.end]
        return name, tuple(shape), raw if ELEMENT_TYPES.get(kind) == "float32" else b""

    def integers(self, item: Field) -> list[int]:
        if item.wire == _VARINT:
            return [item.value]
        values, at = [], item.start
        while at < item.end:
            self.visited += 1
            if self.visited > MAX_FIELDS:
                raise ScanError(f"more than {MAX_FIELDS} fields")
            value, at = self.varint(at, item.end)
            values.append(value)
        return values

    def port(self, item: Field) -> Port:
        name, types = "", []
        for part in self.message(item, "value_info"):
            if part.number == 1:
                name = self.text(part, "value name")
            elif part.number == 2:
                types += list(self.message(part, "type"))
        if len(types) != 1 or types[0].number != 1:
            raise ScanError(f"'{name[:80]}' of the graph is not a plain tensor")
        dtype, dims = 0, []
        for part in self.message(types[0], "tensor type"):
            if part.number == 1:
                dtype = part.value
            elif part.number == 2:
                dims += [self.dim(one) for one in self.message(part, "shape") if one.number == 1]
        return Port(name, ELEMENT_TYPES.get(dtype, f"element type {dtype}"), tuple(dims))

    def dim(self, item: Field) -> int | str | None:
        size: int | str | None = None
        for part in self.message(item, "dimension"):
            if part.number == 1:
                size = part.value
            elif part.number == 2:
                size = self.text(part, "dimension name")
        return size
