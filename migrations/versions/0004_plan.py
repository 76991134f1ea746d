"""The plan that a request was given, kept with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("requests", sa.Column("plan", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("requests", "plan")
