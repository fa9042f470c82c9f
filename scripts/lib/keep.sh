# keep.sh: keeps children running. Sourced by scripts/run.
#
# keep_init <log folder>      before the rest: log folder, traps
# keep <name> <command…>      start it, and start it again whenever it ends
# keep_wait <name> <text>     wait until its log says so
# keep_forever                watch until a signal comes

keep_names=() # in the order of their start
declare -A keep_pid keep_command keep_delay keep_due keep_born

keep_init() {
    keep_log=$1
    [ ! -e "$keep_log/run.log" ] || mv "$keep_log/run.log" "$keep_log/run.log.1"
    exec {keep_never}<> <(:) # reading it is a sleep that starts no process
    trap keep_stop EXIT
    trap 'exit 0' INT TERM HUP QUIT
    trap : KILL SEGV ABRT BUS FPE ILL SYS # for the shell's sake: of a trapped signal that ends a child it says nothing
}

pause() { read -rt "$1" -u "$keep_never" || true; }

# Asked of /proc, because inside a trap bash does not collect children, and kill -0 finds dead ones too.
keep_runs() {
    local stat
    [ -n "${keep_pid[$1]:-}" ] || return 1
    { read -r stat <"/proc/${keep_pid[$1]}/stat"; } 2>/dev/null && [[ $stat != *") Z "* ]]
}

# Each child has a session of its own, so Ctrl-C reaches this script alone, which ends them in order;
# and it gets SIGTERM from the kernel should this script be killed.
keep_start() {
    local name=$1
    eval "exec setsid setpriv --pdeathsig TERM ${keep_command[$name]} $keep_never>&-" >>"$keep_log/$name.log" 2>&1 </dev/null &
    keep_pid[$name]=$!
    keep_born[$name]=$SECONDS
}

keep() {
    local name=$1
    shift
    keep_names+=("$name")
    keep_command[$name]=$(printf '%q ' "$@")
    keep_delay[$name]=1
    [ ! -e "$keep_log/$name.log" ] || mv "$keep_log/$name.log" "$keep_log/$name.log.1"
    keep_start "$name"
}

keep_wait() {
    local end=$((SECONDS + 30))
    until grep -q -- "$2" "$keep_log/$1.log" 2>/dev/null; do
        keep_runs "$1" && [ $SECONDS -lt $end ] || return 1
        pause 0.02
    done
}

keep_last_words() { tail -n 3 "$keep_log/$1.log"; }

# One that ran for a minute is started again after a second; one that keeps dying after 2, 4 … 30 s.
keep_look_after() {
    local name=$1 code=0
    if [ -n "${keep_pid[$name]}" ]; then
        ! keep_runs "$name" || return 0
        wait "${keep_pid[$name]}" || code=$?
        keep_pid[$name]=
        [ $((SECONDS - keep_born[$name])) -lt 60 ] || keep_delay[$name]=1
        keep_due[$name]=$((SECONDS + keep_delay[$name]))
        keep_tell "$name ended ($(keep_reason $code)); starting it again in ${keep_delay[$name]} s. Its last words: $(tail -n 1 "$keep_log/$name.log")"
        keep_delay[$name]=$((keep_delay[$name] < 16 ? keep_delay[$name] * 2 : 30))
    elif [ $SECONDS -ge "${keep_due[$name]}" ]; then
        keep_start "$name"
        keep_tell "$name started again"
    fi
}

# On the terminal, and for whoever asks later.
keep_tell() {
    say "$1"
    printf '%(%F %T)T WARN  %s\n' -1 "$1" >>"$keep_log/run.log"
}

keep_reason() { if [ "$1" -gt 128 ]; then say "signal $(kill -l $(($1 - 128)))"; else say "exit code $1"; fi; }

keep_forever() {
    local name
    while :; do
        for name in "${keep_names[@]}"; do keep_look_after "$name"; done
        pause 0.3
    done
}

# Last started first, so that each still has its broker while it drains.
keep_stop() {
    local code=$? i name
    trap - EXIT
    trap '' INT TERM HUP QUIT # a second Ctrl-C does not leave half of it running
    for ((i = ${#keep_names[@]} - 1; i >= 0; i--)); do
        name=${keep_names[$i]}
        keep_runs "$name" || continue
        kill -TERM "${keep_pid[$name]}" 2>/dev/null || true
        keep_end "$name"
    done
    [ ${#keep_names[@]} -eq 0 ] || say "stopped: ${keep_names[*]}"
    exit "$code"
}

keep_end() {
    local end=$((SECONDS + 8))
    while keep_runs "$1"; do
        if [ $SECONDS -ge $end ]; then
            say "$1 does not end; killing it"
            kill -KILL "${keep_pid[$1]}" 2>/dev/null || true
            return
        fi
        pause 0.05
    done
}
