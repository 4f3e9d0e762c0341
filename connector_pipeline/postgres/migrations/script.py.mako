"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# The revision before, if its code works on with a database at this one (CONTRIBUTING.md).
compatible_from = ${repr(up_revision)}
# What `migrate --to` the revision before loses, in words. None: there is no way back.
lost_by_downgrade = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
