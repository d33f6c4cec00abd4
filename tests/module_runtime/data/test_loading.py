"""A module pays only for what it uses."""

import subprocess
import sys


def test_a_proxied_database_and_cache_load_no_drivers() -> None:
    program = (
        "import sys\n"
        "import sdk.module_runtime.data.database.proxied, sdk.module_runtime.data.cache.proxied\n"
        "from sdk.module_runtime.data.database import DatabaseConfig, open_database\n"
        "from sdk.module_runtime.data.cache import CacheConfig, open_cache\n"
        "import sdk.module_runtime.orchestrator.stack\n"
        "print(sorted({'sqlalchemy', 'redis', 'aiomcache', 'psycopg', 'pymysql', 'alembic'} & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"
