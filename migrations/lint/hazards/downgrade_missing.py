"""A revision that cannot be taken back."""

from migrations.lint.hazard import Hazard

_HEAD = """from alembic import op

revision = "20260101_0900"
down_revision = None
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN note text")


"""

HAZARD = Hazard(
    id="downgrade-missing",
    condition="A revision changes something, and its downgrade is missing, empty, or raises.",
    effect="{detail}: a release that has applied {name} cannot be rolled back without restoring the database.",
    safe="Write a downgrade that brings back what stood before; where there can be none, waive this with the reason.",
    bad=f"{_HEAD}def downgrade() -> None:\n    pass\n",
    good=f'{_HEAD}def downgrade() -> None:\n    op.execute("ALTER TABLE orders DROP COLUMN note")\n',
    concern="any",
    language="python",
)
