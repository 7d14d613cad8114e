"""A study that is killed ends as if it had not been; `python -m tests.study.faults` does it a hundred times."""

from pathlib import Path

import pytest

from carbon_midl.footprint import read_footprint
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.notebook import open_experiment
from tests.study.faults import torment, undisturbed
from tests.study.test_adversity import ONE
from tests.study.test_runner import make_root, run

pytestmark = pytest.mark.slow


def test_a_study_survives_kills(discs: CropArchive, tmp_path: Path) -> None:
    reference, typical_s = undisturbed(tmp_path / "reference", discs.path)
    kills = torment(tmp_path / "killed", discs.path, reference, typical_s, seed=1, kills=3)
    assert sum(kills.values()) >= 1


def test_a_run_killed_between_its_result_and_its_end_is_completed(
    discs: CropArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_root(tmp_path / "root", discs, ONE)
    (planned,) = study.runs
    monkeypatch.chdir(study.root)
    experiment = open_experiment(
        crops="data/discs", output=f"runs/tiny/{planned.name}", pue=1.58, intensity="world", carbontracker=False,
        **planned.options.model_dump(),
    )  # fmt: skip
    experiment.train()
    experiment.test()
    with monkeypatch.context() as killing:
        killing.setattr("carbon_midl.run.CHECKPOINT", _Killing())
        with pytest.raises(SystemExit):
            experiment.write_result()
    directory = study.directory / planned.name
    assert (directory / "result.json").exists()
    assert (directory / "checkpoint.safetensors").exists()
    used = read_footprint(directory).energy_kwh
    run(study)
    assert (directory / "notebook.ipynb").exists()
    assert not (directory / "checkpoint.safetensors").exists()
    assert not list(study.directory.glob("*.superseded-*"))
    assert read_footprint(directory).energy_kwh > used


class _Killing:
    """In place of the name of the checkpoint: whoever makes a path of it is killed."""

    def __rtruediv__(self, directory: Path) -> Path:
        raise SystemExit
