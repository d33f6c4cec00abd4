"""Tables, columns, indexes and constraints, spelled in JSON as the Rust types spell them (spec 6.1)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Length = Annotated[int, Field(ge=1, le=2**32 - 1)]
IntegerSize = Literal["I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64"]
Action = Literal["NoAction", "Restrict", "Cascade", "SetNull", "SetDefault"]
IndexType = Literal["BTree", "Hash", "Gin", "Gist", "Spatial"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TextType(_Model):
    Text: Length | None


class VarcharType(_Model):
    Varchar: Length


class CharType(_Model):
    Char: Length


class IntegerType(_Model):
    Integer: IntegerSize


class DecimalType(_Model):
    """Digits in all, and of them after the point."""

    Decimal: Annotated[tuple[int, int], Field(strict=False)]


class EnumType(_Model):
    """The type's name, and its values in order."""

    Enum: Annotated[tuple[str, list[str]], Field(strict=False)]


class CustomType(_Model):
    """A type of one database, by its name there."""

    Custom: str


PlainType = Literal[
    "SmallInt", "BigInt", "Boolean", "Float", "Double", "Date", "Time", "DateTime", "Timestamp", "TimestampTz", "Blob",
    "Json", "JsonB", "Uuid",
]  # fmt: skip
DataType: TypeAlias = PlainType | TextType | VarcharType | CharType | IntegerType | DecimalType | EnumType | CustomType


class PrimaryKeyMembers(_Model):
    name: str | None = None
    columns: list[str]


class CheckMembers(_Model):
    name: str | None = None
    expression: str


class ForeignKeyMembers(_Model):
    name: str | None = None
    columns: list[str]
    references_table: str
    references_columns: list[str]
    on_delete: Action | None = None
    on_update: Action | None = None


class PrimaryKey(_Model):
    PrimaryKey: PrimaryKeyMembers


class Unique(_Model):
    Unique: PrimaryKeyMembers


class Default(_Model):
    DefaultValue: str


class Check(_Model):
    Check: CheckMembers


class ForeignKey(_Model):
    ForeignKey: ForeignKeyMembers


Constraint: TypeAlias = Literal["NotNull", "AutoIncrement"] | PrimaryKey | Unique | Default | Check | ForeignKey


class ColumnDescriptor(_Model):
    """``default_value`` is an SQL literal, a word as CURRENT_TIMESTAMP, or for a column of text that text itself."""

    name: str
    data_type: DataType
    is_nullable: bool = True
    is_primary_key: bool = False
    is_unique: bool = False
    default_value: str | None = None
    auto_increment: bool = False
    comment: str | None = None
    constraints: list[Constraint] = []


class IndexDescriptor(_Model):
    name: str | None = None
    columns: list[str]
    is_unique: bool = False
    index_type: IndexType | None = None
    condition: str | None = None


class ModelDescriptor(_Model):
    name: str
    # ``schema`` is a method of pydantic's; the name on the wire stays
    schema_: str | None = Field(default=None, alias="schema")
    columns: list[ColumnDescriptor]
    primary_key: list[str] | None = None
    indexes: list[IndexDescriptor] = []
    constraints: list[Constraint] = []
    comment: str | None = None
    engine: str | None = None
    charset: str | None = None
    collation: str | None = None
    options: dict[str, str] = {}

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)
