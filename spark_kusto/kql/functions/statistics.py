"""Rows of special functions, probability distributions and conversion of units."""

from __future__ import annotations

import math
from functools import partial

from spark_kusto.kql.algorithms import distributions, units
from spark_kusto.kql.registry import REAL, STRING, parameter, python_scalar

python_scalar("erf", [REAL], REAL, math.erf, column="{0}")
python_scalar("erfc", [REAL], REAL, math.erfc, column="{0}")
python_scalar("gamma", [REAL], REAL, distributions.gamma, column="{0}")
python_scalar("loggamma", [REAL], REAL, distributions.loggamma, column="{0}")

for _name in ("beta_cdf", "beta_inv", "beta_pdf"):
    python_scalar(
        _name,
        [REAL, parameter(REAL, "alpha"), parameter(REAL, "beta")],
        REAL,
        getattr(distributions, _name),
    )

python_scalar("welch_test", [REAL] * 6, REAL, distributions.welch_test)

for _quantity in units.QUANTITIES:
    python_scalar(
        f"convert_{_quantity}",
        [parameter(REAL, "value"), parameter(STRING, "from"), parameter(STRING, "to")],
        REAL,
        partial(units.convert, _quantity),
    )
