"""``carbon-midl footprint``: any program, measured from outside."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from carbon_midl.cli import main
from carbon_midl.cli.footprint import run_program
from carbon_midl.footprint import read_footprint
from tests.footprint.test_record import example

CLI = [sys.executable, "-m", "carbon_midl.cli"]
# Says when it is ready, and how often and by what it was asked to end.
PATIENT = """
import signal, sys, time
seen = []
for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
    signal.signal(getattr(signal, name), lambda number, _: seen.append(signal.Signals(number).name))
print("ready", flush=True)
end = time.monotonic() + 20
while not seen and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.2)
print(*seen, flush=True)
sys.exit(3)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_is_measured_and_its_exit_code_passed_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "footprint.json"
    code = "import sys; sum(i * i for i in range(2_000_000)); print(sys.argv[1:]); sys.exit(7)"
    options = ["--grid", "FR", "--pue", "1.2", "--json", str(file), "--idle", "0"]
    assert main(["footprint", *options, "--", *python(code), "--json", "--", "x"]) == 7
    shown = capfd.readouterr()
    assert shown.out == "['--json', '--', 'x']\n"
    record = read_footprint(file)
    assert (record.pue, record.intensity.place) == (1.2, "FR")
    assert record.window("program").energy_kwh > 0
    assert "PUE 1.2 × 44.18 g/kWh" in shown.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_program_once_and_what_it_used_is_counted(number: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "footprint.json"
    process = subprocess.Popen(
        [*CLI, "footprint", "--idle", "0", "--json", str(file), "--", *python(PATIENT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal sends it
    else:
        process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert out == f"{number.name}\n"
    assert process.returncode == 3
    assert "how obtained" in error
    assert read_footprint(file).window("program").duration_s > 0.2


def test_exit_codes_are_the_shell_s_and_handlers_of_signals_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run_program(python(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")) == 128 + signal.SIGKILL
    assert run_program(["true"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--", "no-such-program-4711"], "no-such-program-4711: cannot be run"),
        (["--", "sensors"], "sensors: cannot be run"),
        (["--json", "absent/file.json", "--", "true"], "--json absent/file.json"),
        (["--grid", "UK", "--", "true"], "did you mean GB"),
        (["--pue", "0.5", "--", "true"], "pue: found 0.5"),
        (["--idle", "-1", "--", "true"], "idle_s"),
        (["recost", "absent"], "absent: no result.json or footprint.json"),
    ],
)
def test_bad_input_is_told_before_anything_runs(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["footprint", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_sensors_are_told_with_what_is_missing_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["footprint", "sensors"]) == 0
    shown = capsys.readouterr().out
    assert "cpu " in shown
    assert "memory " in shown
    assert "measured: " in shown or "missing  RAPL: " in shown


def test_a_stored_run_is_recost_for_another_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"footprint": example().to_dict()}))
    out = tmp_path / "recost.json"
    assert main(["footprint", "recost", str(tmp_path), "--grid", "FR", "--pue", "1.2", "--json", str(out)]) == 0
    assert "× PUE 1.2 × 44.18 g/kWh" in capsys.readouterr().out
    assert read_footprint(out) == example().recost("FR", 1.2)
    assert main(["footprint", "recost", str(tmp_path), "--window", "test", "--embodied-kg", "164"]) == 0
    shown = capsys.readouterr().out
    assert "143.3 g/kWh" in shown
    assert "Embodied, apart from the above: 10.4 mgCO2eq of 164 kgCO2e over 5 years" in shown
    used = ["--uses", "3600000", "--grid", "100", "--pue", "1.5"]
    assert main(["footprint", "recost", str(tmp_path), *used, "--use-j", "0.5"]) == 0
    assert "Use, apart from the above: 500 Wh before PUE, 75 gCO2eq, 3,600,000 times" in capsys.readouterr().out
    assert main(["footprint", "recost", str(tmp_path), *used]) == 2
    out.write_text(json.dumps(example().to_dict() | {"pue": 0.1}))
    assert main(["footprint", "recost", str(out)]) == 2
    assert "--uses: needs --use-j" in (err := capsys.readouterr().err)
    assert f"{out}: footprint record: pue" in err
