"""The carbon intensity of this moment from Electricity Maps: the only module here that uses the network, on request.

The key comes from the environment. It is sent in a header, over an encrypted connection, to one host, and stands in no
result, log or error message: errors are told in our own words, whatever the server or Python's library says.
"""

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import CarbonIntensity

KEY_VARIABLE = "ELECTRICITY_MAPS_API_KEY"
API_URL = "https://api.electricitymaps.com/v3/carbon-intensity/latest"
_TIMEOUT_S = 10.0
_LONGEST_ANSWER = 65_536
# No grid is dirtier than one that burns nothing but lignite, at about 1,200.
_MOST_G_PER_KWH = 3000.0
_ZONE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,8})*")
_WAY_OUT = 'or give a yearly average such as "DK", or a number in gCO2eq/kWh'


def live_intensity(
    zone: str,
    environment: Mapping[str, str] = os.environ,
    url: str = API_URL,
    timeout_s: float = _TIMEOUT_S,
) -> CarbonIntensity:
    """The latest carbon intensity of a zone, location-based over the life cycle.

    Args:
        zone: of Electricity Maps: a country code, or for some countries a part of one, such as "DK-DK1".
        environment: holds the key under `ELECTRICITY_MAPS_API_KEY`.
        url: of the service.
        timeout_s: how long to wait for an answer.

    Raises:
        InputError: no such zone, no key or one that is refused, no answer in time, or one that makes no sense.
    """
    name = zone.strip().upper()
    if not _ZONE.fullmatch(name):
        raise InputError(f'intensity: found live zone {zone!r}, expected a code such as "live:FR" or "live:DK-DK1"')
    request = urllib.request.Request(f"{url}?{urllib.parse.urlencode({'zone': name})}")
    # Not sent to where a redirect or a proxy's answer may point.
    request.add_unredirected_header("auth-token", _key(environment))
    opener = urllib.request.build_opener(_NoRedirects)
    problem = None
    try:
        with opener.open(request, timeout=timeout_s) as response:
            body = response.read(_LONGEST_ANSWER)
    except urllib.error.HTTPError as error:
        error.close()
        problem = _refusal(error.code, name)
    except (OSError, HTTPException, ValueError):
        problem = f"no answer within {timeout_s:g} s"
    if problem is not None:
        raise InputError(f"intensity: Electricity Maps, zone {name}: {problem}; try again, {_WAY_OUT}")
    return _intensity(body, name)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _key(environment: Mapping[str, str]) -> str:
    key = environment.get(KEY_VARIABLE, "").strip()
    if not key:
        raise InputError(
            f"intensity: live values need a key of Electricity Maps in the environment variable {KEY_VARIABLE}; "
            f"set it in the shell, never in a notebook, {_WAY_OUT}"
        )
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"intensity: the key in {KEY_VARIABLE} has characters that no key has; set it again")
    return key


def _refusal(status: int, zone: str) -> str:
    if status in (401, 403):
        return f"the key in {KEY_VARIABLE} was refused (HTTP {status}); check it and which zones it covers"
    if status == 404:
        return f"no such zone as {zone!r} (HTTP 404)"
    if status == 429:
        return "too many requests with this key (HTTP 429)"
    return f"the service answered HTTP {status}"


def _intensity(body: bytes, zone: str) -> CarbonIntensity:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    value = answer.get("carbonIntensity") if isinstance(answer, dict) else None
    # NaN, too, is not between two numbers.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_G_PER_KWH:
        raise InputError(
            f"intensity: Electricity Maps, zone {zone}: expected a carbonIntensity from 0 to {_MOST_G_PER_KWH:g} "
            f"g/kWh, found none; try again, {_WAY_OUT}"
        )
    moment = answer.get("datetime")
    known = isinstance(moment, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-][\d:]+)?", moment)
    when = moment if known else "time not given"
    kind = "estimated" if answer.get("isEstimated") is True else "as reported"
    source = f"Electricity Maps, zone {zone}, {when}, {kind}"
    return CarbonIntensity(float(value), zone[:2], source, int(moment[:4]) if known else None)
