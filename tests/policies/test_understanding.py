"""What a sentence means is learnt from sentences alone, and stands before a policy that stays as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from phonotaxis.configs import contract as names
from phonotaxis.configs.goal import embed, nothing_named, signed_words
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.instructions import draw_sentence
from phonotaxis.envs.sounds import TRAINING_KINDS
from phonotaxis.policies.checkpoint import CheckpointError
from phonotaxis.policies.collect import Collector
from phonotaxis.policies.imitation import ImitationTrainer
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.sentences import mistaken, teach, understood, varied
from phonotaxis.policies.understanding import UNDERSTANDING, Understanding

MakeTask = Callable[..., AudioGoalTask]


@pytest.fixture(scope="module")
def taught() -> Understanding:
    torch.manual_seed(0)
    understanding = Understanding(TRAINING_KINDS)
    teach(understanding, 0)
    return understanding


def test_words_that_training_has_not_are_understood(taught: Understanding) -> None:
    """By chance it would be a twelfth; of validation, whose words are others, what a policy alone makes 82 % of.

    What isn't found is left to the policy, so that taking one kind for another is the worse mistake.
    """
    right, wrong = understood(taught, "train")
    assert right > 0.99
    assert wrong < 0.005
    right, wrong = understood(taught, "validation")
    assert right > 0.9
    assert wrong < 0.025


def test_what_names_no_kind_is_mostly_taken_for_none(taught: Understanding) -> None:
    """Half of validation's things and orders were taken for one of the kinds before there were things to learn from."""
    assert mistaken(taught, "train") < 0.1
    assert mistaken(taught, "validation") < 0.3
    assert taught.kind_of("find the doorbell") is None
    assert taught.kind_of("come to where I am") is None


def test_what_somebody_calls_a_kind_by_is_no_other_thing() -> None:
    torch.manual_seed(0)
    understanding = Understanding(TRAINING_KINDS)
    mine = {"telephone": ("Church bell",), "speech": ("come closer",)}
    teach(understanding, 0, mine)
    assert mistaken(understanding, "train", mine) < mistaken(understanding, "train")  # that counts them
    assert understanding.kind_of("find the church bell") == "telephone"
    assert understanding.kind_of("come closer") == "speech"


def test_a_kinds_own_name_stays_to_the_bit_and_nothing_named_nothing(taught: Understanding) -> None:
    assert torch.equal(taught(taught.names), taught.names)
    assert torch.equal(taught.names[0], torch.from_numpy(embed(TRAINING_KINDS[0].replace("_", " ")).copy()))
    nothing = torch.from_numpy(nothing_named())[None]
    assert torch.equal(taught(nothing), nothing)


def test_a_sentence_becomes_the_name_of_what_it_wants_and_not_of_what_it_does_not(taught: Understanding) -> None:
    told = torch.from_numpy(np.stack([embed("go to the ringing telephone, not the kettle"), embed("find the kettle")]))
    expected = taught.names[[TRAINING_KINDS.index(kind) for kind in ("telephone", "kettle")]]
    assert torch.equal(taught(told), expected)


def test_what_is_none_of_the_kinds_goes_on_as_it_is(taught: Understanding) -> None:
    words = [f"go to the {word}" for word in ("zqfwm", "xkcdj", "pluvrt", "gnorfel", "brumbly", "quixath")]
    told = torch.from_numpy(np.stack([embed(text) for text in words]))
    same = (taught(told) == told).all(dim=-1)
    assert int(same.sum()) >= 5
    assert taught.kind_of("find my keys") is None


def test_the_same_seed_teaches_the_same(taught: Understanding) -> None:
    torch.manual_seed(0)
    again = Understanding(TRAINING_KINDS)
    teach(again, 0)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in taught.state_dict().items())
    assert not any(weight.requires_grad for weight in again.parameters())


def test_ones_own_words_are_learnt() -> None:
    torch.manual_seed(0)
    understanding = Understanding((*TRAINING_KINDS, "lawn_mower"))
    teach(understanding, 0, {"telephone": ("cellphone",), "lawn_mower": ("mower", "grass cutter")})
    assert understanding.kind_of("drive to the cellphone") == "telephone"
    assert understanding.kind_of("where is the mower? go there") == "lawn_mower"
    assert understanding.kind_of("lawn mower") == "lawn_mower"


def test_variation_keeps_beginnings_order_and_what_turns_the_meaning_round() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    text = "ignore the clapping hands, go to the kettle"
    drawn = [varied(text, rng) for _ in range(200)]
    assert len(set(drawn)) > 150
    for other in drawn:
        assert "ignore" in other.split()
        assert "," in other.split()
        before, _, after = other.partition(",")
        assert any(word.startswith("cla") for word in before.split())
        assert any(word.startswith("ket") for word in after.split())
    assert all(signed_words(varied("fork", rng)) for _ in range(2000))  # it never says nothing


def test_a_policy_with_it_is_told_the_kind(make_task: MakeTask, tiny: PolicyConfig, taught: Understanding) -> None:
    task = make_task(goal="kind")
    policy = Policy(task.contract(), tiny.model_copy(update={"understood_kinds": TRAINING_KINDS})).eval()
    plain = Policy(task.contract(), tiny).eval()
    assert policy.front_ends.understanding is not None
    policy.front_ends.understanding.load_state_dict(taught.state_dict())
    plain.load_state_dict({n: v for n, v in policy.state_dict().items() if not n.startswith(UNDERSTANDING)})
    observation = {spec.name: torch.zeros(1, *spec.shape) for spec in policy.contract.observations()}
    sentence = draw_sentence("validation", "kettle", ["music"], 1)

    def logits(of: Policy, text: str) -> torch.Tensor:
        observation[names.GOAL] = torch.from_numpy(embed(text).copy())[None]
        with torch.no_grad():
            return of.step(of.features(observation), of.initial_state(), torch.ones(1, 1)).logits

    assert torch.equal(logits(policy, sentence), logits(plain, "kettle"))
    assert torch.equal(logits(policy, "kettle"), logits(plain, "kettle"))
    assert not torch.equal(logits(plain, sentence), logits(plain, "kettle"))


def test_every_lane_of_a_collection_understands(
    make_config: Callable[..., ImitationConfig], make_task: MakeTask, tiny: PolicyConfig, taught: Understanding
) -> None:
    """The weights that a trainer sends reach the lanes behind the first, whose front ends are their own."""
    lanes = [Lane(task=make_task(goal="none"), worlds=1), Lane(task=make_task(goal="sentence"), worlds=2)]
    config = make_config(lanes=lanes, policy=tiny.model_copy(update={"understood_kinds": TRAINING_KINDS}), chunk=2)
    collector = Collector(config, Policy(config.task.contract(), config.policy))
    understanding = collector.policy.front_ends.understanding
    assert understanding is not None
    understanding.load_state_dict(taught.state_dict())
    goals = collector.collect(1.0).chunk.features[names.GOAL].float()
    assert not goals[:, 0].any()
    known = {tuple(row) for row in taught.names.half().float().tolist()}
    assert {tuple(row) for row in goals[:, 1:].flatten(0, 1).tolist()} <= known


def test_a_task_without_goal_needs_none_of_it(make_task: MakeTask, tiny: PolicyConfig) -> None:
    config = tiny.model_copy(update={"understood_kinds": TRAINING_KINDS})
    policy = Policy(make_task(goal="absent").contract(), config)
    assert policy.front_ends.understanding is None


@pytest.mark.parametrize("kinds", [("kettle",), ("kettle", "music", "kettle")])
def test_kinds_that_are_none_are_refused(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="understood_kinds: none, or two or more that differ"):
        PolicyConfig(understood_kinds=kinds)


def test_a_training_begins_with_it_and_leaves_it_alone(
    make_config: Callable[..., ImitationConfig], make_task: MakeTask, tiny: PolicyConfig, taught: Understanding
) -> None:
    """A learner's gradients and weight decay don't reach it; weights without it are gone on with, others' kinds not."""
    task = make_task(goal="kind")
    policy = tiny.model_copy(update={"understood_kinds": TRAINING_KINDS})
    config = make_config(task=task, policy=policy, seed=3)
    trainer = ImitationTrainer(config)
    before = {name: value.clone() for name, value in trainer.policy.state_dict().items()}
    understanding = trainer.policy.front_ends.understanding
    assert understanding is not None
    assert understanding.kind_of("go to the boiling kettle") == "kettle"
    trainer.run()
    for policy_now in (trainer.policy, trainer.average):
        after = policy_now.state_dict()
        same = {name for name, value in before.items() if torch.equal(value, after[name])}
        assert {name for name in before if name.startswith(UNDERSTANDING)} <= same
    assert "heads.value.weight" not in same
    trainer.start_from(Policy(task.contract(), tiny))
    kept = trainer.policy.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in before.items() if name.startswith(UNDERSTANDING))
    turned = tiny.model_copy(update={"understood_kinds": TRAINING_KINDS[::-1]})
    with pytest.raises(CheckpointError, match="computes otherwise.*understood_kinds"):
        trainer.start_from(Policy(task.contract(), turned))
