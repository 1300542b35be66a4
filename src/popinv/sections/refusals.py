"""Which part of a study does not take which trait: the one table of refusals.

A part is a key of the study (``assessment.baselines``), a key with one of its values
(``estimator: distance``) or a trait, for two statements that do not go together. A trait is what a
study has (:mod:`popinv.config.traits`). A reason ends with what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping

_ONE_OUT = "leave one of the two out"
_AGAIN = "put the rows into the study's own file, and run it again"
_EVIDENCE = ("evidence.system_counts", "evidence.design_counts", "evidence.calibration")
_NETWORKS = "it compares networks; leave it out"
_MEMBERS_JOINED = "crossed levels join the members into one system or few"
_INTRINSIC = "it can take the place of most intrinsic variation, so that the two are not told apart"
_UNKNOWN_INFORMATION = (
    "the server cannot know the information of the systems without observations; leave it out"
)

# The reasons by trait, then by part.
_REASONS: dict[str, dict[str, str]] = {
    "levels": {
        "noise covariates": (
            "noise that depends on covariates is one scale of a whole group, and members "
            "have covariates of their own; leave it out, or leave out 'law.levels'"
        ),
        "design": (
            "a design has no levels: the members of a group share effects, and the information of "
            "a group is not that of its members; plan with a law without 'levels'"
        ),
        "fitted discrepancy": (
            f"the integrals of a group do not take the mean of the noise; {_ONE_OUT}"
        ),
    },
    "synthetic population": {
        "crossed levels": "crossed levels are columns of a table; leave 'law.crossed' out",
    },
    "crossed levels": {
        "assessment.baselines: two_stage": (
            f"it fits many systems one by one, and {_MEMBERS_JOINED}; leave it out"
        ),
        "observations.additions": (
            f"systems that share a label change a group of the study; {_AGAIN}"
        ),
    },
    "inputs over time": {
        "downstream.federated.noise": _UNKNOWN_INFORMATION,
        "levels": (
            "the members of a group have no inputs over time of their own; leave 'levels' "
            "or 'forward.inputs' out"
        ),
        "synthetic population": (
            "an imaginary population has no inputs over time; give the "
            "'observations.file', of which the file of inputs names the systems"
        ),
        "surrogate.kind: gaussian_process": (
            "it does not take 'forward.inputs'; use 'network', with an 'inputs.summary', or 'none'"
        ),
    },
    "inputs without a summary": {
        "surrogate.kind: network": (
            "it would learn from every time and value of 'forward.inputs'; state an "
            "'inputs.summary' on which alone the observations depend, or use 'none': the "
            "simulator itself, which is then called often"
        ),
    },
    "limits": {
        "downstream.federated.noise": _UNKNOWN_INFORMATION,
        "heavy tails of correlated noise": (
            "the values seen depend on the censored ones before them through independent "
            "innovations, and the probability of the censored ones has neither a closed "
            "form nor a rule of known error; choose Gaussian tails, or noise of kind "
            "'isotropic' or 'diagonal'"
        ),
        "design": (
            "observations with limits ('censored_below', 'censored_above', 'not_below', "
            "'not_above', 'censoring_column') lose information where they are censored, "
            "which this prediction does not count; plan without them"
        ),
        "noise.discrepancy.own": (
            f"their probability is computed for the noise of the measurement alone; {_ONE_OUT}"
        ),
    },
    "noise scales": {
        "downstream.federated.noise": _UNKNOWN_INFORMATION,
        "design": (
            "systems with noise scales of their own ('noise_scale', 'noise_scale_column') "
            "differ in what they tell; plan without them, for systems of scale 1"
        ),
        "noise.discrepancy.own": (
            f"they multiply the noise of the measurement and not the discrepancy; {_ONE_OUT}"
        ),
    },
    "gaps": {"downstream.federated.noise": _UNKNOWN_INFORMATION},
    "known quantities": {"downstream.federated.noise": _UNKNOWN_INFORMATION},
    "unrestricted noise": {
        "fitted discrepancy": (
            "it has every covariance, so that no part of it could be called a "
            "discrepancy, and it moves by a step of its own; choose 'kernel', "
            "'autoregressive', 'diagonal' or 'isotropic'"
        ),
        "design": (
            "noise of kind 'full' has a parameter for each pair of places, so that it says nothing "
            "of places that are not observed; plan with noise of kind 'kernel', 'isotropic' or "
            "'diagonal'"
        ),
    },
    "several quantities": {
        "fitted discrepancy": (
            "a discrepancy has one amplitude for all of them, in one unit; observe one "
            "quantity, or leave it out"
        ),
    },
    "free shape": {
        "fitted discrepancy": (
            "a free shape of the law takes up a part of the discrepancy, and what the "
            "observations determine is not tested; choose a normal, lognormal or "
            "transformed_normal law, or a random field"
        ),
    },
    "own places": {
        "noise.discrepancy.own": (
            "its covariance would differ from system to system; leave it out"
        ),
        "noise.discrepancy.shared: free": (
            "no two observations share a value of the discrepancy; choose a smooth one, "
            "'shared: {kernel: matern52}'"
        ),
        **dict.fromkeys(
            [
                f"noise.discrepancy.shared.kernel: {kernel}"
                for kernel in ("exponential", "matern32")
            ],
            "its process is too rough to be interpolated from knots; choose 'matern52' or "
            "'squared_exponential'",
        ),
        "noise.kind: kernel": "it needs the same places in all systems; use 'isotropic'",
    },
    "own places in the plane": {
        "smooth discrepancy": (
            "the discrepancy is interpolated along a line alone; set 'forward.dimension: "
            "1', or leave it out"
        ),
    },
    "errors": {
        "noise.discrepancy.own": (
            f"the discrepancy of a system would grow with the noise of the measurement; {_ONE_OUT}"
        ),
    },
    "own discrepancy with replicates": {
        "downstream.posterior": (
            "replicates share the discrepancy of a system, while predictions draw each "
            f"measurement anew; {_ONE_OUT}"
        ),
    },
    "fitted discrepancy": {
        "estimator: distance": (
            "it cannot determine the size of a discrepancy; use 'auto', "
            "'pseudo_likelihood' or 'likelihood'"
        ),
        "polish.restricted": (
            "the means of the law are not told apart from a discrepancy by the data "
            "alone, so that they cannot be integrated without a prior; leave the key out"
        ),
        "assessment.baselines": (
            "the other methods have no discrepancy of the simulator, so that the "
            "comparison would be of two models; leave it out"
        ),
        **dict.fromkeys(
            _EVIDENCE,
            "each data set would need a new discrepancy; leave it out ('python -m "
            "benchmarks.discrepancy' measures the coverage)",
        ),
        "observations.additions": (
            "the size of the discrepancy would have to be determined anew; put all "
            "systems into one file"
        ),
        "design": (
            "noise with a 'discrepancy' has an error at each place that is observed, which this "
            "prediction counts as known; plan without 'noise.discrepancy'"
        ),
    },
    "random simulator": {
        **dict.fromkeys(
            ("surrogate.kind: gaussian_process", "surrogate.kind: none"),
            "mean and covariance of the simulator's answer are learned by a network; use 'network'",
        ),
        "forward.derivatives": (
            "derivatives of one random answer are not those of its mean or of its "
            "covariance; leave the key out"
        ),
        "inputs over time": (
            "mean and covariance of a random answer are not learned from inputs over "
            "time; state what the answer depends on as 'forward.design'"
        ),
        "levels": (
            "a group would share or not share the random part of its members' answers, "
            "which the model does not state; leave the key out, or give the effects of a "
            "group as covariates"
        ),
        "one round": (
            "the broad first design of a random simulator only finds the population; take "
            "at least 2"
        ),
        "errors": (
            "the sum of intrinsic variation and measurement noise has a closed form only "
            "for Gaussian noise of a constant size; leave the key out. An error that "
            "grows with the signal can be a part of the random simulator"
        ),
        "discrepancy": (
            "a discrepancy would have to be told apart from the error of the learned "
            f"mean, which single solves do not show; {_ONE_OUT}"
        ),
        "unrestricted noise": f"{_INTRINSIC}; use 'diagonal', 'isotropic' or 'kernel'",
        "channels at one time": (
            f"at one time it is a free covariance of observations: {_INTRINSIC}; use "
            "'diagonal' or 'isotropic', or observe several times"
        ),
        "limits": (
            "the probability of censored values is not computed for a random simulator; "
            "leave the censored values empty, if they are missing by chance, or let the "
            "simulator censor its own answer"
        ),
        **dict.fromkeys(
            ("solver in the last step", "polish.seconds_per_solve"),
            "the last step of the estimate does not use a random simulator itself: it "
            "needs mean and covariance, which a solve does not give; leave the key "
            "out",
        ),
        "evidence.design_counts": (
            "it compares errors of surrogates by single solves, which a random simulator "
            "does not show; leave it out"
        ),
        "data sets of the surrogate": (
            "new data sets of a random simulator are runs of the simulator itself; set "
            "'through: solver'"
        ),
        "assessment.baselines: two_stage": (
            "it takes the fitted parameters of a system for its true ones and the rest "
            "for noise, of which intrinsic variation is not a part; leave it out"
        ),
        "observations.additions": (
            f"single solves do not measure the error of its surrogate at new systems; {_AGAIN}"
        ),
        "design": (
            "the simulator is random ('forward.stochastic'), and the prediction of a design takes "
            "its answer for the observation without noise; designs are not made for it"
        ),
    },
    "noise with its own step": {
        **dict.fromkeys(
            ("descent.optimiser: adam", "descent.policy: full", "descent.policy: plain"),
            "such noise moves by a step that needs the optimiser 'gauss_newton' and "
            "the policy 'cut'; leave it out, or choose another noise",
        ),
        **dict.fromkeys(
            ("assessment.baselines: full", "assessment.baselines: plain"),
            "it is of another policy than 'cut', by whose steps such noise moves; "
            "leave it out, or choose another noise",
        ),
    },
    "law without a density": {
        "assessment.baselines: two_stage": (
            "it needs the density of the law, which has no closed form; leave it out "
            "(full, plain and nuts do without)"
        ),
    },
    "law without means": {
        "polish.restricted": (
            "it has no mean that could be integrated; use the law normal, lognormal or "
            "transformed_normal, or leave the key out"
        ),
    },
    "estimator without likelihood": {
        "polish.restricted": (
            "it computes no likelihood; use 'estimator: likelihood' or 'auto', or leave the key out"
        ),
    },
    "free form": {
        "design": (
            "a law of free form has coefficients without a meaning of their own, whose errors are "
            "no aim of a design; plan with a normal or lognormal law, or a mixture"
        ),
    },
    "no surrogate": {
        "forward.pass_seed": (
            "solves differ at random, so that differences of solves are no derivatives; "
            "use a surrogate, or a program without random numbers"
        ),
        "evidence.design_counts": _NETWORKS,
    },
    "simulator that needs a surrogate": {
        "surrogate.kind: none": (
            "only a Python function of torch that takes a table of systems (forward.kind "
            "'python', derivatives 'torch', vectorised true) needs no surrogate, or a "
            "function without derivatives or a program with 'forward.inputs'; use "
            "'network'"
        ),
    },
    "sampling error": {
        "surrogate.kind: gaussian_process": (
            "a Gaussian process does not subtract the sampling error of solves from the "
            "noise; use 'network'"
        ),
    },
    "file": {
        "drawn places": (
            "the observations were taken at known places; give them as 'sensors: "
            "{positions: [...]}', in the order of the file's columns (or 'placement: "
            "regular'); places that differ from system to system are columns of the file "
            "with 'design: [sensors]'"
        ),
        **dict.fromkeys(
            ("evidence.system_counts", "evidence.design_counts"),
            "it compares with a known truth; leave 'evidence' out, or use a synthetic "
            "study ('observations.truth')",
        ),
    },
    "Gaussian process": {
        "evidence.design_counts": _NETWORKS,
    },
}

REFUSED: Mapping[tuple[str, str], str] = {
    (part, trait): reason for trait, own in _REASONS.items() for part, reason in own.items()
}
"""Why a part of a study does not take a trait, by both; methods state theirs in their records.

The part ``design`` is the prediction of an experiment, of which a study has no key.
"""
