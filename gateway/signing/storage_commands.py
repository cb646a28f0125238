"""`gateway keys encrypt|decrypt|passphrase`: how the files of keys and secrets lie on the disk."""

from collections.abc import Callable
from pathlib import Path

import click

from gateway.settings import Settings
from gateway.signing.encryption import KeyLock, change_passphrase, open_lock
from gateway.signing.errors import KeysEncrypted
from gateway.signing.keeping import decrypt_keys, encrypt_keys


def storage_commands(open_settings: Callable[[], Settings]) -> tuple[click.Command, ...]:
    """Return the commands; `open_settings` is called when one runs, not before."""

    @click.command("encrypt")
    def encrypt() -> None:
        """Encrypt every key and secret in a file under GATEWAY_KEYS_PASSPHRASE. Safe to repeat."""
        keys_dir, lock = _opened(open_settings())
        _tell(encrypt_keys(keys_dir, lock), "encrypted")
        click.echo("Start every process of the gateway again, each with the passphrase.")

    @click.command("decrypt")
    def decrypt() -> None:
        """Put every key and secret in the clear again; needs GATEWAY_KEYS_PASSPHRASE. Safe to repeat."""
        keys_dir, lock = _opened(open_settings())
        _tell(decrypt_keys(keys_dir, lock), "decrypted")
        click.echo("Take GATEWAY_KEYS_PASSPHRASE out of the settings, and start every process of the gateway again.")

    @click.command("passphrase")
    @click.argument("new", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    def passphrase(new: Path) -> None:
        """Let the passphrase in the file NEW open the keys, and the one in the settings no longer.

        Whoever has the old one and an old copy of keys/passphrase.json still opens old copies. If it was stolen,
        decrypt and encrypt, which makes new encryption keys, and rotate the signing keys.
        """
        keys_dir, lock = _opened(open_settings())
        change_passphrase(keys_dir, lock, new.read_text(encoding="utf-8").strip())
        click.echo("The passphrase was changed: put the new one into the settings. What runs is not disturbed.")

    return encrypt, decrypt, passphrase


def _opened(settings: Settings) -> tuple[Path, KeyLock]:
    lock = open_lock(settings.keys_dir, settings.keys_passphrase)
    if lock is None:
        raise KeysEncrypted("Set GATEWAY_KEYS_PASSPHRASE or GATEWAY_KEYS_PASSPHRASE_FILE first.")
    return settings.keys_dir, lock


def _tell(changed: list[Path], done: str) -> None:
    for path in changed:
        click.echo(f"{path}: {done}")
    click.echo(f"{len(changed)} files {done}")
