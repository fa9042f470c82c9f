# prometheus.sh: Prometheus and promtool for the tests of scripts/monitoring. Optional.
# Debian's packages are unpacked under build/, not installed: so no service of the system is started, no user is
# made, and no root is needed. Both programs need the C library alone.

prometheus_need() {
    if [ -x build/deps/bin/promtool ] || { have prometheus && have promtool; }; then return; fi
    doing "unpacking Prometheus from Debian's packages (20 to 32 MB to fetch, 95 to 170 MB on disk)"
    if prometheus_unpack || { apt_get update && prometheus_unpack; }; then
        not_skipped prometheus
    else
        skipping prometheus "no prometheus on PATH, and Debian's packages are not to be had (see build/deps/apt.log)"
    fi
}

# promtool has a package of its own from Debian 13 on.
prometheus_unpack() {
    local folder=$PWD/build/deps/prometheus
    rm -rf "$folder"
    mkdir -p "$folder" build/deps/bin
    (
        cd "$folder"
        apt-get -qq -o APT::Sandbox::User= download prometheus && dpkg -x prometheus_*.deb .
        [ -x usr/bin/promtool ] || { apt-get -qq -o APT::Sandbox::User= download promtool && dpkg -x promtool_*.deb .; }
    ) >>build/deps/apt.log 2>&1 </dev/null || return 1
    mv "$folder/usr/bin/prometheus" "$folder/usr/bin/promtool" build/deps/bin/ && rm -rf "$folder"
}
