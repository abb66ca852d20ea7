"""Conversion between units of one quantity: the ``convert_*()`` functions.

Unit names are those of the Kusto documentation's pages; factors are the definitions of the units (SI,
NIST SP 811, IAU), except where Kusto's printed answers show that it rounds (the acre-foot).
A linear unit is a factor to the quantity's base unit; the few that are not are pairs of functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

_Linear = Mapping[str, float]
_Curve = tuple[Callable[[float], float], Callable[[float], float]]

_INCH = 0.0254
_FOOT = 0.3048
_SURVEY_FOOT = 1200 / 3937
_BTU = 1055.05585262
_EV = 1.602176565e-19
_POUND = 0.45359237
_GRAVITY = 9.80665
_US_GALLON = 0.003785411784
_UK_GALLON = 0.00454609


def _scaled(name: str, factor: float, **prefixes: float) -> dict[str, float]:
    lower = name[0].lower() + name[1:]
    return {name: factor} | {p.capitalize() + lower: factor * f for p, f in prefixes.items()}


_LENGTH: _Linear = {
    **_scaled("Meter", 1.0, centi=1e-2, deca=10.0, deci=0.1, hecto=100.0, kilo=1e3, micro=1e-6),
    "Millimeter": 1e-3,
    "Nanometer": 1e-9,
    "Angstrom": 1e-10,
    "AstronomicalUnit": 1.495978707e11,
    "Chain": 20.1168,
    "DataMile": 1828.8,
    "DtpPica": _INCH / 6,
    "DtpPoint": _INCH / 72,
    "Fathom": 1.8288,
    "Foot": _FOOT,
    "Hand": 0.1016,
    "Inch": _INCH,
    **_scaled("LightYear", 9.46073047258e15, kilo=1e3, mega=1e6),
    "Microinch": _INCH * 1e-6,
    "Mil": _INCH * 1e-3,
    "Mile": 1609.344,
    "NauticalMile": 1852.0,
    **_scaled("Parsec", 3.08567758128e16, kilo=1e3, mega=1e6),
    "PrinterPica": _INCH * 12 / 72.27,
    "PrinterPoint": _INCH / 72.27,
    "Shackle": 27.432,
    "SolarRadius": 6.9551e8,
    "Twip": _INCH / 1440,
    "UsSurveyFoot": _SURVEY_FOOT,
    "Yard": 0.9144,
}

_VOLUME: _Linear = {
    "AcreFoot": 1 / 0.000810714,
    "AuTablespoon": 2e-5,
    "BoardFoot": _FOOT**3 / 12,
    **_scaled("Liter", 1e-3, centi=1e-2, deca=10.0, deci=0.1, hecto=100.0, kilo=1e3, mega=1e6),
    "Microliter": 1e-9,
    "Milliliter": 1e-6,
    "CubicCentimeter": 1e-6,
    "CubicDecimeter": 1e-3,
    "CubicHectometer": 1e6,
    "CubicInch": _INCH**3,
    "CubicKilometer": 1e9,
    "CubicMicrometer": 1e-18,
    "CubicMile": 1609.344**3,
    "CubicMillimeter": 1e-9,
    "CubicYard": 0.9144**3,
    **_scaled("CubicFoot", _FOOT**3, hecto=100.0, kilo=1e3, mega=1e6),
    **_scaled("CubicMeter", 1.0, hecto=100.0, kilo=1e3),
    **_scaled("UsGallon", _US_GALLON, deca=10.0, deci=0.1, hecto=100.0, kilo=1e3, mega=1e6),
    **_scaled("ImperialGallon", _UK_GALLON, kilo=1e3, mega=1e6),
    "ImperialBeerBarrel": 36 * _UK_GALLON,
    "ImperialOunce": _UK_GALLON / 160,
    "ImperialPint": _UK_GALLON / 8,
    "MetricCup": 2.5e-4,
    "MetricTeaspoon": 5e-6,
    "OilBarrel": 42 * _US_GALLON,
    "UkTablespoon": 1.5e-5,
    "UsBeerBarrel": 31 * _US_GALLON,
    "UsCustomaryCup": _US_GALLON / 16,
    "UsLegalCup": 2.4e-4,
    "UsOunce": _US_GALLON / 128,
    "UsPint": _US_GALLON / 8,
    "UsQuart": _US_GALLON / 4,
    "UsTablespoon": _US_GALLON / 256,
    "UsTeaspoon": _US_GALLON / 768,
}

_MASS: _Linear = {
    **_scaled("Gram", 1e-3, centi=1e-2, deca=10.0, deci=0.1, hecto=100.0, kilo=1e3, micro=1e-6),
    "Milligram": 1e-6,
    "Nanogram": 1e-12,
    "EarthMass": 5.9722e24,
    "Grain": _POUND / 7000,
    **_scaled("Pound", _POUND, kilo=1e3, mega=1e6),
    **_scaled("Tonne", 1e3, kilo=1e3, mega=1e6),
    "LongHundredweight": 112 * _POUND,
    "LongTon": 2240 * _POUND,
    "Ounce": _POUND / 16,
    "ShortHundredweight": 100 * _POUND,
    "ShortTon": 2000 * _POUND,
    "Slug": _POUND * _GRAVITY / _FOOT,
    "SolarMass": 1.98947e30,
    "Stone": 14 * _POUND,
}

_FORCE: _Linear = {
    **_scaled("Newton", 1.0, deca=10.0, kilo=1e3, mega=1e6, micro=1e-6, milli=1e-3),
    "Dyn": 1e-5,
    "KilogramForce": _GRAVITY,
    "KiloPond": _GRAVITY,
    "KilopoundForce": 1e3 * _POUND * _GRAVITY,
    "OunceForce": _POUND * _GRAVITY / 16,
    "Poundal": _POUND * _FOOT,
    "PoundForce": _POUND * _GRAVITY,
    "ShortTonForce": 2000 * _POUND * _GRAVITY,
    "TonneForce": 1e3 * _GRAVITY,
}

_ENERGY: _Linear = {
    **_scaled("BritishThermalUnit", _BTU, giga=1e9, kilo=1e3, mega=1e6),
    **_scaled("Calorie", 4.184, kilo=1e3, mega=1e6),
    **_scaled("ElectronVolt", _EV, giga=1e9, kilo=1e3, mega=1e6, tera=1e12),
    **_scaled("Joule", 1.0, giga=1e9, kilo=1e3, mega=1e6, milli=1e-3),
    **_scaled("WattDay", 86400.0, giga=1e9, kilo=1e3, mega=1e6, tera=1e12),
    **_scaled("WattHour", 3600.0, giga=1e9, kilo=1e3, mega=1e6, tera=1e12),
    **_scaled("ThermEc", 1.05505585262e8, deca=10.0),
    **_scaled("ThermImperial", 1.05505585257348e8, deca=10.0),
    **_scaled("ThermUs", 1.054804e8, deca=10.0),
    "Erg": 1e-7,
    "FootPound": _POUND * _GRAVITY * _FOOT,
    "HorsepowerHour": 550 * _POUND * _GRAVITY * _FOOT * 3600,
}

_SPEED: _Linear = {
    **{
        f"{length}Per{time}": meters / seconds
        for length, meters in {
            "Centimeter": 1e-2,
            "Decimeter": 0.1,
            "Foot": _FOOT,
            "Inch": _INCH,
            "Kilometer": 1e3,
            "Meter": 1.0,
            "Micrometer": 1e-6,
            "Millimeter": 1e-3,
            "Nanometer": 1e-9,
            "UsSurveyFoot": _SURVEY_FOOT,
            "Yard": 0.9144,
        }.items()
        for time, seconds in {"Hour": 3600.0, "Minute": 60.0, "Second": 1.0}.items()
        if not (time == "Hour" and length in ("Decimeter", "Micrometer", "Nanometer"))
    },
    "Knot": 1852 / 3600,
    "MilePerHour": 1609.344 / 3600,
}

_ANGLE: _Linear = {
    **_scaled("Degree", math.pi / 180, micro=1e-6, milli=1e-3, nano=1e-9),
    **_scaled("Radian", 1.0, centi=1e-2, deci=0.1, micro=1e-6, milli=1e-3, nano=1e-9),
    "Arcminute": math.pi / 10800,
    "Arcsecond": math.pi / 648000,
    "Gradian": math.pi / 200,
    "NatoMil": math.pi / 3200,
    "Revolution": 2 * math.pi,
}


def _asin(x: float) -> float:
    return math.asin(x) if -1 <= x <= 1 else math.nan


_ANGLE_CURVES: Mapping[str, _Curve] = {"Tilt": (_asin, math.sin)}

_TEMPERATURE: Mapping[str, _Curve] = {
    "Kelvin": (lambda t: t, lambda k: k),
    "DegreeCelsius": (lambda t: t + 273.15, lambda k: k - 273.15),
    "MillidegreeCelsius": (lambda t: t / 1000 + 273.15, lambda k: (k - 273.15) * 1000),
    "DegreeDelisle": (lambda t: 373.15 - t * 2 / 3, lambda k: (373.15 - k) * 3 / 2),
    "DegreeFahrenheit": (lambda t: (t + 459.67) * 5 / 9, lambda k: k * 9 / 5 - 459.67),
    "DegreeNewton": (lambda t: t * 100 / 33 + 273.15, lambda k: (k - 273.15) * 33 / 100),
    "DegreeRankine": (lambda t: t * 5 / 9, lambda k: k * 9 / 5),
    "DegreeReaumur": (lambda t: t * 5 / 4 + 273.15, lambda k: (k - 273.15) * 4 / 5),
    "DegreeRoemer": (
        lambda t: (t - 7.5) * 40 / 21 + 273.15,
        lambda k: (k - 273.15) * 21 / 40 + 7.5,
    ),
    "SolarTemperature": (lambda t: t * 5778, lambda k: k / 5778),
}

_QUANTITIES: Mapping[str, tuple[_Linear, Mapping[str, _Curve]]] = {
    "angle": (_ANGLE, _ANGLE_CURVES),
    "energy": (_ENERGY, {}),
    "force": (_FORCE, {}),
    "length": (_LENGTH, {}),
    "mass": (_MASS, {}),
    "speed": (_SPEED, {}),
    "temperature": ({}, _TEMPERATURE),
    "volume": (_VOLUME, {}),
}

QUANTITIES = tuple(_QUANTITIES)
"""Names of the quantities: ``convert_<name>()`` converts each."""


def unit_names(quantity: str) -> frozenset[str]:
    """The units of a quantity, as Kusto spells them."""
    linear, curves = _QUANTITIES[quantity]
    return frozenset(linear) | frozenset(curves)


def convert(quantity: str, value: float | None, source: str, target: str) -> float | None:
    """``value`` in ``source`` units expressed in ``target`` units; ``None`` for a unit that is none."""
    if value is None:
        return None
    linear, curves = _QUANTITIES[quantity]
    if source in linear and target in linear:
        return value * linear[source] / linear[target] if source != target else float(value)
    names = unit_names(quantity)
    if source not in names or target not in names:
        return None
    base = curves[source][0](value) if source in curves else value * linear[source]
    return curves[target][1](base) if target in curves else base / linear[target]
