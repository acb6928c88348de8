"""A revision that cannot be taken back, or not to where it came from."""

from migrations.lint.hazard import Hazard, Subject

_HEAD = """from alembic import op

revision = "20260101_0900"
down_revision = None
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN note text")


"""

MISSING = Hazard(
    id="downgrade-missing",
    condition="A revision changes something, and its downgrade is missing, empty, or raises.",
    effect="{detail}: a release that has applied {name} cannot be rolled back without restoring the database.",
    safe="Write a downgrade that brings back what stood before; where there can be none, waive this with the reason.",
    bad=f"{_HEAD}def downgrade() -> None:\n    pass\n",
    good=f'{_HEAD}def downgrade() -> None:\n    op.execute("ALTER TABLE orders DROP COLUMN note")\n',
    concern="any",
    language="python",
    example=Subject(name="20260101_0900", detail="Its downgrade does nothing"),
)

LIES = Hazard(
    id="downgrade-lies",
    condition="A revision's downgrade does not bring back what stood before it, as far as its statements tell.",
    effect="After a rollback of {name}, {detail}: the next upgrade fails on it, or the application meets a schema that "
    "never was.",
    safe="Take back in the downgrade all that the upgrade does, in the opposite order; where that cannot be, waive "
    "this with the reason.",
    bad=f'{_HEAD}def downgrade() -> None:\n    op.execute("ALTER TABLE orders DROP COLUMN remark")\n',
    good=f'{_HEAD}def downgrade() -> None:\n    op.execute("ALTER TABLE orders DROP COLUMN note")\n',
    concern="any",
    language="python",
    example=Subject(name="20260101_0900", detail="column orders.note stays"),
)
