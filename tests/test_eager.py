"""A process of its own for each way, since torch's compiler stays once it is loaded."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAIN = """
import hashlib, sys, torch
from carbon_midl.eager import without_compiler
if {eager}:
    without_compiler()
    without_compiler()  # again: a second run in one kernel
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 1, 1))
for fused in (False, True):
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, fused=fused)
    for _ in range(5):
        optimiser.zero_grad()
        model(torch.randn(2, 1, 16, 16)).square().mean().backward()
        optimiser.step()
    optimiser.load_state_dict(optimiser.state_dict())
    assert all(not value.requires_grad for value in optimiser.state[model[0].weight].values())
print(hashlib.sha256(b"".join(value.detach().numpy().tobytes() for value in model.state_dict().values())).hexdigest())
print("torch._dynamo" in sys.modules)
"""


def trained(eager: bool) -> list[str]:
    command = [sys.executable, "-c", TRAIN.format(eager=eager)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_without_the_compiler_the_weights_are_the_same_to_the_bit() -> None:
    weights, loaded = trained(eager=False)
    assert trained(eager=True) == [weights, "False"]
    assert loaded == "True", "torch no longer loads its compiler for this; carbon_midl/eager.py can go"
