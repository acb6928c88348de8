"""Folders and files, who they are shared with and who read them: a quota says what its user's files take."""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from migrations.seeds._copy_format import FALSE, NULL, TRUE, field
from migrations.seeds._distributions import DAY_MS, END_MS, log_normal, one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import Plan

_FOLDERS = ("id", "userId", "parentId", "name", "createdAt", "updatedAt")
_FILES = (
    "id", "userId", "folderId", "name", "mimeType", "sizeBytes", "checksum", "provider", "storageKey", "accessLevel",
    "usageContext", "tags", "metadata", "expiresAt", "deletedAt", "createdAt", "updatedAt",
)  # fmt: skip
_QUOTAS = (
    "id", "userId", "maxStorage", "maxFileSize", "maxFiles", "usedStorage", "usedFiles", "subscriptionTier",
    "createdAt", "updatedAt",
)  # fmt: skip
_SHARES = (
    "id", "fileId", "sharedBy", "type", "token", "sharedWithEmail", "sharedWithUserId", "canEdit", "maxDownloads",
    "downloads", "expiresAt", "revokedAt", "createdAt", "updatedAt",
)  # fmt: skip
_ACCESSES = ("id", "fileId", "userId", "shareId", "fileName", "action", "ipAddress", "userAgent", "timestamp")

_KINDS: Final = shared({"pdf": 40, "jpg": 25, "png": 12, "xlsx": 10, "docx": 8, "csv": 5})
_MIME: Final = {
    "pdf": "application/pdf",
    "jpg": "image/jpeg",
    "png": "image/png",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
_NAMES: Final = ("informe", "report", "factura", "invoice", "receta", "notes", "foto", "contrato", "plan", "backup")
_FOLDER_NAMES: Final = ("Documentos", "Salud", "Finanzas", "Work")
_CONTEXTS: Final = shared(
    {"OTHER": 34, "ARTIFACT": 20, "FINANCE": 15, "HEALTH": 12, "AVATAR": 7, "TICKET": 6, "TEMP": 4, "BACKUP": 2}
)
_LEVELS: Final = shared({"PRIVATE": 72, "SHARED": 15, "INTERNAL": 8, "PUBLIC": 5})
_PROVIDERS: Final = shared({"VERCEL_BLOB": 80, "CLOUDFLARE_R2": 10, "AWS_S3": 8, "LOCAL": 2})
_ACTIONS: Final = shared({"VIEW": 60, "DOWNLOAD": 30, "UPDATE": 6, "SHARE": 4})
_BROWSERS: Final = ("Mozilla/5.0 (Windows NT 10.0)", "Mozilla/5.0 (iPhone)", "Mozilla/5.0 (Macintosh)")
_MIB: Final = 1024**2
_LIMITS: Final = {
    "FREE": (1_024, 10, 100),
    "BASIC": (5_120, 25, 1_000),
    "PRO": (51_200, 100, 10_000),
}
_WIDEST: Final = (1_048_576, 1_024, 1_000_000)


class _File(NamedTuple):
    place: int
    name: str
    kind: str
    size: int
    made: int
    deleted: int | None
    share: str | None


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("storage_folders", _FOLDERS, partial(_folders, plan)),
        TableRows("storage_files", _FILES, partial(_files, plan)),
        TableRows("storage_quotas", _QUOTAS, partial(_quotas, plan)),
        TableRows("file_shares", _SHARES, partial(_shares, plan)),
        TableRows("file_access_logs", _ACCESSES, partial(_accesses, plan)),
    )


def files(plan: Plan, user: int, born: int) -> Iterator[_File]:
    """A user's files."""
    roll = plan.roll("files", user)
    for place in range(plan.count(roll, user, 5.5)):
        made = plan.after(roll, born)
        kind = one_of(roll, _KINDS)
        deleted = made + DAY_MS + int(roll.random() * 90 * DAY_MS) if roll.random() < 0.06 else None
        yield _File(
            place,
            f"{one_of(roll, _NAMES)}-{place + 1}.{kind}",
            kind,
            min(int(log_normal(roll, 180_000, 1.4)), 10 * _MIB),
            made,
            deleted if deleted and deleted < END_MS else None,
            ("LINK" if roll.random() < 0.5 else "USER" if roll.random() < 0.6 else "EMAIL")
            if roll.random() < 0.15
            else None,
        )


def _folders_of(user: int) -> int:
    return 1 + user % len(_FOLDER_NAMES)


def _folders(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        born = stamp(plan.person(user).born)
        for place in range(_folders_of(user)):
            yield (
                plan.key("storage_folders", user, place),
                plan.user(user),
                plan.key("storage_folders", user) if place > 1 else NULL,
                _FOLDER_NAMES[place],
                born,
                born,
            )


def _files(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("storage_files", user)
        key = plan.user(user)
        for one in files(plan, user, plan.person(user).born):
            folder = int(roll.random() * (_folders_of(user) + 1))
            context = one_of(roll, _CONTEXTS)
            yield (
                plan.key("storage_files", user, one.place),
                key,
                plan.key("storage_folders", user, folder - 1) if folder else NULL,
                one.name,
                _MIME[one.kind],
                str(one.size),
                f"{roll.getrandbits(256):064x}",
                one_of(roll, _PROVIDERS),
                f"{plan.domain}/{user}/{one.place}/{one.name}",
                "SHARED" if one.share else one_of(roll, _LEVELS),
                context,
                field([one.kind]),
                field({"pages": 1 + roll.randrange(40)}) if one.kind == "pdf" else NULL,
                stamp(one.made + 7 * DAY_MS) if context == "TEMP" else NULL,
                stamp(one.deleted) if one.deleted else NULL,
                stamp(one.made),
                stamp(one.deleted or one.made),
            )


def _quotas(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        storage, file_size, number = _LIMITS.get(person.tier, _WIDEST)
        kept = [one for one in files(plan, user, person.born) if one.deleted is None]
        yield (
            plan.key("storage_quotas", user),
            plan.user(user),
            str(storage * _MIB),
            str(file_size * _MIB),
            str(number),
            str(sum(one.size for one in kept)),
            str(len(kept)),
            person.tier,
            stamp(person.born),
            stamp(max((one.made for one in kept), default=person.born)),
        )


def _shares(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("file_shares", user)
        for one in files(plan, user, plan.person(user).born):
            if one.share is None:
                continue
            made = one.made + 60_000
            other = (user + 1 + int(roll.random() * (plan.users - 1))) % plan.users
            token = f"{plan.domain}-{user}-{roll.getrandbits(96):024x}"
            yield (
                plan.key("file_shares", user, one.place),
                plan.key("storage_files", user, one.place),
                plan.user(user),
                one.share,
                token if one.share != "USER" else NULL,
                f"guest.{other}@{plan.domain}" if one.share == "EMAIL" else NULL,
                plan.user(other) if one.share == "USER" else NULL,
                TRUE if one.share == "USER" and roll.random() < 0.3 else FALSE,
                "20" if one.share == "LINK" and roll.random() < 0.3 else NULL,
                str(int(roll.random() ** 2 * 12)),
                stamp(made + 30 * DAY_MS) if roll.random() < 0.4 else NULL,
                stamp(made + 10 * DAY_MS) if roll.random() < 0.1 else NULL,
                stamp(made),
                stamp(made),
            )


def _accesses(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("file_access_logs", user)
        key = plan.user(user)
        shown = list(files(plan, user, plan.person(user).born))
        if not shown:
            continue
        keys = [plan.key("storage_files", user, one.place) for one in shown]
        for place in range(max(len(shown), plan.count(roll, user, 22))):
            # Each file was uploaded first; then a few of them are read most.
            first = place < len(shown)
            which = place if first else int(roll.random() ** 2 * len(shown))
            one = shown[which]
            moment = one.made if first else plan.after(roll, one.made)
            stranger = not first and one.share == "LINK" and roll.random() < 0.6
            yield (
                plan.key("file_access_logs", user, place),
                keys[which],
                NULL if stranger else key,
                plan.key("file_shares", user, one.place) if stranger else NULL,
                one.name,
                "UPLOAD" if first else "VIEW" if stranger else one_of(roll, _ACTIONS),
                f"189.203.{int(roll.random() * 255)}.{int(roll.random() * 255)}",
                _BROWSERS[place % 3],
                stamp(moment),
            )
