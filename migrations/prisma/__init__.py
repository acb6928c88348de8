"""The models written as a Prisma schema, for the application's client; the revisions stay what changes the database."""

from migrations.prisma.document import PrismaSchema, prisma_schema
from migrations.prisma.words import Unexpressed

__all__ = ["PrismaSchema", "Unexpressed", "prisma_schema"]
