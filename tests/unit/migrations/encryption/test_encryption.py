import base64
import re

import pytest

from migrations.encryption.cipher import CIPHERTEXT_PATTERN, KeyRing, is_ciphertext, key_id, mask
from migrations.encryption.errors import (
    CiphertextMalformed,
    CiphertextRefused,
    EncryptionError,
    KeyRingMalformed,
    UnknownKey,
)

OLD = base64.b64encode(b"o" * 32).decode()
NEW = base64.b64encode(bytes(range(32))).decode()
TOKEN = ("accounts", "access_token")


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.parse(f"2026:{NEW}, 2025:{OLD}")


@pytest.mark.parametrize(
    "plaintext",
    ["", "a", "ya29.token", "Diagnóstico: asma — 気管支喘息 🫁", "line\nline\r\n\ttab\0nul", "é" * 100_000],
    ids=["empty", "one letter", "token", "unicode", "controls", "long"],
)
def test_what_is_encrypted_decrypts_to_itself_and_is_written_as_the_check_demands(
    ring: KeyRing, plaintext: str
) -> None:
    ciphertext = ring.encrypt(plaintext, TOKEN)
    assert re.search(CIPHERTEXT_PATTERN, ciphertext)
    assert is_ciphertext(ciphertext)
    assert key_id(ciphertext) == "2026"
    assert ring.decrypt(ciphertext, TOKEN) == plaintext


@pytest.mark.parametrize("length", range(64))
def test_every_length_comes_back(ring: KeyRing, length: int) -> None:
    plaintext = "0123456789abcdef"[: length % 16] * 4
    assert ring.decrypt(ring.encrypt(plaintext, TOKEN), TOKEN) == plaintext


def test_the_same_value_is_never_encrypted_alike(ring: KeyRing) -> None:
    assert len({ring.encrypt("same", TOKEN) for _ in range(100)}) == 100


def test_the_plaintext_is_not_in_the_ciphertext(ring: KeyRing) -> None:
    sealed = base64.b64decode(ring.encrypt("penicillin", TOKEN).rsplit(":", 1)[1])
    assert b"penicillin" not in sealed


@pytest.mark.parametrize("plaintext", ["", "x", "xy", "xyz"])
def test_no_letter_of_a_ciphertext_can_be_changed(ring: KeyRing, plaintext: str) -> None:
    ciphertext = ring.encrypt(plaintext, TOKEN)
    for place, letter in enumerate(ciphertext):
        for other in {chr(ord(letter) ^ bit) for bit in (1, 2, 4, 8, 16, 32, 64)} | {"", "A", "\n"}:
            changed = ciphertext[:place] + other + ciphertext[place + 1 :]
            if changed != ciphertext:
                with pytest.raises(EncryptionError):
                    ring.decrypt(changed, TOKEN)


def test_no_bit_of_what_is_sealed_can_be_changed(ring: KeyRing) -> None:
    prefix, _, encoded = ring.encrypt("asma", TOKEN).rpartition(":")
    sealed = base64.b64decode(encoded)
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CiphertextRefused):
            ring.decrypt(f"{prefix}:{base64.b64encode(bytes(flipped)).decode()}", TOKEN)


def test_nothing_can_be_put_behind_a_ciphertext(ring: KeyRing) -> None:
    ciphertext = ring.encrypt("asma", TOKEN)
    for more in ("\n", "=", "A", "AAAA", f",{ciphertext}"):
        assert not is_ciphertext(ciphertext + more) or more == "AAAA"
        with pytest.raises(EncryptionError):
            ring.decrypt(ciphertext + more, TOKEN)


@pytest.mark.parametrize("other", [("accounts", "refresh_token"), ("mcp_integrations", "access_token")])
def test_a_value_of_another_column_does_not_decrypt(ring: KeyRing, other: tuple[str, str]) -> None:
    with pytest.raises(CiphertextRefused, match=re.escape(".".join(other))):
        ring.decrypt(ring.encrypt("token", TOKEN), other)


def test_the_old_key_still_decrypts_and_the_new_one_encrypts(ring: KeyRing) -> None:
    before = KeyRing.parse(f"2025:{OLD}").encrypt("token", TOKEN)
    assert ring.decrypt(before, TOKEN) == "token"
    assert (ring.current, ring.key_ids) == ("2026", ("2026", "2025"))


def test_a_key_that_is_not_there_is_named(ring: KeyRing) -> None:
    ciphertext = ring.encrypt("token", TOKEN)
    with pytest.raises(UnknownKey) as caught:
        KeyRing.parse(f"2025:{OLD}").decrypt(ciphertext, TOKEN)
    assert (caught.value.key_id, caught.value.known) == ("2026", ("2025",))
    assert "accounts.access_token" in str(caught.value)
    assert "add it to ENCRYPTION_KEYS" in str(caught.value)


def test_an_id_that_stands_for_another_key_does_not_decrypt(ring: KeyRing) -> None:
    ciphertext = ring.encrypt("token", TOKEN)
    with pytest.raises(CiphertextRefused, match="key 2026"):
        KeyRing.parse(f"2026:{OLD}").decrypt(ciphertext, TOKEN)


@pytest.mark.parametrize("text", ["", "token", "aesgcm:", "aesgcm:k:", "aesgcm:k:AAAA", "aesgcm::AAAA", "AESGCM:k:A"])
def test_plain_text_is_told_from_ciphertext(ring: KeyRing, text: str) -> None:
    assert not is_ciphertext(text)
    assert key_id(text) is None
    with pytest.raises(CiphertextMalformed):
        ring.decrypt(text, TOKEN)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is none"),
        (" , ", "there is none"),
        (NEW, "part 1 has no colon"),
        (f"a b:{NEW}", "the id of key 1"),
        (f":{NEW}", "the id of key 1"),
        (f"k:{NEW},k:{OLD}", "k is given twice"),
        (f"k:{NEW[:-8]}", "key k has 27 bytes and not 32"),
        (f"k:{NEW[:-1]}", "key 1 is not base64"),
        ("k:" + base64.b64encode(b"s" * 16).decode(), "key k has 16 bytes and not 32"),
        (f"k:{NEW},l:schlüssel", "key 2 is not base64"),
    ],
)
def test_keys_that_are_not_written_as_they_must_be_are_refused_and_not_told(text: str, reason: str) -> None:
    with pytest.raises(KeyRingMalformed, match=reason) as caught:
        KeyRing.parse(text)
    told = str(caught.value) + repr(caught.value)
    assert "ENCRYPTION_KEYS" in told
    for part in (NEW, OLD, "schlüssel", NEW[:-8], "a b"):
        assert part not in told
    assert caught.value.__cause__ is None


def test_no_key_is_in_a_repr(ring: KeyRing) -> None:
    assert repr(ring) == "KeyRing(2026, 2025)"


def test_no_error_tells_what_it_is_about(ring: KeyRing) -> None:
    ciphertext = ring.encrypt("penicillin", TOKEN)
    for text in ("penicillin", ciphertext[:-4], ciphertext.replace("2026", "2024"), ciphertext.replace("2026", "2025")):
        with pytest.raises(EncryptionError) as caught:
            ring.decrypt(text, TOKEN)
        assert "penicillin" not in str(caught.value)
        assert ciphertext.rsplit(":", 1)[1][:10] not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("ES91 2100 0418 4502 0005 1332", "•••• 1332"),
        ("4111-1111-1111-1111", "•••• 1111"),
        ("12345678", "•••• 5678"),
        ("1234567", "••••"),
        ("12 34-56 7", "••••"),
        ("1234", "••••"),
        ("", "••••"),
    ],
)
def test_a_number_shows_its_last_four_only(number: str, shown: str) -> None:
    assert mask(number) == shown


def test_a_masked_number_is_read_from_its_ciphertext(ring: KeyRing) -> None:
    context = ("financial_accounts", "accountNumber")
    assert ring.masked(ring.encrypt("0123456789", context), context) == "•••• 6789"
