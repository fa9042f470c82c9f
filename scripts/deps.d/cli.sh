# cli.sh: the stock nats CLI, from source, where Go is there. Optional.

cli_go_floor=1.25

cli_need() {
    local go_version
    if have nats || [ -x build/deps/bin/nats ]; then return; fi
    have go || { skipping nats-cli "no nats CLI on PATH, and no Go to build one" && return; }
    go_version=$(go env GOVERSION | sed 's/^go//')
    version_at_least "$go_version" "$cli_go_floor" ||
        { skipping nats-cli "no nats CLI on PATH, and Go $go_version is older than $cli_go_floor" && return; }
    doing "building the nats CLI with Go (a few minutes the first time)"
    mkdir -p build/deps/bin
    if (cd scripts/deps.d/nats-cli && CGO_ENABLED=0 go build -p 2 -o "$top/build/deps/bin/nats" github.com/nats-io/natscli/nats) >build/deps/go.log 2>&1; then
        not_skipped nats-cli
    else
        skipping nats-cli "Go could not build it (see build/deps/go.log)"
    fi
}
