"""One view a model: what its list shows, what it is filtered by, what may be edited."""

import csv
import io
import re
import types
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from typing import Any

from sqladmin import ModelView
from sqladmin.filters import BooleanFilter, OperationColumnFilter, StaticValuesFilter
from sqlalchemy import JSON, Boolean, Date, DateTime, Enum, String, Text, Uuid, null
from sqlalchemy.orm import ColumnProperty, Mapper, Session
from starlette.requests import Request
from wtforms.validators import Optional

from migrations.encryption.cipher import HIDDEN

_LITERAL = re.compile(r"'(?P<quoted>[^']*)'(?:::.+)?|(?P<bare>true|false|-?\d+(?:\.\d+)?)")
_FORMULA = re.compile(r"(?!-\d+(?:\.\d+)?\Z)[=+\-@\t\r]")
_IN_A_LIST = 8
_FILTERS = 8


class StudioView(ModelView):
    """What all views share. An edit writes what was changed, and leaves the rest as it is."""

    page_size = 25
    page_size_options = [25, 50, 100, 200]  # noqa: RUF012
    form_include_pk = True
    can_import = False

    async def export_data(self, data: list[Any], export_type: str = "csv", request: Request | None = None) -> Any:
        """Export rows; what a spreadsheet would run as a formula is text in a CSV."""
        response = await super().export_data(data, export_type, request)
        if export_type == "csv":
            response.body_iterator = _inert(response.body_iterator)
        return response

    async def update_model(self, request: Request, pk: str, data: dict[str, Any]) -> Any:
        """Write the fields that the person changed: a form shows less of some values than a row holds."""
        form_class = await self.scaffold_form(self._form_edit_rules)
        there = await self.get_object_for_edit(request)
        before = form_class(data=await self.get_form_data_for_edit(there))
        after = form_class(await request.form())
        # WTForms takes some names for itself, which get an underscore in the form.
        fields = {name.rstrip("_"): name for name in before._fields}
        same = {key for key, name in fields.items() if _said(before, name) == _said(after, name)}
        changed = {key: value for key, value in data.items() if key.rstrip("_") not in same}
        return await super().update_model(request, pk, changed)  # pyright: ignore[reportUnknownMemberType]

    async def insert_model(self, request: Request, data: dict[str, Any]) -> Any:
        """Leave what was not filled in to the database's defaults."""
        given = {key: value for key, value in data.items() if value is not None and value != ""}
        return await super().insert_model(request, given)  # pyright: ignore[reportUnknownMemberType]


def view_of(mapper: Mapper[Any]) -> type[ModelView]:
    """A view of a model."""
    model = mapper.class_
    properties = list(mapper.column_attrs)
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    secret = [one.key for one in properties if _column(one).info.get("encrypted")]
    plain = [one for one in properties if one.key not in secret]
    masks = dict.fromkeys(secret, _masked)
    options: dict[str, Any] = {
        "name": model.__name__,
        "name_plural": mapper.local_table.description,
        "category": model.__module__.rpartition(".")[2].capitalize(),
        "column_list": [*_brief(properties)],
        "column_details_list": [one.key for one in properties],
        "column_export_list": [one.key for one in plain],
        "column_sortable_list": [one.key for one in plain if not isinstance(_column(one).type, JSON)],
        "column_searchable_list": [one.key for one in plain if _is_text(one)] or keys,
        "column_default_sort": [(key, False) for key in keys],
        "column_filters": [*_filters(plain)][:_FILTERS],
        "column_formatters": masks,
        "column_formatters_detail": masks,
        "column_labels": {one.key: one.key for one in properties},
        "form_args": {one.key: _form_argument(_column(one)) for one in plain},
        "form_columns": [one.key for one in plain if not _is_given_by_the_database(_column(one))],
    }
    named = {"model": model}
    view = types.new_class(f"{model.__name__}View", (StudioView,), named, lambda space: space.update(options))
    view.identity = mapper.local_table.description
    return view


def nulls_stay_nulls(session: Session, *_: object) -> None:
    """Write null, and not JSON's null, where nothing was given for a JSON column.

    Source: SQLAlchemy takes None for a JSON column as a JSON value.
    """
    for one in [*session.dirty, *session.new]:
        mapper: Mapper[Any] = one.__mapper__
        for each in mapper.column_attrs:
            if isinstance(_column(each).type, JSON) and each.key in one.__dict__ and one.__dict__[each.key] is None:
                setattr(one, each.key, null())


def _brief(properties: Sequence[ColumnProperty[Any]]) -> Iterator[str]:
    """The columns of a list: those that are short."""
    short = [one for one in properties if not isinstance(_column(one).type, JSON | Text)]
    return (one.key for one in short[:_IN_A_LIST])


def _filters(properties: Sequence[ColumnProperty[Any]]) -> Iterator[Any]:
    for one in properties:
        of = _column(one).type
        if isinstance(of, Enum):
            yield StaticValuesFilter(one.key, title=one.key, values=[(label, label) for label in of.enums])
        elif isinstance(of, Boolean):
            yield BooleanFilter(one.key, title=one.key)
        elif isinstance(of, Uuid | Date | DateTime):
            yield OperationColumnFilter(one.key, title=one.key)


def _is_text(one: ColumnProperty[Any]) -> bool:
    return isinstance(_column(one).type, String) and not isinstance(_column(one).type, Enum)


def _form_argument(column: Any) -> dict[str, Any]:
    """Let a form begin with what the database would fill in, and take nothing for it where that is no plain value."""
    if column.server_default is None or column.computed is not None:
        return {}
    literal = _LITERAL.fullmatch(str(getattr(column.server_default.arg, "text", column.server_default.arg)).strip())
    if isinstance(column.type, Boolean):
        return {"default": literal is not None and literal["bare"] == "true"}
    begin = (literal["quoted"] or literal["bare"]) if literal and not isinstance(column.type, JSON) else None
    return {"validators": [Optional()], **({"default": begin} if begin else {})}


def _is_given_by_the_database(column: Any) -> bool:
    return column.computed is not None or (column.primary_key and column.server_default is not None)


def _column(one: ColumnProperty[Any]) -> Any:
    return next(iter(one.columns))


def _masked(model: object, name: Any) -> str:
    return HIDDEN if getattr(model, str(name)) is not None else ""


async def _inert(lines: AsyncIterable[Any]) -> AsyncIterator[str]:
    """CSV, of which no cell begins as a formula does; a number stays one."""
    async for line in lines:
        out = io.StringIO(newline="")
        for cells in csv.reader(io.StringIO(str(line), newline="")):
            csv.writer(out).writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells])
        yield out.getvalue()


def _said(form: Any, name: str) -> object:
    """What a field of a form shows, as the browser would send it back."""
    field = form[name]
    value = getattr(field, "_value", None)
    return value() if callable(value) else field.data
