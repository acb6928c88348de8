"""What the releases of a target did, and which of them are still in effect in production.

The ledger tells what each release did. Whether that still stands, production itself tells: which releases its
revisions were applied by, and which build serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.ledger import Ledger, Release, Step
from deployments.settings import Settings
from migrations.database.session import reader
from migrations.history import applied_revisions
from tasks import connections, production_state, record
from tasks.acts import Act

FORWARD = (Act.MIGRATE_PRODUCTION, Act.CONTRACT_PRODUCTION, Act.PROMOTE)
BACK = (Act.RESTORE, Act.TAKE_BACK_REVISIONS, Act.ROLL_BACK_APPLICATION)
KEPT, SERVES = "kept", "serves"
_DECIDED = {"succeeded", "failed", "rolled_back"}

_LETS_SERVE = (Act.PROMOTE, Act.ROLL_BACK_APPLICATION, KEPT, SERVES)


@dataclass(frozen=True)
class ReleaseHistory:
    """What the ledger tells of a target.

    Attributes:
        releases: all of them, newest first; rollbacks are among them.
        acts: what each did that bears upon production, in order.
    """

    releases: tuple[Release, ...]
    acts: Mapping[str, tuple[Step, ...]]

    @classmethod
    def read(cls, ledger: Ledger, target: str) -> "ReleaseHistory":
        """Read it from the ledger."""
        return cls(
            ledger.releases(target=target, limit=None),
            ledger.acts(target, *FORWARD, *BACK, Act.WATCH_PRODUCTION, KEPT, SERVES, Act.RECEIPT),
        )

    def begun(self, release: Release, *names: str) -> bool:
        """Whether a release began one of these acts."""
        return any(act.step in names for act in self.acts.get(release.id, ()))

    def done(self, release: Release, *names: str) -> bool:
        """Whether a release has one of these acts behind it."""
        return any(act.step in names and act.event == "done" for act in self.acts.get(release.id, ()))

    def kept(self, release: Release) -> bool:
        """Whether a person decided to keep what it left."""
        return any(act.step == KEPT for act in self.acts.get(release.id, ()))

    def is_past_rollback(self, release: Release) -> bool:
        """Whether nobody will need what a release, or a rollback, keeps for its way back.

        Its end was decided: by itself, by a person, by a rollback that came to its end, or by later releases that were
        found good over what it had left.
        """
        if release.state in _DECIDED or (release.state == "abandoned" and not self.begun(release, *FORWARD, *BACK)):
            return True
        undone = record.release_undone_by(release)
        of = next((each for each in self.releases if each.id == undone), release)
        promoted = self.promoted(of)
        return release.state != "running" and (
            self.kept(of)
            or any(each.state == "rolled_back" for each in self.rollbacks(of))
            or (promoted is not None and self.was_validated(promoted))
            or any(each.state == "succeeded" and self.begun(each, Act.PROMOTE) for each in self.later(release))
        )

    def deployments(self, release: Release, name: str) -> tuple[str, ...]:
        """The deployments that a release did an act to, or was about to."""
        acts = (act.details.get("deployment") for act in self.acts.get(release.id, ()) if act.step == name)
        return tuple(str(deployment) for deployment in acts if deployment)

    def promoted(self, release: Release) -> str | None:
        """The deployment that a release promoted, or was about to."""
        return next(iter(self.deployments(release, Act.PROMOTE)), None)

    def later(self, release: Release) -> tuple[Release, ...]:
        """What began after a release, newest first."""
        return self.releases[: [each.id for each in self.releases].index(release.id)]

    def rollbacks(self, release: Release) -> tuple[Release, ...]:
        """The rollbacks of a release by hand, newest first."""
        return tuple(each for each in self.later(release) if record.release_undone_by(each) == release.id)

    def kept_since(self, release: Release) -> tuple[str, ...]:
        """The branches that keep what restores to later points have taken out of production."""
        others = (each for each in self.later(release) if record.release_undone_by(each) != release.id)
        acts = (act for each in others for act in self.acts.get(each.id, ()))
        done = (act for act in acts if act.step == Act.RESTORE and act.event == "done")
        return tuple(sorted({str(act.details["branch"]) for act in done if act.details.get("branch")}))

    def may_serve(self) -> frozenset[str] | None:
        """The builds of which the newest acts have left one serving; None where the ledger knows of none.

        An act that nobody saw the end of may have had its effect, so that there may be several.
        """
        found = set[str]()
        for each in self.releases:
            for act in reversed(self.acts.get(each.id, ())):
                if act.step in _LETS_SERVE and act.details.get("deployment"):
                    found.add(str(act.details["deployment"]))
                    if act.event in {"noted", "begun"} and self._is_certain(each, act):
                        return frozenset(found)
        return None

    def _is_certain(self, release: Release, act: Step) -> bool:
        """Whether it is known that a build serves since an act: a note, or an act that was done."""
        later = (one for one in self.acts[release.id] if one.seq > act.seq and one.step == act.step)
        return act.event == "noted" or any(one.event == "done" for one in later)

    def was_validated(self, deployment_id: str) -> bool:
        """Whether a build was found good, or a person decided to keep it."""
        was_kept = any(deployment_id in self.deployments(each, KEPT) for each in self.releases)
        return was_kept or self.was_watched(deployment_id)

    def was_watched(self, deployment_id: str) -> bool:
        """Whether a build was watched to the end of a release that succeeded."""
        return any(
            each.state == "succeeded" and deployment_id in self.deployments(each, Act.WATCH_PRODUCTION)
            for each in self.releases
        )


@dataclass(frozen=True)
class ReleasesInEffect:
    """Which releases are in effect in production, as production itself tells.

    Attributes:
        releases: the releases that applied the revisions that stand; None where production does not tell.
        serving_deployment_id: the deployment that serves; empty where none does, None where it cannot be told.
    """

    releases: frozenset[str] | None
    serving_deployment_id: str | None

    @classmethod
    def read(cls, settings: Settings) -> "ReleasesInEffect":
        """Ask production, both its database and its address; where it cannot be told, what the ledger tells counts."""
        return cls(
            production_state.ask_or_none("the releases that stand in production", lambda: _appliers(settings)),
            production_state.serving_deployment_id(settings),
        )

    def schema_of(self, history: ReleaseHistory, release: Release) -> bool:
        """Whether revisions that a release applied stand."""
        if not history.begun(release, Act.MIGRATE_PRODUCTION, Act.CONTRACT_PRODUCTION):
            return False
        return release.id in self.releases if self.releases is not None else not _taken_back(history, release)

    def build_of(self, history: ReleaseHistory, release: Release) -> bool:
        """Whether the build that a release promoted serves."""
        promoted = history.promoted(release)
        if promoted is None:
            return False
        return (
            promoted == self.serving_deployment_id
            if self.serving_deployment_id is not None
            else not _taken_back(history, release)
        )

    def has(self, history: ReleaseHistory, release: Release) -> bool:
        """Whether anything that a release changed stands."""
        return self.schema_of(history, release) or self.build_of(history, release)


def _appliers(settings: Settings) -> frozenset[str] | None:
    with reader(connections.owner_dsn(settings, connections.production_branch(settings))) as connection:
        return (
            frozenset(applied_revisions.release_ids(connection).values())
            if applied_revisions.has_records(connection)
            else None
        )


def _taken_back(history: ReleaseHistory, release: Release) -> bool:
    return any(each.state == "rolled_back" for each in (release, *history.rollbacks(release)))
