"""How older databases become this release's: Alembic's revisions, run when a store is opened."""
