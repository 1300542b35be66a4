"""Units in the names of columns, such as ``conc [mg/L]`` or ``conc (mg/L)``, and as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SQUARE = re.compile(r"(.*\S)\s*\[\s*([^\[\]]+?)\s*\]")
_ROUND = re.compile(r"(.*\S)\s*\(\s*([^()]+?)\s*\)")
# Symbols that a word in round brackets must consist of to be a unit and not a remark.
_WORDS = (
    "m cm mm µm μm um nm km dm ft in g mg kg µg μg ug ng pg t s ms µs us ns min h hr hrs d "
    "day days week weeks month months yr year years a L l dL dl mL ml µL μL uL mol mmol µmol "
    "μmol umol nmol pmol M mM µM μM uM nM Pa hPa kPa MPa GPa bar mbar atm mmHg K C F °C °F N "
    "kN J kJ MJ W kW MW V mV kV A mA µA Hz kHz MHz GHz rad deg ° % ‰ ppm ppb IU U cells dB eV "
    "keV T mT Gy Sv Bq lx lm cd ohm Ω kΩ S mS µS F pF nF H"
)
_SYMBOLS = frozenset(_WORDS.split())
_BETWEEN = re.compile(r"[\s/*·.^]+|\*\*|per|[-−⁻]?[0-9⁰¹²³⁴-⁹]+")

# Other spellings of a unit.
_WRITTEN_OUT = {
    "m": "metre metres meter meters",
    "s": "second seconds sec",
    "min": "minute minutes",
    "h": "hour hours hr hrs",
    "d": "day days",
    "g": "gram grams",
    "kg": "kilogram kilograms",
    "L": "litre liter litres liters l",
    "mL": "ml",
    "dL": "dl",
    "K": "kelvin Kelvin",
    "Pa": "pascal Pascal",
    "°C": "degC celsius Celsius",
    "%": "percent",
}
_SPELLINGS = {word: unit for unit, words in _WRITTEN_OUT.items() for word in words.split()}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
_FACTOR = re.compile(r"([^\d\s/*·.^()+-]+)(?:\*\*|\^)?([+-]?\d+)?")


def name_and_unit(column: str) -> tuple[str, str]:
    """Return the name of a column without its unit, and the unit or "".

    What stands in square brackets at the end is a unit; in round brackets, if it consists of
    symbols of units.

    Examples
    --------
    >>> name_and_unit("conc [mg/L]"), name_and_unit("u (m s^-1)"), name_and_unit("conc (mean)")
    (('conc', 'mg/L'), ('u', 'm s^-1'), ('conc (mean)', ''))
    """
    if match := _SQUARE.fullmatch(column):
        return match[1], match[2]
    match = _ROUND.fullmatch(column)
    if match and all(word in _SYMBOLS for word in _BETWEEN.split(match[2]) if word):
        return match[1], match[2]
    return column, ""


def columns_called(columns: Sequence[str], name: str) -> list[str]:
    """Return the columns with this name; if there are none, those with this name before a unit."""
    exact = [column for column in columns if column == name]
    return exact or [column for column in columns if name_and_unit(column)[0] == name]


def columns_named(columns: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return the columns with any of these names; see `columns_called`."""
    return [column for name in names for column in columns_called(columns, name)]


def differing_units(one: str, other: str) -> bool:
    """Return whether two units are stated, and are not the same unit.

    Spellings of a product are compared by its factors. Conversions are not known: ``cm`` and
    ``0.01 m`` differ.

    Examples
    --------
    >>> differing_units("m/s", "m s^-1"), differing_units("metres", "m"), differing_units("cm", "m")
    (False, False, True)
    """
    return bool(one and other) and _factors(one) != _factors(other)


def _factors(unit: str) -> object:
    """Return the exponents of the factors of a unit by their symbols, or its text."""
    text = unit.translate(_SUPERSCRIPTS).replace("μ", "µ").replace(" per ", "/").strip()
    exponents: dict[str, int] = {}
    above, *below = re.sub(r"[()]", " ", text).split("/")
    for sign, part in [(1, above), *((-1, each) for each in below)]:
        found = _FACTOR.findall(part)
        if re.sub(r"[\s*·.^]", "", _FACTOR.sub("", part)) not in ("", "1"):
            return text
        for symbol, exponent in found:
            known = _SPELLINGS.get(symbol, symbol)
            exponents[known] = exponents.get(known, 0) + sign * int(exponent or 1)
    return {symbol: exponent for symbol, exponent in exponents.items() if exponent}
