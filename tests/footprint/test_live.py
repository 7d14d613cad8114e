import contextlib
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from carbon_midl.errors import InputError
from carbon_midl.footprint import CarbonIntensity, FootprintRecord, Tracker, carbon_intensity
from carbon_midl.footprint import live as live_module
from carbon_midl.footprint.live import KEY_VARIABLE, live_intensity

KEY = "secret-key-4711"
GOOD = {"zone": "DK", "carbonIntensity": 123.4, "datetime": "2026-03-01T12:00:00.000Z", "isEstimated": True}


class Service(ThreadingHTTPServer):
    """Electricity Maps on this machine; `answer` gives status, headers and body."""

    daemon_threads = True
    answer: Callable[[], tuple[int, dict[str, str], bytes]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.answer = lambda: (200, {}, json.dumps(GOOD).encode())
        self.stop = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/latest"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["auth-token"]))
        status, headers, body = self.server.answer()
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("no_proxy", "*")
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


def ask(service: Service, key: str = KEY, timeout_s: float = 5.0) -> CarbonIntensity:
    return live_intensity("DK", {KEY_VARIABLE: key}, service.url, timeout_s)


def test_the_value_of_this_moment_with_its_source(service: Service) -> None:
    intensity = ask(service)
    assert intensity == CarbonIntensity(
        123.4, "DK", "Electricity Maps, zone DK, 2026-03-01T12:00:00.000Z, estimated", 2026
    )
    assert service.requests == [("/latest?zone=DK", KEY)]


def test_it_is_asked_for_by_name_only(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module.live_intensity, "__defaults__", ({KEY_VARIABLE: KEY}, service.url, 5.0))
    assert carbon_intensity("DK").year == 2024
    assert service.requests == []
    assert carbon_intensity("live:dk-dk1").source.startswith("Electricity Maps, zone DK-DK1")
    assert carbon_intensity("Live: FR").place == "FR"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"the key in ELECTRICITY_MAPS_API_KEY was refused \(HTTP 401\)"),
        (403, "refused"),
        (404, "no such zone as 'DK'"),
        (429, "too many requests"),
        (500, "answered HTTP 500"),
        (302, "answered HTTP 302"),
    ],
)
def test_a_refusal_says_what_to_do_and_never_the_key(
    service: Service, status: int, message: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    # A careless server sends the key back.
    echo = {"Location": f"{service.url}?token={KEY}", "X-Token": KEY}
    service.answer = lambda: (status, echo, json.dumps({"message": f"bad token {KEY}"}).encode())
    with pytest.raises(InputError, match=message) as caught:
        ask(service)
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capfd.readouterr())
    assert KEY not in told
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "or give a yearly average" in str(caught.value)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"carbonIntensity": null}',
        b'{"carbonIntensity": "120"}',
        b'{"carbonIntensity": true}',
        b'{"carbonIntensity": -1}',
        b'{"carbonIntensity": NaN}',
        b'{"carbonIntensity": 1e9}',
        f'{{"carbonIntensity": "{KEY}"}}'.encode(),
        b"[" * 60_000,
        b"x" * 1_000_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(service: Service, body: bytes) -> None:
    service.answer = lambda: (200, {}, body)
    with pytest.raises(InputError, match="expected a carbonIntensity from 0 to 3000 g/kWh") as caught:
        ask(service)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("moment", [None, 5, KEY, "2026-13", f"2026-03-01T12:00Z{KEY}"])
def test_a_time_that_makes_no_sense_is_left_out(service: Service, moment: object) -> None:
    service.answer = lambda: (200, {}, json.dumps(GOOD | {"datetime": moment}).encode())
    assert ask(service).source == "Electricity Maps, zone DK, time not given, estimated"
    assert ask(service).year is None


def test_no_answer_in_time(service: Service) -> None:
    def wait() -> tuple[int, dict[str, str], bytes]:
        service.stop.wait(10)
        return 200, {}, b""

    service.answer = wait
    with pytest.raises(InputError, match=r"no answer within 0\.2 s"):
        ask(service, timeout_s=0.2)


def test_no_service_at_all(service: Service) -> None:
    with pytest.raises(InputError, match="no answer") as caught:
        live_intensity("DK", {KEY_VARIABLE: KEY}, "http://127.0.0.1:1/latest", 1.0)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("key", ["", "  "])
def test_without_a_key_nothing_is_sent(service: Service, key: str) -> None:
    with pytest.raises(InputError, match="need a key"):
        ask(service, key)
    assert service.requests == []


def test_a_broken_key_is_not_shown(service: Service) -> None:
    with pytest.raises(InputError, match="characters that no key has") as caught:
        ask(service, f"{KEY}\nX-Other: 1")
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert service.requests == []


@pytest.mark.parametrize("zone", ["", "Denmark", "D", "DK&x=1", "DK DK1", "../DK"])
def test_a_zone_that_cannot_be_is_refused_before_it_is_sent(service: Service, zone: str) -> None:
    with pytest.raises(InputError, match="live:DK-DK1"):
        live_intensity(zone, {KEY_VARIABLE: KEY}, service.url)
    assert service.requests == []


def test_the_key_is_in_no_record(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    tracker = Tracker("unused", 1, intensity=live_intensity("DK", url=service.url), carbontracker=False, sensors=[])
    with tracker, tracker.window("training"):
        pass
    record: FootprintRecord = tracker.record
    assert service.requests == [("/latest?zone=DK", KEY)]
    assert KEY not in json.dumps(record.to_dict()) + record.describe() + repr(tracker.__dict__)
