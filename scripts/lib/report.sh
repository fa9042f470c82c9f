# report.sh: runs programs of tests, says one line for each, and sums what they counted. Sourced.
#
# report_open <name>                 a new set of results, build/report/<name>.tsv
# report_run <row> <command…>        a program whose last `N passed, N failed[, N skipped]` counts
# report_step <row> <command…>       a command that passes or fails as one; $report_ok says which (1, 0)
#                                    (neither runs when $report_only is set and no part of the row)
# report_pool <name> <command…>      runs a command that makes a row as soon as fewer than one a processor run;
# report_pool_wait                   until all of them are through
# report_beside <row> <function>     a step that gives way to the others while they go on beside it;
# report_beside_wait                 until all of those are through
# report_close                       the sum as the last line; fails when something failed or nothing ran

report_open() {
    report_name=$1
    report_dir=$top/build/report/$1
    rm -rf "$report_dir"
    mkdir -p "$report_dir"
    : >"$report_dir.tsv"
}

# Reads the counts off the last such line of a log: Criterion's runner's or pytest's.
report_counts() {
    grep -E '[0-9]+ (passed|failed|errors?|skipped)' "$1" | tail -n 1 | awk '
        { for (i = 2; i <= NF; i++) { word = $i; gsub(/[^a-z]/, "", word); n[word] += $(i - 1) } }
        END { printf "%d %d %d\n", n["passed"], n["failed"] + n["error"] + n["errors"], n["skipped"] }'
}

# Under a lock, so that what runs side by side is told one after the other.
report_row() { # row, passed, failed, skipped, seconds, log
    local counts="$2 passed, $3 failed"
    [ "$4" = 0 ] || counts+=", $4 skipped"
    {
        flock 9
        printf '%-34s %s (%s s)\n' "$1:" "$counts" "$5"
        printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$report_dir.tsv"
        report_skips "$6"
        [ "$3" = 0 ] || report_show "$6"
    } 9>"$report_dir.lock"
}

report_run() {
    [[ $1 == *"${report_only:-}"* ]] || return 0
    local row=$1 log=$report_dir/${1//[ \/]/-}.log start=$SECONDS code=0 passed failed skipped
    shift
    "$@" >"$log" 2>&1 </dev/null || code=$?
    read -r passed failed skipped < <(report_counts "$log"; echo 0 0 0) || true
    if [ "$code" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
    report_row "$row" "$passed" "$failed" "$skipped" $((SECONDS - start)) "$log"
}

report_step() {
    [[ $1 == *"${report_only:-}"* ]] || return 0
    local row=$1 log=$report_dir/${1//[ \/]/-}.log start=$SECONDS
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        report_ok=1
        report_row "$row" 1 0 0 $((SECONDS - start)) "$log"
    else
        report_ok=0
        report_row "$row" 0 1 0 $((SECONDS - start)) "$log"
    fi
}

# What runs at the same time, by process. One that ends without its row was killed, and counts as failed.
declare -A report_pooled=() report_besides=()
report_ended() { [ "$2" = 0 ] || report_row "$1 (ended without a word)" 0 1 0 0 /dev/null; }

report_pool() {
    [ ${#report_pooled[@]} -lt "$(nproc)" ] || report_pool_next
    ("${@:2}") &
    report_pooled[$!]=$1
}

report_pool_next() {
    local pid code=0
    wait -n -p pid "${!report_pooled[@]}" || code=$?
    report_ended "${report_pooled[$pid]}" $code
    unset "report_pooled[$pid]"
}

report_pool_wait() { while [ ${#report_pooled[@]} -gt 0 ]; do report_pool_next; done; }

# In a process group of its own, so that all of it ends with this script.
report_beside() {
    set -m
    (renice -n 19 -p "$BASHPID" >/dev/null && report_step "$@") &
    set +m
    report_besides[$!]=$1
    trap 'for pid in "${!report_besides[@]}"; do kill -- "-$pid" 2>/dev/null; done' EXIT
}

report_beside_wait() {
    local pid code
    for pid in "${!report_besides[@]}"; do
        code=0
        wait "$pid" || code=$?
        report_ended "${report_besides[$pid]}" $code
        unset "report_besides[$pid]"
    done
}

report_skips() { grep -iE '^skipped(:| \[)' "$1" | cut -c1-160 | sort | uniq -c | sed 's/^ *\([0-9]*\) /    \1x /' || true; }
report_show() {
    say "---- the end of $1"
    tail -n 60 "$1" | cut -c1-300
    say "----"
}

report_sum() { awk -F'\t' '{ p += $2; f += $3; s += $4 } END { printf "%d passed, %d failed", p, f; if (s) printf ", %d skipped", s; print "" }' "$@"; }

report_close() {
    local bad
    bad=$(awk -F'\t' '$3 { printf " %s", $1 }' "$report_dir.tsv")
    [ -z "$bad" ] || say "failed:$bad (logs in build/report/$report_name)"
    report_sum "$report_dir.tsv"
    [ -z "$bad" ] && awk -F'\t' '{ p += $2 } END { exit !p }' "$report_dir.tsv"
}

# tests_of <preset> <prefix>: every C program and the system tests, on the programs of that build.
tests_c() {
    local preset=$1 prefix=$2 program
    while read -r program; do
        [ -z "$program" ] || report_pool "$prefix$program" report_run "$prefix$program" ${tests_under:-} "build/$preset/test/$program"
    done <"build/$preset/test/programs"
    report_pool_wait
}
# Four at a time: they wait more than they compute. Handed out one by one, for they are of very different length.
tests_system() {
    local preset=$1 prefix=$2
    report_run "${prefix}system" env TL_BUILD="$top/build/$preset" build/venv/bin/pytest -q --color=no \
        -n 4 --dist load --maxschedchunk 1 --durations=15 test/system
    local log=$report_dir/${prefix// /-}system.log
    [ ! -f "$log" ] || sed -n "s#^who may do what: .*#    & (the tables: ${log#"$top"/})#p" "$log"
}
