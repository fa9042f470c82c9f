# report.sh: runs programs of tests, says one line for each, and sums what they counted. Sourced.
#
# report_open <name>                 a new set of results, build/report/<name>.tsv
# report_run <row> <command…>        a program whose last `N passed, N failed[, N skipped]` counts
# report_step <row> <command…>       a command that passes or fails as one; $report_ok says which (1, 0)
#                                    (neither runs when $report_only is set and no part of the row)
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

report_row() { # row, passed, failed, skipped, seconds
    local counts="$2 passed, $3 failed"
    [ "$4" = 0 ] || counts+=", $4 skipped"
    printf '%-34s %s (%s s)\n' "$1:" "$counts" "$5"
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$report_dir.tsv"
}

report_run() {
    [[ $1 == *"${report_only:-}"* ]] || return 0
    local row=$1 log=$report_dir/${1//[ \/]/-}.log start=$SECONDS code=0 passed failed skipped
    shift
    "$@" >"$log" 2>&1 </dev/null || code=$?
    read -r passed failed skipped < <(report_counts "$log"; echo 0 0 0) || true
    if [ "$code" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
    report_row "$row" "$passed" "$failed" "$skipped" $((SECONDS - start))
    report_skips "$log"
    if [ "$failed" != 0 ]; then report_show "$log"; fi
}

report_step() {
    [[ $1 == *"${report_only:-}"* ]] || return 0
    local row=$1 log=$report_dir/${1//[ \/]/-}.log start=$SECONDS
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        report_ok=1
        report_row "$row" 1 0 0 $((SECONDS - start))
    else
        report_ok=0
        report_row "$row" 0 1 0 $((SECONDS - start))
        report_show "$log"
    fi
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
        [ -z "$program" ] || report_run "$prefix$program" "build/$preset/test/$program"
    done <"build/$preset/test/programs"
}
# Two at a time: they wait more than they compute.
tests_system() {
    local preset=$1 prefix=$2
    report_run "${prefix}system" env TL_BUILD="$top/build/$preset" build/venv/bin/pytest -q --color=no -n 2 --durations=15 test/system
}
