"""Networks of others train under the same protocol, and are refused with a reason where they cannot."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.notebook import open_experiment
from carbon_midl.study.run import fingerprint, read_result
from carbon_midl.training.checkpoint import load_model
from carbon_midl.training.network import build_network, check_output, network_size, source_of, unet_size
from carbon_midl.training.options import RunOptions, parse_options

OWN = """
from torch import nn

def tiny(filters, depth=2):
    return nn.Sequential(nn.Conv2d(1, filters, 3, padding=1), nn.ReLU(), nn.Conv2d(filters, 1, 1))

def two_channels():
    return nn.Conv2d(1, 2, 1)

def picky(filters, unknown):
    return tiny(filters)

def no_network():
    return 3

def fails():
    return nn.Conv2d(3, 1, 1)

constant = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_models.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return tmp_path / "my_models.py"


def trained(discs: CropArchive, out: Path, model: str, recipe: str = "efficient") -> Path:
    experiment = open_experiment(
        crops=str(discs.path), output=str(out), pue=1.58, intensity="world", carbontracker=False,
        model=model, filters=4, epochs=1, batch_size=8, recipe=recipe,
    )  # fmt: skip
    size = experiment.describe_model()
    assert size["parameters"].iloc[0] != "0"
    experiment.train()
    experiment.test()
    experiment.write_result()
    return out


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("recipe", ["efficient", "reference"])
def test_a_network_of_ones_own_trains_like_the_built_in_one(discs: CropArchive, tmp_path: Path, recipe: str) -> None:
    out = trained(discs, tmp_path / "run", "my_models:tiny", recipe)
    result = read_result(out)
    assert result["options"]["model"] == "my_models:tiny"
    assert result["model"]["parameters"] == (9 * 4 + 4) + (4 + 1)
    assert result["model"]["macs"] == (9 * 4 + 4) * discs.size**2
    assert result["footprint"]["windows"]
    network, card = load_model(out)
    assert card.model == "my_models:tiny"
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 1, 32, 32)


def test_a_change_of_its_file_makes_its_runs_stale_and_no_others(discs: CropArchive, own: Path) -> None:
    mine, built_in = RunOptions(model="my_models:tiny"), RunOptions()
    before = [fingerprint(options, discs) for options in (mine, built_in)]
    own.write_text(OWN + "\n# changed\n")
    after = [fingerprint(options, discs) for options in (mine, built_in)]
    assert before[0]["code"] != after[0]["code"]
    assert before[0]["options"] == after[0]["options"]
    assert before[1] == after[1]
    assert before[0]["code"] != before[1]["code"]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no_such_module:net", "no module 'no_such_module'"),
        ("my_models:missing", "my_models has no function 'missing'"),
        ("my_models:constant", "my_models has no function 'constant'"),
        ("my_models:picky", "cannot be called with filters .*unknown"),
        ("my_models:no_network", "gave int; expected a torch.nn.Module"),
    ],
)
def test_what_makes_no_network_is_named(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_network(model, 4, 2)


@pytest.mark.usefixtures("own")
def test_a_network_of_another_shape_is_refused_before_it_trains() -> None:
    with pytest.raises(InputError, match=r"gave \(2, 2, 32, 32\) for crops of shape \(2, 1, 32, 32\)"):
        check_output(build_network("my_models:two_channels", 4, 2), "my_models:two_channels", 32)
    with pytest.raises(InputError, match=r"my_models:fails fails on crops of shape \(2, 1, 32, 32\): .*channels"):
        check_output(build_network("my_models:fails", 4, 2), "my_models:fails", 32)
    check_output(build_network("my_models:tiny", 4, 2), "my_models:tiny", 32)


@pytest.mark.parametrize("wrong", ["Unet", "a b:c", "package.module", ":f", "m:", "../m:f"])
def test_names_that_are_no_model_are_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="'model' is"):
        parse_options({"model": wrong}, "here")


def test_a_module_that_cannot_be_imported_is_named(own: Path) -> None:
    own.write_text("import no_such_package\n")
    with pytest.raises(InputError, match=r"my_models cannot be imported .*no_such_package"):
        build_network("my_models:tiny", 4, 2)
    assert source_of("my_models:tiny") == own.read_bytes()  # it can be told apart without being run


def test_the_measured_size_of_the_built_in_network_is_the_counted_one(own: Path) -> None:
    own.write_text(
        "from carbon_midl.training.unet import UNet\ndef same(filters, depth):\n    return UNet(filters, depth)\n"
    )
    for model in ("my_models:same", "unet"):
        assert network_size(RunOptions(model=model, filters=4, depth=3), 32) == unet_size(4, 3, size=32)


@pytest.mark.parametrize("function", ["monai_basic_unet", "monai_residual_unet", "smp_unet"])
def test_networks_of_others(function: str, discs: CropArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("segmentation_models_pytorch" if function == "smp_unet" else "monai")
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setattr(sys, "path", [*sys.path])
    model = f"studies.own_models:{function}"
    network = build_network(model, 4, 4)
    assert isinstance(network, nn.Module)
    size = network_size(RunOptions(model=model, filters=4), 32)
    assert size.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert size.macs > size.parameters
    out = trained(discs, tmp_path / "run", model)
    assert read_result(out)["model"] == size._asdict()
