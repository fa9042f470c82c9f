# node.sh: stock JavaScript clients and validators for the interoperability tests, build/node. Optional.

node_need() {
    local stamp=build/node/.lock
    cmp -s test/interop/package-lock.json "$stamp" && return
    if ! have node || ! have npm; then
        (apt_need nodejs npm) || { skipping node "no node and npm on this machine, and none to be installed" && return; }
    fi
    doing "setting up build/node for the interoperability tests"
    rm -rf build/node
    mkdir -p build/node
    cp test/interop/package.json test/interop/package-lock.json build/node/
    if (cd build/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >build/deps/npm.log 2>&1; then
        cp test/interop/package-lock.json "$stamp"
        not_skipped node
    else
        rm -rf build/node
        skipping node "npm could not install the packages of test/interop (see build/deps/npm.log)"
    fi
}
