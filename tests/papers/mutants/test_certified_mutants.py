"""Wrong formulas of certified unlearning: each changes a row of the table, or fails a test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import xarray as xr
from source_mutants import fails, mutated, ordinary_tests

from popinv.methods import privacy
from popinv.methods.certificate import accountant, descent, requests
from popinv_papers.certified_unlearning import accounts, claims, digits, guarantees

pytestmark = pytest.mark.slow

BOUNDS = ordinary_tests("test_certificate_accountant")
GUARANTEES = ordinary_tests("test_certified_guarantees")
RUNS = ordinary_tests("test_certified_unlearning")


def rows() -> dict[str, str]:
    """Return the status of every row that has no chance in it."""
    epochs = accounts.epochs_of_methods()
    second = accounts.epochs_of_second()
    result = xr.Dataset(
        {
            "epochs": (("method", "request"), list(epochs.values())),
            "epochs_of_second": (("second_method", "request"), list(second.values())),
            "epochs_by_noise": (("noise", "batch", "request"), accounts.epochs_by_noise()),
        },
        {
            "method": list(epochs),
            "second_method": list(second),
            "noise": list(accounts.MORE_NOISES),
            "batch": list(accounts.NOISE_BATCHES),
        },
    )
    found = [*claims._costs(result), *claims._stored_epochs(result)]
    return {claim.claim: claim.status for claim in found}


@pytest.fixture(scope="module")
def right() -> dict[str, str]:
    """The table of the formulas as they are."""
    return rows()


# The module, its change, and the ordinary test that fails; a row of the table changes without one.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None] | None]] = [
    (accountant, "else 2 * self.lipschitz", "else 1.8 * self.lipschitz", None),
    (
        accountant,
        "return min(self.geometric(epochs) *",
        "return min(1.1 * self.geometric(epochs) *",
        None,
    ),
    (
        accountant,
        "        shrink = self.rate * self.strong",
        "        shrink = 0.9 * self.rate * self.strong",
        None,
    ),
    (accountant, "value = math.exp(2 * steps", "value = math.exp(1.8 * steps", None),
    (accountant, "value *= math.expm1(", "value *= 1.2 * math.expm1(", None),
    (accountant, "/ (2 * self.rate * sigma**2)", "/ (2.3 * self.rate * sigma**2)", None),
    (
        guarantees,
        "left = setting.shrunk(whole, epochs[-1])",
        "left = 0.8 * setting.shrunk(whole, epochs[-1])",
        None,
    ),
    (
        accountant,
        "return 1 - self.rate * self.strong",
        "return 1 - 0.9 * self.rate * self.strong",
        BOUNDS.test_gap_of_records_by_batch,
    ),
    (
        accountant,
        "return 2 * self.radius",
        "return 1.8 * self.radius",
        BOUNDS.test_no_gap_is_wider_than_the_ball,
    ),
    (
        guarantees,
        "setting.shrunk(setting.widest, learnt) + setting.gap",
        "setting.shrunk(setting.widest, learnt) - setting.gap",
        GUARANTEES.test_no_gap_of_a_sequence_is_wider_than_the_ball,
    ),
    (
        accountant,
        "return value / 2 if",
        "return value / 1.8 if",
        BOUNDS.test_normal_laws_leave_nothing_to_gain,
    ),
    (
        accountant,
        "later = self.batches - 1 - touched",
        "later = self.batches - touched",
        BOUNDS.test_gap_of_records_by_batch,
    ),
    (
        privacy,
        "return a + 2 * math.sqrt",
        "return a + 1.8 * math.sqrt",
        BOUNDS.test_epsilon_of_threes_against_eights,
    ),
    (privacy, "+ math.sqrt(ell))) ** 2", "+ 0.8 * math.sqrt(ell))) ** 2", None),
    (
        guarantees,
        "half = 3 * epsilon + 4",
        "half = 3 * epsilon + 3.5",
        GUARANTEES.test_noise_for_one_epoch_before_convergence,
    ),
    (
        accounts,
        "(setting.smooth - setting.strong) /",
        "(setting.smooth - 1.1 * setting.strong) /",
        None,
    ),
    (accounts, "math.sqrt(2 * self.dimension)", "math.sqrt(1.6 * self.dimension)", None),
    (accounts, "unit = 4 * scale**2", "unit = 4.4 * scale**2", None),
    (accounts, "joined = (a - 0.5) /", "joined = (a - 0.4) /", None),
    (
        accounts,
        "4 * math.sqrt(2) * self._reached",
        "4 * self._reached",
        GUARANTEES.test_noise_of_descent_to_delete_hides_what_is_left_of_a_record,
    ),
    (
        descent,
        "width = (math.sqrt(2 * setting.rate)",
        "width = (math.sqrt(2.4 * setting.rate)",
        RUNS.test_noise_has_the_variance_of_the_paper,
    ),
    (
        descent,
        "width = np.sqrt(2 / setting.strong)",
        "width = np.sqrt(2.4 / setting.strong)",
        RUNS.test_the_start_is_as_wide_as_the_law_without_data,
    ),
    (
        descent,
        "moved = setting.contraction * parameters - ",
        "moved = setting.contraction * parameters + ",
        RUNS.test_unlearning_has_the_law_of_retraining,
    ),
    (
        descent,
        "moved = setting.contraction * parameters - setting.rate",
        "moved = setting.contraction * parameters - 2.2 * setting.rate",
        RUNS.test_constants_bound_what_a_record_can_do,
    ),
    (
        digits,
        "-y * expit(-y * z)",
        "-y * expit(-1.2 * y * z)",
        RUNS.test_slope_of_the_logistic_loss,
    ),
    (
        requests,
        "gap = min(holder.left + own_gap",
        "gap = min(0.8 * holder.left + own_gap",
        RUNS.test_a_request_carries_what_is_left_of_those_before,
    ),
]


@pytest.mark.parametrize(
    ("module", "old", "new", "killer"), MUTANTS, ids=[mutant[2].strip() for mutant in MUTANTS]
)
def test_a_wrong_formula_is_found(
    module: ModuleType,
    old: str,
    new: str,
    killer: Callable[..., None] | None,
    right: dict[str, str],
) -> None:
    with mutated(module, old, new):
        found = fails(killer) if killer else rows() != right
    assert found


def test_the_tests_pass_on_the_right_formulas(right: dict[str, str]) -> None:
    assert set(right.values()) == {"holds"}
    assert not any(fails(killer) for *_, killer in MUTANTS if killer)
    assert rows() == right
