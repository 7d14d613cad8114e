import pytest

from carbon_midl.units import amount, carbon, count, dice, duration, energy, joined, listed, percent, signed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (energy(0.9999), "1,000 Wh"),
        (energy(1.2345), "1.23 kWh"),
        (energy(1234.5), "1,230 kWh"),
        (energy(4.2e-3), "4.2 Wh"),
        (energy(4.2e-3, page=True), "4.20 Wh"),
        (energy(4.2e-4), "420 mWh"),
        (energy(4.2e-4, page=True), "0.420 Wh"),
        (energy(0.1, page=True), "0.100 kWh"),
        (energy(0), "0 kWh"),
        (energy(0, page=True), "0 Wh"),
        (carbon(999.7), "1,000 gCO2eq"),
        (carbon(0.5), "500 mgCO2eq"),
        (carbon(0, page=True), "0 g"),
        (carbon(-1234, page=True), "−1.23 kg"),
        (duration(119.96), "120 s"),
        (duration(5000 * 3600), "5,000 h"),
        (duration(120, page=True), "2.00 min"),
        (amount(1234.5, "gCO2eq"), "1,234 gCO2eq"),
        (amount(float("nan"), "MB"), "– MB"),
        (dice(-0.0126), "−0.013"),
        (signed(0.25, 2), "+0.25"),
        (signed(-0.03), "0.0"),
        (percent(0.0123), "1.2 %"),
        (percent(15.03), "1,500 %"),
        (count(12), "twelve"),
        (count(1300), "1,300"),
        (joined([4, 8, 16]), "4, 8 and 16"),
        (listed(list("abcdefg")), "a, b, c, d, e and 2 more"),
    ],
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected
