"""Audits: what outputs prove about privacy, from below.

An accountant bounds epsilon from above; an audit bounds it from below, with a stated confidence, and a lower bound
above the upper one is a bug. `check` looks at a mechanism, `one_run_epsilon` at one training, `membership_curve` shows
what an attacker would see.
"""

from medcrypt.dp.audit.check import Auditable, Report, check
from medcrypt.dp.audit.distinguishing import epsilon_lower_bound
from medcrypt.dp.audit.intervals import binomial_tail, clopper_pearson
from medcrypt.dp.audit.membership import MembershipCurve, membership_curve
from medcrypt.dp.audit.one_run import canary_coins, one_run_epsilon, one_run_guesses, one_run_p_value

__all__ = [
    "Auditable",
    "MembershipCurve",
    "Report",
    "binomial_tail",
    "canary_coins",
    "check",
    "clopper_pearson",
    "epsilon_lower_bound",
    "membership_curve",
    "one_run_epsilon",
    "one_run_guesses",
    "one_run_p_value",
]
