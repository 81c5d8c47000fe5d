"""The front end's configuration: what a person leaves out, and what files from before did."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from phonotaxis.configs import presets
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.front_end import FrontEnd
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

THEN = FrontEnd(weighting="phase", elevations=0)
WRITTEN = THEN.model_dump(mode="json", exclude={"weighting", "elevations"})


def test_a_person_who_writes_out_all_older_keys_gets_todays_defaults(tmp_path: Path) -> None:
    assert FrontEnd.model_validate(WRITTEN) == FrontEnd() == FrontEnd(**WRITTEN)
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "front_end": WRITTEN}))
    assert presets.load("tasks", path, AudioGoalTask).front_end == FrontEnd()


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
