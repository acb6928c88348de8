"""The models among themselves: each foreign key can be followed, and all has a name."""

from migrations.models import Base


def test_every_foreign_key_can_be_followed() -> None:
    Base.registry.configure()
    followed = {
        frozenset({str(local), str(remote)})
        for mapper in Base.registry.mappers
        for one in mapper.relationships
        for local, remote in one.local_remote_pairs or ()
    }
    for table in Base.metadata.tables.values():
        for key in table.foreign_key_constraints:
            pairs = {frozenset({str(one.parent), str(one.column)}) for one in key.elements}
            assert pairs & followed, key.name


def test_every_table_is_described_and_every_constraint_and_index_named() -> None:
    for table in Base.metadata.tables.values():
        assert table.comment, table.name
        # verification_tokens has no primary key: SQLAlchemy keeps an empty one.
        assert {one for one in table.constraints if one.name is None} <= {table.primary_key}, table.name
        assert table.primary_key.name or not list(table.primary_key.columns), table.name
        assert all(index.name for index in table.indexes)
