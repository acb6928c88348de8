"""The models written as a Prisma schema, for the application's client; the revisions stay what changes the database."""
