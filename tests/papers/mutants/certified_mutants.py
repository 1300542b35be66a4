"""Wrong formulas of certified unlearning: each changes a row of the table, or fails a test."""

from __future__ import annotations

import xarray as xr
from changed_source import Table, ordinary_tests

from popinv.methods import privacy
from popinv.methods.certificate import accountant, descent, requests
from popinv_papers.certified_unlearning import accounts, claims, digits, guarantees

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


def rows_hold() -> None:
    """Check every row that has no chance in it."""
    assert set(rows().values()) == {"holds"}


MUTANTS: Table = {
    (accountant, rows_hold): [
        ("else 2 * self.lipschitz", "else 1.8 * self.lipschitz"),
        ("return min(self.geometric(epochs) *", "return min(1.1 * self.geometric(epochs) *"),
        (
            "        shrink = self.rate * self.strong",
            "        shrink = 0.9 * self.rate * self.strong",
        ),
        ("value = math.exp(2 * steps", "value = math.exp(1.8 * steps"),
        ("value *= math.expm1(", "value *= 1.2 * math.expm1("),
        ("/ (2 * self.rate * sigma**2)", "/ (2.3 * self.rate * sigma**2)"),
    ],
    (accountant, BOUNDS.test_gap_of_records_by_batch): [
        ("return 1 - self.rate * self.strong", "return 1 - 0.9 * self.rate * self.strong"),
        ("later = self.batches - 1 - touched", "later = self.batches - touched"),
    ],
    (accountant, BOUNDS.test_no_gap_is_wider_than_the_ball): [
        ("return 2 * self.radius", "return 1.8 * self.radius"),
    ],
    (accountant, BOUNDS.test_normal_laws_leave_nothing_to_gain): [
        ("return value / 2 if", "return value / 1.8 if"),
    ],
    (guarantees, rows_hold): [
        (
            "left = setting.shrunk(whole, epochs[-1])",
            "left = 0.8 * setting.shrunk(whole, epochs[-1])",
        ),
    ],
    (guarantees, GUARANTEES.test_no_gap_of_a_sequence_is_wider_than_the_ball): [
        (
            "setting.shrunk(setting.widest, learnt) + setting.gap",
            "setting.shrunk(setting.widest, learnt) - setting.gap",
        ),
    ],
    (guarantees, GUARANTEES.test_noise_for_one_epoch_before_convergence): [
        ("half = 3 * epsilon + 4", "half = 3 * epsilon + 3.5"),
    ],
    (privacy, BOUNDS.test_epsilon_of_threes_against_eights): [
        ("return a + 2 * math.sqrt", "return a + 1.8 * math.sqrt"),
    ],
    (privacy, rows_hold): [
        ("+ math.sqrt(ell))) ** 2", "+ 0.8 * math.sqrt(ell))) ** 2"),
    ],
    (accounts, rows_hold): [
        ("(setting.smooth - setting.strong) /", "(setting.smooth - 1.1 * setting.strong) /"),
        ("math.sqrt(2 * self.dimension)", "math.sqrt(1.6 * self.dimension)"),
        ("unit = 4 * scale**2", "unit = 4.4 * scale**2"),
        ("joined = (a - 0.5) /", "joined = (a - 0.4) /"),
    ],
    (accounts, GUARANTEES.test_noise_of_descent_to_delete_hides_what_is_left_of_a_record): [
        ("4 * math.sqrt(2) * self._reached", "4 * self._reached"),
    ],
    (descent, RUNS.test_noise_has_the_variance_of_the_paper): [
        ("width = (math.sqrt(2 * setting.rate)", "width = (math.sqrt(2.4 * setting.rate)"),
    ],
    (descent, RUNS.test_the_start_is_as_wide_as_the_law_without_data): [
        ("width = np.sqrt(2 / setting.strong)", "width = np.sqrt(2.4 / setting.strong)"),
    ],
    (descent, RUNS.test_unlearning_has_the_law_of_retraining): [
        (
            "moved = setting.contraction * parameters - ",
            "moved = setting.contraction * parameters + ",
        ),
    ],
    (descent, RUNS.test_constants_bound_what_a_record_can_do): [
        (
            "moved = setting.contraction * parameters - setting.rate",
            "moved = setting.contraction * parameters - 2.2 * setting.rate",
        ),
    ],
    (digits, RUNS.test_slope_of_the_logistic_loss): [
        ("-y * expit(-y * z)", "-y * expit(-1.2 * y * z)"),
    ],
    (requests, RUNS.test_a_request_carries_what_is_left_of_those_before): [
        ("gap = min(holder.left + own_gap", "gap = min(0.8 * holder.left + own_gap"),
    ],
}
