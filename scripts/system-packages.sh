#!/usr/bin/env bash
# Makes sure that the programs the tests start are there: PostgreSQL's, Chromium, a hardware module in software, Node
# and Apache, and with --prove what the long proofs break things with. Installs them from Debian's packages when it may,
# and otherwise names what to install.
set -euo pipefail

proving=no
[ "${1:-}" != --prove ] || proving=yes

has_postgresql() {
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        { command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ]; }
}

missing() {
    has_postgresql || printf 'postgresql '
    command -v chromium >/dev/null || printf 'chromium '
    command -v node >/dev/null || printf 'nodejs '
    command -v npm >/dev/null || printf 'npm '
    command -v curl >/dev/null || printf 'curl '
    # The server alone: the package apache2 would start one.
    [ -x /usr/sbin/apache2 ] || printf 'apache2-bin '
    [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || printf 'libapache2-mod-auth-openidc '
    command -v softhsm2-util >/dev/null || printf 'softhsm2 '
    [ "$proving" = yes ] || return 0
    for program in strace faketime haproxy debootstrap; do
        # Debian keeps some of them where only administrators look.
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || printf '%s ' "$program"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root='sudo -n'
fi
if ! command -v apt-get >/dev/null || ! $as_root true 2>/dev/null; then
    echo "The tests need these packages (Debian's names), which only an administrator can install: $packages" >&2
    exit 1
fi
echo "Installing for the tests: $packages" >&2
log=$(mktemp)
# shellcheck disable=SC2086  # Both hold several words on purpose.
if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -5 "$log" >&2
    echo "These packages could not be installed: $packages(details: $log)" >&2
    exit 1
fi
rm -f "$log"
packages=$(missing)
if [ -n "$packages" ]; then
    echo "Installed, and still not found: $packages" >&2
    exit 1
fi
