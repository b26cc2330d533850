"""Key files: private, never replaced, strictly read."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import AuthenticationError, Identity, InvalidKeyError, Recipient, SecretKey, load_key
from medcrypt.keys.encoding import decode_line, encode_line
from medcrypt.keys.files import load
from medcrypt.keys.wrapping import unwrap

KEYS = {"secret-key": SecretKey(bytes(range(32))), "identity": Identity(bytes(range(64)))}
VECTORS = json.loads((Path(__file__).parents[1] / "vectors/keys/keys.json").read_text("utf-8"))


@pytest.fixture(params=KEYS)
def key(request):
    return KEYS[request.param]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---- saving and loading ------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(tmp_path, key):
    key.save(tmp_path / "key")
    assert type(key).load(tmp_path / "key") == key
    assert load_key(str(tmp_path / "key")) == key


def test_only_the_owner_may_read_a_key_file(tmp_path, key):
    before = os.umask(0)
    try:
        key.save(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_key_file_is_never_replaced(tmp_path, key):
    written(tmp_path / "key", "old")
    with pytest.raises(FileExistsError):
        key.save(tmp_path / "key")
    assert (tmp_path / "key").read_text() == "old"


def test_a_key_is_not_written_through_a_link(tmp_path, key):
    (tmp_path / "key").symlink_to(tmp_path / "shared")
    with pytest.raises(FileExistsError):
        key.save(tmp_path / "key")
    assert not (tmp_path / "shared").exists()


def test_a_link_to_a_key_file_is_read(tmp_path, key):
    key.save(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert load_key(tmp_path / "link") == key


def test_a_key_of_the_other_kind_is_refused(tmp_path):
    KEYS["identity"].save(tmp_path / "identity")
    KEYS["secret-key"].save(tmp_path / "secret")
    with pytest.raises(InvalidKeyError, match="secret key"):
        SecretKey.load(tmp_path / "identity")
    with pytest.raises(InvalidKeyError, match="identity"):
        Identity.load(tmp_path / "secret")


def test_a_recipient_in_a_file_is_no_key(tmp_path):
    path = written(tmp_path / "r", str(KEYS["identity"].recipient))
    for read in (load_key, SecretKey.load, Identity.load):
        with pytest.raises(InvalidKeyError):
            read(path)


# ---- passphrases (scrypt takes a third of a second each time) ------------------------------------------


def test_a_protected_key_file_opens_with_its_passphrase_only(tmp_path):
    KEYS["secret-key"].save(tmp_path / "key", passphrase="open sesame")
    assert load_key(tmp_path / "key", passphrase="open sesame") == KEYS["secret-key"]
    with pytest.raises(AuthenticationError):
        load_key(tmp_path / "key", passphrase="open Sesame")
    with pytest.raises(InvalidKeyError, match="passphrase"):
        load_key(tmp_path / "key")
    held = (tmp_path / "key").read_text()
    assert encode_line("secret-key", KEYS["secret-key"].to_bytes())[-40:] not in held


def test_the_kind_of_a_protected_key_is_bound(tmp_path):
    KEYS["identity"].save(tmp_path / "key", passphrase="open sesame")
    with pytest.raises(InvalidKeyError):
        SecretKey.load(tmp_path / "key", passphrase="open sesame")


@pytest.mark.parametrize("cost", [(24, 32, 4), (21, 8, 1), (255, 255, 255), (16, 1, 1), (0, 0, 0)])
def test_a_file_cannot_make_its_reader_allocate(tmp_path, monkeypatch, cost):
    monkeypatch.setattr(hashlib, "scrypt", lambda *_, **__: pytest.fail("the cost was not refused"))
    line = encode_line("sealed-key", bytes(16) + bytes(cost) + bytes(116))
    with pytest.raises(InvalidKeyError, match="scrypt"):
        load_key(written(tmp_path / "key", line), passphrase="x")


@pytest.mark.parametrize("size", [0, 15, 18])
def test_a_protected_key_that_is_too_short_is_refused(tmp_path, size):
    path = written(tmp_path / "key", encode_line("sealed-key", bytes(size)))
    with pytest.raises(InvalidKeyError, match="too short"):
        load_key(path, passphrase="x")


# ---- damaged files -------------------------------------------------------------------------------------

LINE = encode_line("secret-key", bytes(range(32)))


@given(st.integers(0, len(LINE) - 1), st.characters(codec="ascii"))
def test_one_wrong_letter_is_noticed(position, letter):
    changed = LINE[:position] + letter + LINE[position + 1 :]
    if changed == LINE:
        return
    with pytest.raises(InvalidKeyError):
        decode_line(changed)


@pytest.mark.parametrize("end", range(len(LINE)))
def test_a_line_that_was_cut_is_refused(end):
    with pytest.raises(InvalidKeyError):
        decode_line(LINE[:end])


@given(st.text() | st.text("medcrypt-secretky1:=_ AZ9\u00e9", max_size=80))
def test_any_other_text_is_refused(text):
    with pytest.raises(InvalidKeyError):
        decode_line(text)
    with pytest.raises(InvalidKeyError):
        Recipient.from_text(text)


@pytest.mark.parametrize(
    "line", ["medcrypt-\u00e9-1:AAAAAA", "medcrypt-x-1:\u00e9AAAAA", LINE.replace("A", "\u0410")]
)
def test_letters_that_are_not_ascii_are_refused(line):
    with pytest.raises(InvalidKeyError):
        decode_line(line)


@pytest.mark.parametrize("suffix", ["=", "==", " ", "\n", "A", "AAAA"])
def test_a_payload_has_exactly_one_line(suffix):
    with pytest.raises(InvalidKeyError):
        decode_line(LINE + suffix)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# only a comment\n",
        f"{LINE}\n{LINE}\n",
        f"{LINE} {LINE}",
        "medcrypt-secret-key-2:AAAA",
        "medcrypt-\u00e9-1:AAAA",
        b"\xff\xfe" + LINE.encode("utf-16-le"),
        b"\0" * 100,
        LINE.encode() + b"\0",
        "#" * 70_000,
        LINE + "\n" * 70_000,
        encode_line("secret-key", bytes(31)),
        encode_line("secret-key", bytes(33)),
        encode_line("secret-key", b""),
        encode_line("identity", bytes(63)),
        encode_line("recipient", bytes(64)),
        encode_line("", bytes(32)),
        "A" * 5000,
    ],
)
def test_a_damaged_file_is_an_invalid_key(tmp_path, content):
    path = written(tmp_path / "key", content)
    for read in (load_key, SecretKey.load, Identity.load):
        with pytest.raises(InvalidKeyError):
            read(path)


@given(st.binary(max_size=200))
def test_random_bytes_are_an_invalid_key(tmp_path_factory, data):
    path = written(tmp_path_factory.getbasetemp() / "random.key", data)
    with pytest.raises(InvalidKeyError):
        load_key(path)


def test_an_endless_file_is_not_read_to_its_end():
    with pytest.raises(InvalidKeyError, match="too long"):
        load_key("/dev/zero")


def test_the_error_does_not_carry_the_key(tmp_path):
    path = written(tmp_path / "key", LINE.encode() + b"\xff")
    with pytest.raises(InvalidKeyError) as caught:
        load_key(path)
    assert caught.value.__context__ is None
    assert LINE[-20:] not in str(caught.value)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "", "\n\n# end\n"])
def test_comments_and_line_ends_do_not_matter(tmp_path, ending):
    path = written(tmp_path / "key", f"# a comment\n\n  {LINE}  {ending}")
    assert load_key(path) == KEYS["secret-key"]


@pytest.mark.parametrize("value", [b"medcrypt", None, 5])
def test_a_recipient_is_parsed_from_text_only(value):
    with pytest.raises(TypeError):
        Recipient.from_text(value)


# ---- vectors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["secret_key", "identity"])
def test_the_vectors_are_read_and_written_as_they_are(tmp_path, name):
    vector = VECTORS[name]
    loaded = load_key(written(tmp_path / "key", vector["file"]))
    assert loaded.to_bytes().hex() == vector["bytes"]
    assert loaded.fingerprint.hex() == vector["fingerprint"]
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_text() == vector["file"]


def test_the_vector_under_a_passphrase_opens(tmp_path):
    vector = VECTORS["secret_key"]
    path = written(tmp_path / "key", vector["sealed_file"])
    assert load_key(path, passphrase=vector["passphrase"]).to_bytes().hex() == vector["bytes"]
    assert load(path, vector["passphrase"])[0] == "secret-key"


def test_the_vectors_of_recipient_seal_sign_and_wrap_hold():
    identity = Identity.from_bytes(bytes.fromhex(VECTORS["identity"]["bytes"]))
    assert str(identity.recipient) == VECTORS["identity"]["recipient_line"]
    assert Recipient.from_text(VECTORS["identity"]["recipient_line"]) == identity.recipient
    assert identity.recipient.to_bytes().hex() == VECTORS["identity"]["recipient"]

    def field(group: str, name: str) -> bytes:
        return bytes.fromhex(VECTORS[group][name])

    assert identity.unseal(field("seal", "sealed"), field("seal", "info")) == field("seal", "secret")
    assert identity.sign(field("sign", "message")) == field("sign", "signature")
    wrapped = unwrap(bytes(range(32)), field("wrap", "wrapped"), field("wrap", "context"))
    assert wrapped == field("wrap", "secret")
