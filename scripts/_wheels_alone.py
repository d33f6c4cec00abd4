"""Builds every wheel, installs each with the siblings it declares into an empty environment, and uses it there.

What is shown: no ``sdk/__init__.py`` in any wheel, nothing undeclared is needed, core brings pydantic alone, and the
commands of a component work without the components it does not depend on. Run by .ci/run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

# distribution -> (installed together with, code that must run there)
PROBES: dict[str, tuple[list[str], str]] = {
    "sdk-core": (
        [],
        "import sys, sdk.core as c; from sdk.core import Transaction, Beef, MerklePath, BlockHeader, Script, OutPoint;"
        "import importlib.metadata as m;"
        "names={d.metadata['Name'].lower().replace('_','-') for d in m.distributions()};"
        "extra=names-{'sdk-core','pydantic','pydantic-core','annotated-types','typing-extensions','typing-inspection'};"
        "assert not extra, extra",
    ),
    "sdk-service": ([], "from sdk.service.database import Database; COMMANDS"),
    "sdk-wallet": ([], "import sdk.wallet; from sdk.wallet.keys import PrivateKey; COMMANDS; TABLES"),
    "sdk-chaintracks": ([], "import sdk.chaintracks; COMMANDS; TABLES"),
    "sdk-monitor": ([], "import sdk.monitor; COMMANDS; TABLES"),
    "sdk-module-runtime": ([], "import sdk.module_runtime; COMMANDS; TABLES; RUNTIME"),
    "sdk-devnet": ([], "import sdk.devnet; COMMANDS; TABLES"),
    "sdk-monitor + sdk-wallet": (
        ["sdk-monitor", "sdk-wallet"],
        "from sdk.core.plugins import PluginRegistry; assert 'wallet' in list(PluginRegistry('sdk.monitor.backends'));"
        "PluginRegistry('sdk.monitor.backends').load('wallet'); COMMANDS; TABLES",
    ),
}
COMMANDS = (
    "import subprocess, sys, os; sdk=os.path.join(os.path.dirname(sys.executable),'sdk');"
    "[subprocess.run([sdk,*a],check=True,stdout=subprocess.DEVNULL) for a in (['--help'],['version'],['plugins'])]"
)
TABLES = (
    "[subprocess.run([sdk,'db',a,'--url','sqlite:///alone.sqlite'],check=True,stdout=subprocess.DEVNULL)"
    " for a in ('upgrade','status')]"
)

RUNTIME = f"import runpy; runpy.run_path({str(ROOT / 'scripts' / '_runtime_alone.py')!r})"

# The start of the `sdk` command must work where a foreign `sdk/__init__.py` hides the whole namespace, to say so.
OUTSIDE_THE_NAMESPACE = {"sdk-service": ("sdk_launcher.py",)}


def run(*command: str, cwd: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(command, check=True, cwd=cwd, env=environment)


def build(dist: Path) -> dict[str, Path]:
    for package in sorted((ROOT / "packages").iterdir()):
        if (package / "pyproject.toml").exists():
            run("uv", "build", "-q", "--wheel", "--out-dir", str(dist), str(package), cwd=ROOT)
    wheels = {path.name.split("-")[0].replace("_", "-"): path for path in dist.glob("*.whl")}
    for name, path in wheels.items():
        names = zipfile.ZipFile(path).namelist()
        portion = name.removeprefix("sdk-").replace("-", "_")
        assert "sdk/__init__.py" not in names, f"{path.name} ships sdk/__init__.py"
        assert f"sdk/{portion}/py.typed" in names, f"{path.name} ships no py.typed"
        own = (f"sdk/{portion}/", f"{path.name.split('-')[0]}-", *OUTSIDE_THE_NAMESPACE.get(name, ()))
        stray = [each for each in names if not each.startswith(own)]
        assert not stray, f"{path.name} ships {stray}"
    return wheels


def _complete(code: str) -> str:
    for name, meaning in (("COMMANDS", COMMANDS), ("TABLES", TABLES), ("RUNTIME", RUNTIME)):
        code = code.replace(name, meaning)
    return code


def try_alone(title: str, distributions: list[str], code: str, dist: Path, scratch: Path) -> None:
    environment = scratch / title.replace(" ", "")
    run("uv", "venv", "-q", "--python", sys.executable, str(environment), cwd=scratch)
    python = str(environment / "bin" / "python")
    run("uv", "pip", "install", "-q", "--python", python, "--find-links", str(dist), *distributions, cwd=scratch)
    run(python, "-W", "error", "-c", _complete(code), cwd=environment)
    print(f"{title}: installs alone and works", flush=True)


def main() -> None:
    scratch = Path(tempfile.mkdtemp(prefix="sdk-wheels-"))
    try:
        dist = scratch / "dist"
        wheels = build(dist)
        for title, (together, code) in PROBES.items():
            if title in wheels or together:
                try_alone(title, together or [title], code, dist, scratch)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
