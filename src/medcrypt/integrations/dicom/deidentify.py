"""De-identification by the Basic Application Level Confidentiality Profile (PS3.15, annex E) and its options.

The table of actions is ``profile.tsv``. It covers what DICOM's designers know to identify people; text that was typed
into other attributes, text burned into pixels and recognizable faces are not found by it: for those see
`encrypt_pixels` with regions.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from medcrypt.errors import FormatError
from medcrypt.integrations.dicom import block
from medcrypt.integrations.dicom.attributes import Holders, conceal
from medcrypt.integrations.dicom.dummies import dummy, empty, vr_of
from medcrypt.integrations.dicom.parsing import (
    Source,
    as_bytes,
    damage_is_a_format_error,
    parse,
    tags_of,
    text_of,
    to_bytes,
    transfer_syntax,
)
from medcrypt.integrations.dicom.profile import CODES, PROFILE, Code, Option, rule_for
from medcrypt.integrations.dicom.pseudonyms import Pseudonyms
from medcrypt.integrations.dicom.signatures import Signer
from medcrypt.keys import SecretKey

if TYPE_CHECKING:
    import pydicom

__all__ = ["deidentify"]

Clean: TypeAlias = Callable[[str, Any], Any]
SafePrivate: TypeAlias = Collection[tuple[str, int, int]]

_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
_PIXEL_GROUP = 0x7FE0
_FREE_TEXT = {"LT", "ST", "UC", "UT"}
_NEED_CLEAN = {Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_GRAPHICS}
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})(.*)", re.DOTALL)


def deidentify(
    source: Source,
    key: SecretKey,
    options: Iterable[Option | str] = (),
    *,
    clean: Clean | None = None,
    safe_private: SafePrivate = (),
    keep_for: Holders | None = None,
    signer: Signer | None = None,
    context: bytes = b"",
) -> bytes:
    """De-identify a DICOM file.

    Parameters
    ----------
    source
        The path of a DICOM file, or its bytes.
    key
        UIDs, patient identifiers and shifts of dates are derived from it: files that are processed under one key stay
        together, and only its holders can tell which original a UID stands for.
    options
        Options of the profile: names of `Option`, such as ``"retain_uids"``.
    clean
        Needed by the options that clean: ``clean(keyword, value)`` returns the value without what identifies, or None
        where the profile's own action shall be taken.
    safe_private
        (creator, group, element's last byte) of private elements to keep, with ``"retain_safe_private"``.
    keep_for
        Keep the original, encrypted, in the file: for certificates or medcrypt keys, as `encrypt_attributes` does;
        `decrypt_attributes` restores it byte for byte.
    signer, context
        As for `encrypt_attributes`.

    Returns
    -------
    bytes
        The file, in its own transfer syntax. Pixel data stay as they are.

    Raises
    ------
    FormatError
        Not a DICOM file, a DICOMDIR, or one whose pixels or attributes medcrypt encrypted: de-identify first.
    ValueError
        Unknown options, options that exclude each other, or cleaning without ``clean``.

    Examples
    --------
    >>> import io
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> from medcrypt import SecretKey
    >>> key, path = SecretKey.generate(), get_testdata_file("CT_small.dcm")
    >>> dataset = dcmread(io.BytesIO(deidentify(path, key, ["retain_patient_characteristics"])))
    >>> dataset.PatientIdentityRemoved, dataset.PatientBirthDate, dataset.PatientSex, len(dataset.PatientID)
    ('YES', '', 'O', 16)
    """
    chosen = frozenset(Option(option) for option in options)
    _check_options(chosen, clean)
    data = as_bytes(source)
    dataset = parse(data)
    if block.has_any(dataset, (*block.PIXELS, block.SEALED_ATTRIBUTES, block.SIGNATURE)):
        raise FormatError("parts of this file are encrypted already: de-identify it first")
    work = _Deidentification(Pseudonyms(key), chosen, clean, frozenset(safe_private), dataset)
    try:
        with damage_is_a_format_error():
            tags = work.apply(dataset) | _state_method(dataset, chosen)
            _renew_file_meta(dataset)
    except FormatError:
        if work.clean_failed is not None:
            raise work.clean_failed from None
        raise
    if keep_for is None:
        return to_bytes(dataset)
    return conceal(data, dataset, tuple(sorted(tags)), keep_for, signer, context)


class _Deidentification:
    """The walk through one data set: what was chosen, and what its patient becomes."""

    def __init__(
        self,
        pseudonyms: Pseudonyms,
        options: frozenset[Option],
        clean: Clean | None,
        safe_private: frozenset[tuple[str, int, int]],
        dataset: pydicom.Dataset,
    ) -> None:
        patient = text_of(dataset, "PatientID"), text_of(dataset, "IssuerOfPatientID")
        self._patient = pseudonyms.patient(*patient)
        self._pseudonyms = pseudonyms
        self._options = options
        self._clean = clean
        self._safe_private = safe_private if Option.RETAIN_SAFE_PRIVATE in options else frozenset()
        self._shift = pseudonyms.shift(*patient)
        self.clean_failed: Exception | None = None  # the caller's own error, not one of the file

    def apply(self, dataset: pydicom.Dataset, *, content: bool = False) -> set[int]:
        """De-identify in place and return the tags that are not as they were.

        Parameters
        ----------
        dataset
            The data set, or an item of a sequence.
        content
            Whether it is structured content that is being cleaned, where any free text may identify.
        """
        patient = self._patient_of(dataset)
        private = self._unsafe_private(dataset)
        changed = set()
        for tag in tags_of(dataset):
            if tag in private:
                del dataset[tag]
                changed.add(int(tag))
            elif tag.is_private:
                if self._into_items(dataset, tag, content):
                    changed.add(int(tag))
            elif tag >> 16 != _PIXEL_GROUP and self._act(dataset, tag, patient, content):
                changed.add(int(tag))
        return changed

    def _act(self, dataset: pydicom.Dataset, tag: int, patient: str, content: bool) -> bool:
        """Do what the profile asks for with one element, and tell whether it changed."""
        rule, vr = rule_for(tag), vr_of(dataset, tag)
        if tag in {_PATIENT_NAME, _PATIENT_ID}:
            return _replace(dataset, tag, patient if dataset[tag].value else "")
        if rule is None and not _is_known(tag):
            return self._hide(dataset, tag, "X", vr)
        if rule is None and content and vr in _FREE_TEXT:
            return self._clean_value(dataset, tag, "D", vr)
        action, option = rule.action(self._options) if rule else ("K", None)
        if action == "K":
            return self._into_items(dataset, tag, content)
        if rule and action == "C":
            return self._clean_element(dataset, tag, rule.action(())[0], vr, option)
        return self._hide(dataset, tag, action, vr)

    def _hide(self, dataset: pydicom.Dataset, tag: int, action: str, vr: str) -> bool:
        """Take an action of the profile itself."""
        if action == "X":
            del dataset[tag]
        elif action == "U":
            return self._replace_uids(dataset, tag, vr)
        elif action == "Z":
            dataset[tag] = empty(tag, vr)
        else:
            dataset[tag] = dummy(tag, vr)
        return True

    def _clean_element(
        self, dataset: pydicom.Dataset, tag: int, otherwise: str, vr: str, option: Option | None
    ) -> bool:
        if option is Option.RETAIN_MODIFIED_DATES:
            return self._move_date(dataset, tag, otherwise, vr)
        if vr == "SQ":
            inside = option is Option.CLEAN_STRUCTURED_CONTENT
            return self._into_items(dataset, tag, inside)
        return self._clean_value(dataset, tag, otherwise, vr)

    def _clean_value(self, dataset: pydicom.Dataset, tag: int, otherwise: str, vr: str) -> bool:
        """Let the caller clean a value, or take the other action."""
        from pydicom.datadict import keyword_for_tag

        element = dataset[tag]
        try:
            cleaned = self._clean(keyword_for_tag(tag), element.value) if self._clean else None
        except Exception as error:
            self.clean_failed = error
            raise
        if cleaned is None:
            return self._hide(dataset, tag, otherwise, vr)
        return _replace(dataset, tag, cleaned)

    def _into_items(self, dataset: pydicom.Dataset, tag: int, content: bool) -> bool:
        """De-identify the items of a sequence."""
        if vr_of(dataset, tag) != "SQ":
            return False
        changed = [self.apply(item, content=content) for item in dataset[tag].value]
        return any(changed)

    def _replace_uids(self, dataset: pydicom.Dataset, tag: int, vr: str) -> bool:
        if vr == "SQ":
            return self._into_items(dataset, tag, content=False)
        value = dataset[tag].value
        if not value:
            return False
        uids = [value] if isinstance(value, str) else list(value)
        replaced = [self._pseudonyms.uid(str(uid)) for uid in uids]
        return _replace(dataset, tag, replaced[0] if isinstance(value, str) else replaced)

    def _move_date(self, dataset: pydicom.Dataset, tag: int, otherwise: str, vr: str) -> bool:
        """Move dates, and keep times of the day."""
        if vr == "TM":
            return False
        value = dataset[tag].value
        texts = [str(one) for one in ([value] if not _is_many(value) else value)] if value else []
        moved = [_moved(text, self._shift) for text in texts] if vr in {"DA", "DT"} else [None]
        if None in moved:
            return self._hide(dataset, tag, otherwise, vr)
        return _replace(dataset, tag, moved if len(moved) > 1 else moved[0] if moved else "")

    def _patient_of(self, dataset: pydicom.Dataset) -> str:
        """Return the pseudonym of the patient that an item names, or else that of the file's patient."""
        patient_id = text_of(dataset, "PatientID")
        if not patient_id:
            return self._patient
        return self._pseudonyms.patient(patient_id, text_of(dataset, "IssuerOfPatientID"))

    def _unsafe_private(self, dataset: pydicom.Dataset) -> set[int]:
        """Return the private elements to remove: all but the safe ones and their creators."""
        private = {tag for tag in tags_of(dataset) if tag.is_private}
        kept = set()
        for tag in private:
            creator = tag & 0xFFFF0000 | (tag >> 8 & 0xFF)
            if tag.is_private_creator or creator not in dataset:
                continue
            if (str(dataset[creator].value), tag >> 16, tag & 0xFF) in self._safe_private:
                kept |= {tag, creator}
        return {int(tag) for tag in private - kept}


def _check_options(options: frozenset[Option], clean: Clean | None) -> None:
    if {Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES} <= options:
        raise ValueError("dates are retained in full or modified, not both")
    if options & _NEED_CLEAN and clean is None:
        raise ValueError("options that clean need a function that does: clean(keyword, value)")


def _state_method(dataset: pydicom.Dataset, options: frozenset[Option]) -> set[int]:
    """Say in the file what was done (PS3.15, section E.1.1), and return the tags that say it."""
    dates = "REMOVED"
    if Option.RETAIN_FULL_DATES in options:
        dates = "UNMODIFIED"
    elif Option.RETAIN_MODIFIED_DATES in options:
        dates = "MODIFIED"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "medcrypt: PS3.15 E.1-1, edition 2026c"
    dataset.DeidentificationMethodCodeSequence = [
        _code(code) for code in (PROFILE, *(CODES[option] for option in sorted(options)))
    ]
    dataset.LongitudinalTemporalInformationModified = dates
    return {0x00120062, 0x00120063, 0x00120064, 0x00280303}


def _code(code: Code) -> pydicom.Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, "DCM", code.meaning
    return item


def _renew_file_meta(dataset: pydicom.FileDataset) -> None:
    """Keep the transfer syntax only: the rest names applications, places, and the instance as it was."""
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax(dataset)
    dataset.file_meta = meta


def _replace(dataset: pydicom.Dataset, tag: int, value: Any) -> bool:
    element = dataset[tag]
    if element.value == value:
        return False
    element.value = value
    return True


def _moved(text: str, shift: dt.timedelta) -> str | None:
    """Move a date or the date of a date and time; None where the day is missing."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    try:
        day = dt.date(int(found[1]), int(found[2]), int(found[3])) + shift
    except (ValueError, OverflowError):
        return None
    return f"{day:%Y%m%d}{found[4]}" if day.year >= 1000 else None


def _is_many(value: Any) -> bool:
    from pydicom.multival import MultiValue

    return isinstance(value, MultiValue)


def _is_known(tag: int) -> bool:
    """Tell whether the standard defines an attribute: what others mean by it, nobody knows."""
    from pydicom.datadict import dictionary_has_tag, repeater_has_tag

    return dictionary_has_tag(tag) or repeater_has_tag(tag)
