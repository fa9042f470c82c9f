# apt.sh: Debian packages onto the system.

apt_present() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# A row is `package` or `package:command,command`: with the commands there, the package is not asked for.
apt_row_missing() {
    local package=${1%%:*} commands=${1#*:} command
    apt_present "$package" && return 1
    [ "$commands" != "$1" ] || return 0
    for command in ${commands//,/ }; do
        have "$command" || return 0
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# apt_need <row…>: installs those that are missing; fails with the names of what could not be installed.
apt_need() {
    local row missing=()
    have dpkg-query || fail "this is no Debian: install by hand what these packages hold: ${*%%:*}"
    for row in "$@"; do
        if apt_row_missing "$row"; then missing+=("${row%%:*}"); fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || have sudo || fail "missing packages: ${missing[*]}. Run this as root, or install sudo"
    doing "installing Debian packages: ${missing[*]}"
    apt_get update || say "deps: the package lists could not all be renewed; going on with those that are there"
    apt_get install -y --no-install-recommends "${missing[@]}" && return
    for row in "${missing[@]}"; do
        apt_get install -y --no-install-recommends "$row" || true # one by one, to learn which
    done
    for row in "${missing[@]}"; do
        apt_present "$row" || fail "missing package '$row': apt-get could not install it (see build/deps/apt.log)"
    done
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >>build/deps/apt.log 2>&1 </dev/null; }
