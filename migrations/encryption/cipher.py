"""Encrypted columns: AES-256-GCM, the key's id with the ciphertext, and numbers masked when they are shown.

A ciphertext is text: `aesgcm:<key id>:<base64 of nonce, ciphertext and tag>`. The table and the column that it belongs
to are authenticated with it, so that a value copied to another column does not decrypt there.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from migrations.encryption.errors import CiphertextMalformed, CiphertextRefused, KeyRingMalformed, UnknownKey

CIPHERTEXT_PATTERN: Final = "^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$"
"""What a column's CHECK holds a ciphertext to; the same to PostgreSQL as to Python."""

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16

_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_CIPHERTEXT: Final = re.compile(r"aesgcm:([A-Za-z0-9_-]+):([A-Za-z0-9+/]+=*)")

HIDDEN: Final = "••••"
_SHOWN: Final = 4
_HIDES_ENOUGH: Final = 2 * _SHOWN

Context = tuple[str, str]
"""The table and the column that a value belongs to."""


class KeyRing:
    """Keys by their id; the first one encrypts, and every one decrypts.

    A key encrypts under random nonces of 96 bits: rotate it before it has encrypted 2^32 values.

    Args:
        keys: ids and keys of 32 bytes, the one to encrypt with first.

    Raises:
        KeyRingMalformed: there is no key, an id is given twice or cannot be written, or a key has another length.
    """

    def __init__(self, keys: Iterable[tuple[str, bytes]]) -> None:
        self._ciphers: dict[str, AESGCM] = {}
        for place, (key_id, key) in enumerate(keys, start=1):
            if not _KEY_ID.fullmatch(key_id):
                raise KeyRingMalformed(f"the id of key {place} is not made of letters, digits, - and _")
            if key_id in self._ciphers:
                raise KeyRingMalformed(f"the id {key_id} is given twice")
            if len(key) != KEY_BYTES:
                raise KeyRingMalformed(f"key {key_id} has {len(key)} bytes and not {KEY_BYTES}")
            self._ciphers[key_id] = AESGCM(key)
        if not self._ciphers:
            raise KeyRingMalformed("there is none")

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read keys as ENCRYPTION_KEYS holds them: `id:base64,id:base64`.

        Raises:
            KeyRingMalformed: the text is not written so; it is never told.
        """
        return cls(_parsed(place, part.strip()) for place, part in enumerate(text.split(","), start=1) if part.strip())

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the one that encrypts first."""
        return tuple(self._ciphers)

    @property
    def current(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self._ciphers))

    def encrypt(self, plaintext: str, context: Context) -> str:
        """Encrypt a value for one column with the first key; twice the same value gives two ciphertexts.

        Args:
            plaintext: any text that UTF-8 can write, the empty one too.
            context: the table and the column that it is for.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self.current].encrypt(nonce, plaintext.encode(), _associated(context))
        return f"aesgcm:{self.current}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, ciphertext: str, context: Context) -> str:
        """Decrypt a value of one column.

        Raises:
            CiphertextMalformed: the text is no ciphertext.
            UnknownKey: it was encrypted with a key that is not on the ring.
            CiphertextRefused: it was changed, or belongs to another column.
        """
        where = ".".join(context)
        found = _split(ciphertext)
        if found is None:
            raise CiphertextMalformed(where)
        used, sealed = found
        cipher = self._ciphers.get(used)
        if cipher is None:
            raise UnknownKey(used, self.key_ids, where)
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _associated(context)).decode()
        except InvalidTag:
            raise CiphertextRefused(used, where) from None

    def masked(self, ciphertext: str, context: Context) -> str:
        """Decrypt a number, and mask it; what `decrypt` raises, it raises too."""
        return mask(self.decrypt(ciphertext, context))


def is_ciphertext(text: str) -> bool:
    """Whether a text is written as a ciphertext; only its key can tell whether it is one."""
    return _split(text) is not None


def key_id(ciphertext: str) -> str | None:
    """The id of the key that a value was encrypted with; None where it is no ciphertext."""
    found = _split(ciphertext)
    return found[0] if found else None


def mask(number: str) -> str:
    """Hide an account's number but for its last four characters; one shorter than eight is hidden whole.

    Spaces and hyphens do not count, and neither does the number's length show.
    """
    written = re.sub(r"[\s-]", "", number)
    return f"{HIDDEN} {written[-_SHOWN:]}" if len(written) >= _HIDES_ENOUGH else HIDDEN


def _split(text: str) -> tuple[str, bytes] | None:
    """The key's id, and the bytes; None where they are not written in the one way that `encrypt` writes them."""
    found = _CIPHERTEXT.fullmatch(text)
    if found is None:
        return None
    try:
        sealed = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return None
    # The last letter of base64 may hold bits that nothing reads: only the spelling where they are zero is taken.
    if len(sealed) < NONCE_BYTES + TAG_BYTES or base64.b64encode(sealed).decode() != found[2]:
        return None
    return found[1], sealed


def _associated(context: Context) -> bytes:
    return ".".join(context).encode()


def _parsed(place: int, part: str) -> tuple[str, bytes]:
    name, colon, encoded = part.partition(":")
    if not colon:
        raise KeyRingMalformed(f"part {place} has no colon between id and key")
    try:
        return name, base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise KeyRingMalformed(f"key {place} is not base64") from None
