"""What the user set for a provider as a whole: switch, address, names of models, name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "providers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("base_url", sa.Text(), nullable=False, server_default=""),
        sa.Column("model_map", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("name", sa.Text(), nullable=False, server_default=""),
        sa.Column("updated_at", Big, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_providers"),
    )


def downgrade() -> None:
    op.drop_table("providers")
