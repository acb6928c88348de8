"""What goes wrong with keys and ciphertext; nothing here tells a key, a plaintext or a ciphertext.

```
MigrationError
└── EncryptionError             the root of these
    ├── KeyRingMalformed        the keys are not written as they must be
    ├── UnknownKey              a ciphertext's key is not on the ring
    ├── CiphertextMalformed     a text that is no ciphertext
    └── CiphertextRefused       a ciphertext that was changed, or belongs to another column or key
```
"""

from collections.abc import Sequence

from migrations.errors import MigrationError


class EncryptionError(MigrationError):
    """A key or a ciphertext is not as it must be."""


class KeyRingMalformed(EncryptionError):
    """The keys are not written as they must be."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the encryption keys cannot be read: {reason}. "
            "Write ENCRYPTION_KEYS as id:key,id:key, each key 32 bytes in base64, the one to encrypt with first"
        )


class UnknownKey(EncryptionError):
    """A ciphertext's key is not on the ring.

    Attributes:
        key_id: the key that it was encrypted with.
        known: the keys of the ring.
    """

    def __init__(self, key_id: str, known: Sequence[str], where: str) -> None:
        self.key_id = key_id
        self.known = tuple(known)
        super().__init__(
            f"a value of {where} was encrypted with key {key_id}, which is not among the keys given "
            f"({', '.join(known)}): add it to ENCRYPTION_KEYS, after the first"
        )


class CiphertextMalformed(EncryptionError):
    """A text that is no ciphertext."""

    def __init__(self, where: str) -> None:
        super().__init__(f"a value of {where} is no ciphertext: it may be plain text, or cut off")


class CiphertextRefused(EncryptionError):
    """A ciphertext that was changed, or belongs to another column or key."""

    def __init__(self, key_id: str, where: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"a value of {where} does not decrypt with key {key_id}: it was changed, was copied from another column, "
            "or the id stands for another key than it did"
        )
