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

# broker_fault 2.14.0: what is known against a version that is new enough, and what to do; nothing when nothing is.
# Source: schemas/specs/access.md, "Limits". bus_broker_fault (bus/nats/info.c) has the same words.
broker_fault() {
    case $1 in
    2.11.[0-9] | 2.11.1[0-4] | 2.12.[0-5]) say "a user can have message traces put onto subjects that its list forbids (CVE-2026-33249): use 2.15.1 or newer" ;;
    2.11.* | 2.12.[6-9] | 2.12.1[01] | 2.14.[0-2]) say "a user with a list of permissions can end it by a header (Nats-Trace-Dest): use 2.15.1 or newer" ;;
    esac
}

broker_warn() {
    local fault
    fault=$(broker_fault "$1")
    [ -z "$fault" ] || say "warning: nats-server $1: $fault"
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
