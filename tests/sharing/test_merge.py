"""A study made in parts becomes the study that would have been made in one piece."""

import itertools
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.sharing.merge import merge, without_part
from carbon_midl.sharing.stored import TABLES, StoredResults, read_stored
from carbon_midl.sharing.verify import verify
from carbon_midl.study.spec import Study
from carbon_midl.study.tables import Results, by_width
from tests.sharing.made_up import STUDY, collected, make_study

RUNS = [f"filters-{width}-seed-{seed}" for width in (2, 3, 16) for seed in (0, 1)]


def test_however_it_is_divided_the_merged_study_is_the_one_made_in_one_piece(
    study: Study, whole: StoredResults
) -> None:
    owners = st.lists(st.integers(0, 3), min_size=len(RUNS), max_size=len(RUNS)).filter(lambda to: len(set(to)) > 1)

    part_of = cache(lambda names: collected(study, names))

    @settings(max_examples=8)
    @given(owners, st.randoms(use_true_random=False))
    def divided(owner: list[int], random: Any) -> None:
        names = [tuple(run for run, to in zip(RUNS, owner, strict=True) if to == one) for one in sorted(set(owner))]
        parts = [part_of(part) for part in names]
        merged = merge(parts)
        for file in TABLES:
            rows = without_part(merged.runs) if file == "runs.csv" else merged.tables[file]
            assert rows.to_csv(index=False) == whole.tables[file].to_csv(index=False)
        own = {"parts", "sha256"}
        assert {k: v for k, v in merged.manifest.items() if k not in own} == {
            k: v for k, v in whole.manifest.items() if k not in own
        }
        for part, runs in zip(parts, names, strict=True):
            (said,) = set(merged.runs.loc[merged.runs["run"].isin(runs), "part"])
            (entry,) = (one for one in merged.manifest["parts"] if one["part"] == said)
            assert entry["runs"] == len(part.runs)
        random.shuffle(parts)
        assert merge(parts).files == merged.files
        if len(parts) > 2:
            assert merge([merge(parts[:2]), *parts[2:]]).files == merged.files

    divided()


def test_each_row_says_where_it_is_from_and_each_part_what_it_was_made_with(tmp_path: Path) -> None:
    here, there = make_study(tmp_path / "a", cpu="Intel Xeon"), make_study(tmp_path / "b", cpu="AMD EPYC")
    left = there.directory / f"{RUNS[0]}.superseded-then"
    left.mkdir()
    result = json.loads((there.directory / RUNS[0] / "result.json").read_text())
    (left / "footprint.json").write_text(json.dumps(result["footprint"]))
    merged = merge([collected(there, RUNS[2:]), collected(here, RUNS[:2])])
    assert verify(merged).disagreements == []
    assert [part["runs"] for part in merged.manifest["parts"]] == [2, 4]
    cpus = [one["hardware"]["cpu"] for part in merged.manifest["parts"] for one in part["environments"]]
    assert cpus == ["Intel Xeon", "AMD EPYC"]
    assert merged.manifest["hardware"]["cpu"] == "Intel Xeon"  # of the first run, as in a study made in one piece
    assert merged.manifest["abandoned"]["attempts"] == 1
    assert merged.manifest["abandoned"]["energy_kwh"] > 0
    assert merged.manifest["runs_left_out"] == []
    assert merged.runs["part"].nunique() == 2
    assert set(merged.slices["part"]) == {"validation", "test"}


def test_runs_that_no_part_has_are_left_out(study: Study) -> None:
    merged = merge([collected(study, RUNS[:1]), collected(study, RUNS[4:])])
    assert merged.manifest["runs_left_out"] == sorted(RUNS[1:4])


def test_the_same_run_twice_is_refused(study: Study) -> None:
    parts = [collected(study, RUNS[:4]), collected(study, RUNS[2:])]
    with pytest.raises(InputError, match=r"run filters-3-seed-0 is in both, the same; 2 such in all"):
        merge(parts)


def test_a_run_with_two_results_is_refused(study: Study, tmp_path: Path) -> None:
    other = collected(make_study(tmp_path / "other", salt="other numbers"), RUNS[1:])
    with pytest.raises(InputError, match=r"run filters-2-seed-1 is in both, with other numbers; 1 such in all"):
        merge([collected(study, RUNS[:2]), other])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"crops": "0" * 64}, r"crops: \w{12} in .*, 000000000000 in .*Make the runs of one part again"),
        ({"code": "f" * 12}, "code: .*, ffffffffffff in .*with the carbon-midl of the other"),
        ({"text": STUDY.replace("epochs = 4", "epochs = 5")}, "option epochs: 4 in .*, 5 in "),
        ({"text": STUDY.replace("depth = 2", "depth = 2\naugment = false")}, "option augment: True in .*, False in "),
        ({"text": STUDY.replace('"DK"', '"FR"')}, "PUE and carbon intensity: .*Nothing needs to be trained again"),
        ({"text": STUDY.replace('name = "tiny"', 'name = "other"')}, "study: tiny in .*, other in "),
        ({"text": STUDY.replace("[options]", 'recipe = ["reference"]\n[options]')}, "axes: none in .*, recipe in "),
    ],
)
def test_parts_of_different_studies_are_refused(
    study: Study, tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    other = make_study(tmp_path / "other", **changes)
    names = [run.name for run in other.runs if run.name not in RUNS[:2]]
    parts = [collected(study, RUNS[:2]), collected(other, names)]
    for ordered in itertools.permutations(parts):
        with pytest.raises(InputError, match=says if ordered[0] is parts[0] else says.split(":")[0]):
            merge(ordered)


def test_a_part_that_disagrees_with_itself_is_refused(study: Study) -> None:
    one, other = collected(study, RUNS[:2]), collected(study, RUNS[2:])
    changed = other.files["runs.csv"].replace(b",0.0", b",0.1", 1)
    with pytest.raises(InputError, match=r"there: \d+ disagreements?, first runs\.csv, SHA-256"):
        merge([one, StoredResults.of_files("there", other.files | {"runs.csv": changed})])


def test_one_part_alone_is_refused(whole: StoredResults) -> None:
    with pytest.raises(InputError, match="expected two or more"):
        merge([whole])


def test_whoever_reads_results_reads_merged_ones(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, runs in (("laptop", RUNS[:3]), ("cluster", RUNS[3:])):
        collected(study, runs)
        shutil.copytree(study.results, tmp_path / name)
    out = tmp_path / "merged"
    parts = [str(tmp_path / "laptop"), str(tmp_path / "cluster")]
    assert main(["results", "merge", *parts, "--out", str(out)]) == 0
    assert "6 runs of 2 parts" in capsys.readouterr().out
    assert main(["results", "verify", str(out)]) == 0
    results = Results.read(out)
    assert by_width(results, results.bootstrap())["runs"].tolist() == [2, 2, 2]
    before = read_stored(out).files
    assert main(["results", "merge", *parts, "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert read_stored(out).files == before
