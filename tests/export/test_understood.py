"""What a sentence is taken for is read from the policy's file alone, and is what the policy itself makes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from phonotaxis.configs.goal import SURE, embed, nothing_named
from phonotaxis.envs.instructions import draw_sentence
from phonotaxis.envs.sounds import TRAINING_KINDS
from phonotaxis.export.bundle import NETWORK_KEY, Bundle, open_bundle, read_bundle
from phonotaxis.export.precision import convert
from phonotaxis.export.scan import float_tensors
from phonotaxis.export.shipped import shipped_policy
from phonotaxis.export.understood import KINDS_KEY, Understood
from phonotaxis.export.weights import restored_policy
from phonotaxis.policies.understanding import Understanding

KNOWN = ("telephone", "kettle")


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    path = shipped_policy()
    assert path is not None
    return read_bundle(path)


@pytest.fixture(scope="module")
def understanding(shipped: Bundle) -> Understanding:
    found = restored_policy(shipped).front_ends.understanding
    assert found is not None
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_is_what_the_network_makes_of_it(shipped: Bundle, understanding: Understanding, precision: str) -> None:
    bundle = shipped if precision == "fp32" else open_bundle(convert(shipped, precision))
    others = (kind for kind in (*TRAINING_KINDS[1:], TRAINING_KINDS[0]))
    texts = [draw_sentence("validation", kind, [next(others)], at) for at, kind in enumerate(TRAINING_KINDS)]
    texts += ["go to the xylophone", "find what is not there", "the dog", "a person"]
    sure = 0
    for text in texts:
        taken = bundle.understood(embed(text))
        assert taken is not None
        with torch.no_grad():
            likely = understanding.likely(torch.from_numpy(embed(text).copy())[None])[0].numpy()
        assert taken.kind == understanding.kinds[int(likely.argmax())]
        assert taken.probability == pytest.approx(float(likely.max()), abs=1e-5)
        assert (taken.kind if taken.sure else None) == understanding.kind_of(text)
        sure += taken.sure
    assert 0 < sure < len(texts)  # else neither case is tried


def test_what_names_nothing_is_taken_for_nothing(shipped: Bundle) -> None:
    assert shipped.understood(nothing_named()) is None


def test_a_policy_that_takes_words_as_they_are_says_nothing(tiny_bundle: Bundle) -> None:
    assert tiny_bundle.understood(embed("the kettle")) is None


@pytest.mark.parametrize(
    "network",
    [
        "all",
        {KINDS_KEY: 12},
        {KINDS_KEY: []},
        {KINDS_KEY: ["telephone"]},
        {KINDS_KEY: ["a"] * 13},
        {},
        {KINDS_KEY: ["\x1b[2J"] * 12},
    ],
)
def test_a_file_that_does_not_hold_what_it_says_is_not_believed(shipped: Bundle, network: object) -> None:
    strange = dataclasses.replace(shipped, provenance={NETWORK_KEY: network})
    assert strange.understood(embed("the kettle")) is None


@pytest.mark.parametrize("harm", ["fewer", "more", "elements", "absent", "axes", "not a number"])
def test_weights_that_do_not_fit_are_not_multiplied(shipped: Bundle, harm: str) -> None:
    model = onnx.load_from_string(shipped.data)
    at = next(i for i, one in enumerate(model.graph.initializer) if one.name.endswith("understanding.layers.2.weight"))
    found = model.graph.initializer[at]
    if harm == "fewer":
        found.raw_data = found.raw_data[:-4]
    elif harm == "more":
        found.dims[0] += 1
    elif harm == "elements":
        found.data_type = onnx.TensorProto.FLOAT16
    elif harm == "axes":
        found.dims.extend([1] * 70)  # more than NumPy has
    elif harm == "not a number":
        found.raw_data = np.full(found.dims, np.nan, dtype=np.float32).tobytes()
    else:
        del model.graph.initializer[at]
    assert dataclasses.replace(shipped, data=model.SerializeToString()).understood(embed("the kettle")) is None


def test_tensors_are_read_as_onnx_reads_them(shipped: Bundle) -> None:
    read = float_tensors(shipped.data, "weight.")
    initializers = onnx.load_from_string(shipped.data).graph.initializer
    expected = {one.name.removeprefix("weight."): one for one in initializers if one.name.startswith("weight.")}
    assert read.keys() == expected.keys()
    for name, (shape, raw) in read.items():
        values = np.frombuffer(raw, dtype="<f4").reshape(shape)
        assert np.array_equal(values, onnx.numpy_helper.to_array(expected[name])), name


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.97, "'the doorbell' is taken for: alarm beeps (97% sure)"), (SURE - 0.01, "taken for no kind")],
)
def test_a_person_is_told_in_words(probability: float, words: str) -> None:
    said = Understood((*KNOWN, "alarm_beeps"), "alarm_beeps", probability).told("the doorbell")
    assert words in said
    assert ("telephone, kettle" in said) == (probability < SURE)
