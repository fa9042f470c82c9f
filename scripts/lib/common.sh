# common.sh: what every script here uses. Sourced; expects `set -euo pipefail` and runs from the top of the tree.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
broker_floor=2.11.1 # older servers let one account erase another's streams

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# version_at_least 2.15.1 2.11.0
version_at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# broker_version <program>: prints "2.15.1", or nothing when it is not a nats-server.
broker_version() { "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\{0,1\}\([0-9][0-9.]*\).*/\1/p'; }

broker_good() {
    local version
    version=$(broker_version "$1")
    [ -n "$version" ] && version_at_least "$version" "$broker_floor"
}

# broker_find: prints the nats-server to use; fails when there is none that is new enough.
broker_find() {
    local program
    for program in "${TL_NATS_SERVER:-}" "$top/build/deps/bin/nats-server" "$(command -v nats-server || true)"; do
        if [ -n "$program" ] && [ -x "$program" ] && broker_good "$program"; then
            say "$program"
            return
        fi
    done
    return 1
}

# cli_find: prints the stock nats CLI of this machine; fails when there is none.
cli_find() {
    local program
    for program in "$top/build/deps/bin/nats" "$(readlink -f "$(command -v nats || true)")"; do
        if [ -n "$program" ] && [ -x "$program" ] && "$program" --help 2>&1 | grep -q JetStream; then
            say "$program"
            return
        fi
    done
    return 1
}
