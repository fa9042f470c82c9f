# python.sh: the virtual environment of the system tests, build/venv, pinned with hashes.

apt_need_python() {
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then apt_need python3-venv; fi
}

python_need() {
    local stamp=build/venv/.requirements
    cmp -s test/system/requirements.txt "$stamp" && return
    apt_need_python
    doing "setting up build/venv for the system tests"
    rm -rf build/venv
    python3 -m venv build/venv &&
        build/venv/bin/pip install -q --disable-pip-version-check --require-hashes -r test/system/requirements.txt ||
        fail "missing: the Python packages of test/system/requirements.txt (pip's own words are above)"
    cp test/system/requirements.txt "$stamp"
}
