"""For developers: write the next migration of a component from what its models have and its migrations lack.

Files are numbered (``0002_add_labels.py``). What autogenerate writes is a draft: it sees no renames and moves no data.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.autogenerate import RevisionContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from sdk.core.errors import ConfigurationError, SdkError
from sdk.service.migrations.runner import installed

if TYPE_CHECKING:
    from sdk.service.migrations.sets import MigrationSet

_FILE_TEMPLATE = "%%(rev)s_%%(slug)s"


def write_revision(migrations: MigrationSet, message: str) -> Path:
    """Bring an empty database in memory to head, compare it with the models, and write the difference."""
    config = migrations.config()
    config.set_main_option("file_template", _FILE_TEMPLATE)
    scripts = ScriptDirectory.from_config(config)
    if not (Path(scripts.dir) / "script.py.mako").exists():
        _use_shared_template(scripts)
    number = f"{sum(1 for _ in scripts.walk_revisions()) + 1:04}"
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        migrations.upgrade(connection)
        generated = RevisionContext(
            config,
            scripts,
            {
                "message": message,
                "rev_id": number,
                "autogenerate": True,
                "sql": False,
                "head": "head",
                "splice": False,
                "branch_label": None,
                "version_path": None,
                "depends_on": None,
            },
        )

        def compare(revision: Any, context: Any) -> list[Any]:
            generated.run_autogenerate(revision, context)
            return []

        with EnvironmentContext(config, scripts, fn=compare, template_args=generated.template_args) as environment:
            environment.configure(connection=connection, **migrations.options())
            environment.run_migrations()
        written = [Path(script.path) for script in generated.generate_scripts() if script is not None]
    engine.dispose()
    return written[0]


def _use_shared_template(scripts: ScriptDirectory) -> None:
    """A component needs no ``script.py.mako`` of its own."""
    generate = scripts._generate_template
    shared = Path(str(files("sdk.service.migrations"))) / "script.py.mako"
    setattr(scripts, "_generate_template", lambda _src, dest, **names: generate(shared, dest, **names))  # noqa: B010


def main(args: list[str]) -> int:
    if len(args) != 2:
        print("usage: scripts/revision COMPONENT MESSAGE", file=sys.stderr)  # noqa: T201
        return 2
    component, message = args
    try:
        (migrations,) = installed([component])
        if not message.strip():
            raise ConfigurationError("say in a few words what the migration does")
        print(write_revision(migrations, message))  # noqa: T201
    except SdkError as error:
        print(f"scripts/revision: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
