"""Tables of a study, without training anything."""

import json
from pathlib import Path

import pytest

from carbon_midl.errors import InputError
from carbon_midl.study.collect import other_axes
from carbon_midl.study.results import read_results
from carbon_midl.study.spec import read_study
from tests.book.synthetic import make_study
from tests.study.test_spec import GOOD
from tests.study.tiny import write_study


def test_results_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    results, _ = make_study(tmp_path)
    path = results / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"version": 2}))
    with pytest.raises(InputError, match=r"manifest\.json: version 2 of the format; .*Update carbon-midl to read it"):
        read_results(results)
    path.write_text(json.dumps(manifest | {"format": "something"}))
    with pytest.raises(InputError, match="not the manifest of a study's results"):
        read_results(results)


def test_what_a_study_varies_is_a_column(tmp_path: Path) -> None:
    text = GOOD.replace("[footprint]", 'learning_rate = [1e-3, 1e-2]\nmodel = ["unet", "a.b:c"]\n[footprint]')
    study = read_study(write_study(tmp_path, text))
    assert other_axes(study) == ["learning_rate", "model"]
    assert study.runs[1].name == "filters-4-seed-0-learning-rate-0.001-model-b-c"
    assert other_axes(read_study(write_study(tmp_path, GOOD))) == []
    with pytest.raises(InputError, match="two runs would be called 'filters-4-seed-0-model-b-c'"):
        read_study(write_study(tmp_path, GOOD.replace("[footprint]", 'model = ["a.b:c", "d.b:c"]\n[footprint]')))
