# prometheus.sh: Prometheus and promtool for the tests of scripts/monitoring. Optional.
# Debian's package is unpacked under build/, not installed: so no service of the system is started, no user is
# made, and no root is needed. Both programs need the C library alone.

prometheus_need() {
    if [ -x build/deps/bin/promtool ] || { have prometheus && have promtool; }; then return; fi
    doing "unpacking Prometheus from Debian's package (20 MB to fetch, 95 MB on disk)"
    if prometheus_unpack || { apt_get update && prometheus_unpack; }; then
        not_skipped prometheus
    else
        skipping prometheus "no prometheus on PATH, and Debian's package is not to be had (see build/deps/apt.log)"
    fi
}

prometheus_unpack() {
    local folder=$PWD/build/deps/prometheus
    rm -rf "$folder"
    mkdir -p "$folder" build/deps/bin
    (
        cd "$folder"
        apt-get -qq -o APT::Sandbox::User= download prometheus && dpkg -x prometheus_*.deb .
    ) >>build/deps/apt.log 2>&1 </dev/null || return 1
    mv "$folder/usr/bin/prometheus" "$folder/usr/bin/promtool" build/deps/bin/ && rm -rf "$folder"
}
