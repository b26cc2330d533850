"""The Basic Application Level Confidentiality Profile and its options (PS3.15, annex E) as a table of actions.

Actions: X remove, Z empty, D replace by a dummy, U replace the UID, K keep, C clean. Where the standard leaves a
choice by the type of the attribute in its information object (X/Z, X/D, Z/D, X/Z/D, X/Z/U*), the last one is taken:
it fits every type, so that the file stays valid, and hides the value all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Option(StrEnum):
    """An option of the profile."""

    RETAIN_UIDS = "retain_uids"
    RETAIN_DEVICE_IDENTITY = "retain_device_identity"
    RETAIN_INSTITUTION_IDENTITY = "retain_institution_identity"
    RETAIN_PATIENT_CHARACTERISTICS = "retain_patient_characteristics"
    RETAIN_FULL_DATES = "retain_full_dates"
    RETAIN_MODIFIED_DATES = "retain_modified_dates"
    RETAIN_SAFE_PRIVATE = "retain_safe_private"
    CLEAN_DESCRIPTORS = "clean_descriptors"
    CLEAN_STRUCTURED_CONTENT = "clean_structured_content"
    CLEAN_GRAPHICS = "clean_graphics"


class Code(NamedTuple):
    """A code of context group 7050 (PS3.16), scheme DCM."""

    value: str
    meaning: str


PROFILE = Code("113100", "Basic Application Confidentiality Profile")
CODES = {
    Option.CLEAN_GRAPHICS: Code("113103", "Clean Graphics Option"),
    Option.CLEAN_STRUCTURED_CONTENT: Code("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: Code("113105", "Clean Descriptors Option"),
    Option.RETAIN_FULL_DATES: Code("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    Option.RETAIN_MODIFIED_DATES: Code(
        "113107", "Retain Longitudinal Temporal Information Modified Dates Option"
    ),
    Option.RETAIN_PATIENT_CHARACTERISTICS: Code("113108", "Retain Patient Characteristics Option"),
    Option.RETAIN_DEVICE_IDENTITY: Code("113109", "Retain Device Identity Option"),
    Option.RETAIN_UIDS: Code("113110", "Retain UIDs Option"),
    Option.RETAIN_SAFE_PRIVATE: Code("113111", "Retain Safe Private Option"),
    Option.RETAIN_INSTITUTION_IDENTITY: Code("113112", "Retain Institution Identity Option"),
}


@dataclass(frozen=True)
class Rule:
    """What to do with an attribute.

    Parameters
    ----------
    basic
        The profile's action.
    options
        The actions of options that differ from it.
    """

    basic: str
    options: dict[Option, str]

    def action(self, chosen: Collection[Option]) -> tuple[str, Option | None]:
        """Return the action under some options, and the option that asks for it; keeping goes before cleaning."""
        wanted = [(self.options[option], option) for option in chosen if option in self.options]
        for action, option in sorted(wanted, key=lambda one: (one[0] != "K", one[1])):
            return action, option
        return self.basic.rsplit("/", 1)[-1].rstrip("*"), None


def rule_for(tag: int) -> Rule | None:
    """Return the rule for a standard attribute, or None where the profile does not mention it.

    Examples
    --------
    >>> rule_for(0x00100010).action(())
    ('Z', None)
    >>> rule_for(0x00080060) is None  # Modality
    True
    """
    return _rules().get(f"{tag:08x}") or _rules().get(_repeating(tag))


def _repeating(tag: int) -> str:
    """Return the row of a repeating group: curves (50xx), overlays (60xx)."""
    group = tag >> 24
    return "50xxxxxx" if group == 0x50 else f"60xx{tag & 0xFFFF:04x}" if group == 0x60 else ""


@functools.cache
def _rules() -> dict[str, Rule]:
    rules = {}
    for line in Path(__file__).with_name("profile.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        tag, _name, basic, *rest = line.split("\t")
        pairs = (field.split("=") for field in (rest[0].split() if rest else ()))
        rules[tag] = Rule(basic, {Option(option): action for option, action in pairs})
    return rules
