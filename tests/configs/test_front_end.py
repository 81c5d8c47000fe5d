"""The front end's configuration: what a person leaves out, and what files from before did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from phonotaxis.configs import presets
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.front_end import FrontEnd
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from phonotaxis.policies.spectra import frequencies_hz

THEN = FrontEnd(weighting="phase", elevations=0)
WRITTEN = THEN.model_dump(mode="json", exclude={"weighting", "elevations"})


def test_a_person_who_writes_out_all_older_keys_gets_todays_defaults(tmp_path: Path) -> None:
    assert FrontEnd.model_validate(WRITTEN) == FrontEnd() == FrontEnd(**WRITTEN)
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "front_end": WRITTEN}))
    assert presets.load("tasks", path, AudioGoalTask).front_end == FrontEnd()


def test_bounds_and_bands_that_no_front_end_can_be_made_of_are_refused_when_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "front_end": {"low_hz": 4000, "high_hz": 300}}))
    with pytest.raises(ConfigError, match="front_end: .*low_hz 4000 must be under high_hz 300"):
        presets.load("tasks", path, AudioGoalTask)
    stored = json.loads(AudioGoalTask().contract().to_json())
    for written, said in (
        ({"low_hz": 1000, "high_hz": 1400}, "7 bins lie between 1000.0 and 1400.0 Hz, 8 are needed"),
        ({"low_hz": 70, "high_hz": 120, "direction_bands": 1}, "0 bins lie .*, 2 are needed"),
    ):
        with pytest.raises(ConfigError, match=f"front_end: {said}"):
            AudioGoalTask(front_end=FrontEnd(**written)).contract()
        stored["front_end"] |= written
        with pytest.raises(ConfigError, match=said):
            Contract.from_json(json.dumps(stored))


@pytest.mark.parametrize(
    "spec", [FrontEnd(), FrontEnd(low_hz=0, high_hz=8000, n_fft=400), FrontEnd(low_hz=500, high_hz=1000)]
)
def test_the_bins_are_those_of_the_front_end(spec: FrontEnd) -> None:
    contract = AudioGoalTask(front_end=spec).contract()
    assert spec.bins(contract.sample_rate_hz) == len(frequencies_hz(contract))


def test_a_contract_that_was_stored_before_there_was_a_choice_stays_what_it_was() -> None:
    contract = AudioGoalTask(front_end=THEN).contract()
    old = json.loads(contract.to_json())
    old["front_end"] = WRITTEN
    assert Contract.from_json(json.dumps(old)) == contract
    for chosen in ({"weighting": "onset"}, {"elevations": 3}):
        old["front_end"] = WRITTEN | chosen
        assert Contract.from_json(json.dumps(old)).front_end == FrontEnd(**chosen)


def test_a_training_that_was_stored_before_there_was_a_choice_goes_on_with_what_it_had(tmp_path: Path) -> None:
    task = AudioGoalTask(front_end=THEN)
    config = ImitationConfig(task=task).model_dump(mode="json")
    config["task"]["front_end"] = WRITTEN
    config["among"] = [{"task": {"front_end": WRITTEN}}]
    save_checkpoint(tmp_path, Checkpoint(task.contract(), PolicyConfig(), {"policy": {}}, config))
    kept = load_checkpoint(tmp_path).config
    assert AudioGoalTask.model_validate(kept["task"]).front_end == THEN
    assert kept["among"][0]["task"]["front_end"] == THEN.model_dump(mode="json")
