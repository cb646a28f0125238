"""A hardware module for tests: SoftHSM, a real PKCS #11 library whose tokens are files."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.signing.hsm import Hsm

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
TOKEN = "gateway specimen"
PIN = "2468-specimen"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftHsm:
    """One token in a folder of its own."""

    module: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def hsm(self, *, pin: str = PIN) -> Hsm:
        return Hsm(module=self.module, token=TOKEN, pin=pin)

    def settings(self) -> dict[str, Any]:
        return {"pkcs11_module": Path(self.module), "pkcs11_token": TOKEN, "pkcs11_pin": PIN}


def new_token(folder: Path) -> SoftHsm:
    """Make a token; this process, and those it starts, find it from now on."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    program = shutil.which("softhsm2-util")
    if module is None or program is None:
        message = "SoftHSM is missing: scripts/system-packages.sh installs it (Debian's softhsm2)"
        raise RuntimeError(message)
    made = SoftHsm(module=module, folder=folder)
    made.tokens.mkdir(parents=True)
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {made.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    # The library reads it in this process, when it is initialised.
    os.environ.update(made.environment)
    subprocess.run(
        [program, "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "13579-specimen"],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return made
