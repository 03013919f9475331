#!/usr/bin/env bash
# run_local.sh [--data-dir DIR] [--port N] [--http-port N] [--once] [--no-install]
#
# Install what is needed, build, start plinthd on a local directory, load the example key set and the example table, run
# the calls of keys and tables against it through gRPC, check the answers, and stay up until Ctrl-C (which drains and
# stops it).
#
#   --data-dir DIR   where the data lives (default: plinth-data in the repository)
#   --port N         gRPC on 127.0.0.1:N (default: 50051)
#   --http-port N    /healthz, /readyz and /metrics on 127.0.0.1:N (default: 8080)
#   --once           stop at the end instead of staying up; the exit code says whether every answer was right
#   --no-install     do not install packages
# shellcheck disable=SC2016 # the awk programs
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

DATA_DIR=$ROOT/plinth-data
PORT=50051
HTTP_PORT=8080
ONCE=0
INSTALL=1
READY_TIMEOUT_S=120

BIN=$ROOT/build/release/bin
KEY_SET=$ROOT/examples/data/cmudict.csv.zst
FLIGHTS=$ROOT/examples/data/nyc-flights.csv.zst
ROWS=0
SCRATCH=
SERVER=
SERVER_LOG=
STEPS=0

parse_options() {
    while [[ $# -gt 0 ]]; do
        case $1 in
        --data-dir | --port | --http-port)
            [[ $# -gt 1 ]] || die "$1 needs a value"
            case $1 in
            --data-dir) DATA_DIR=$(realpath -m -- "$2") ;;
            --port) PORT=$2 ;;
            --http-port) HTTP_PORT=$2 ;;
            esac
            shift
            ;;
        --once) ONCE=1 ;;
        --no-install) INSTALL=0 ;;
        -h | --help) usage_of "$0" && exit 0 ;;
        *) die "unknown option '$1' (--help)" ;;
        esac
        shift
    done
    local port
    for port in "$PORT" "$HTTP_PORT"; do
        [[ $port =~ ^[0-9]+$ && $port -ge 1 && $port -le 65535 ]] || die "'$port' is no port number"
    done
    [[ $PORT -ne $HTTP_PORT ]] || die "gRPC and HTTP cannot share port $PORT"
}

require_free_port() {
    local option=$1 port=$2 holder=''
    port_in_use "$port" || return 0
    if have ss; then
        holder=$(ss -Hltnp "sport = :$port" 2>/dev/null | sed -n 's/.*users:((\("[^"]*",pid=[0-9]*\).*/ by \1/p' | head -n 1)
    fi
    die "port $port on 127.0.0.1 is in use$holder; stop that, or choose another with $option N"
}

# ---- the server

start_server() {
    local start waited_ms
    SERVER_LOG=$ROOT/build/plinthd-$PORT.log
    say "starting plinthd on $DATA_DIR"
    start=$(now_ms)
    # In a session of its own: a Ctrl-C reaches this script, which then stops the server once.
    setsid "$BIN/plinthd" --data-dir "$DATA_DIR" --listen "127.0.0.1:$PORT" --http-listen "127.0.0.1:$HTTP_PORT" \
        </dev/null >"$SERVER_LOG" 2>&1 &
    SERVER=$!
    until curl --silent --fail --noproxy '*' --max-time 2 "http://127.0.0.1:$HTTP_PORT/readyz" >/dev/null 2>&1; do
        if ! kill -0 "$SERVER" 2>/dev/null; then
            tail -n 20 "$SERVER_LOG" >&2
            SERVER=
            die "plinthd did not start; its log: $SERVER_LOG"
        fi
        waited_ms=$(($(now_ms) - start))
        [[ $waited_ms -lt $((READY_TIMEOUT_S * 1000)) ]] || die "plinthd was not ready after $READY_TIMEOUT_S s"
        sleep 0.05
    done
    note "ready after $(seconds_since "$start") s: gRPC on 127.0.0.1:$PORT, HTTP on 127.0.0.1:$HTTP_PORT"
}

# Sends SIGTERM, on which plinthd drains, and waits. Returns its exit code.
stop_server() {
    local pid=$SERVER rc=0
    [[ -n $pid ]] || return 0
    SERVER=
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do # a signal ends a wait early
        rc=0
        wait "$pid" || rc=$?
    done
    return "$rc"
}

clean_up() {
    local rc=$?
    trap - EXIT
    trap '' INT TERM
    stop_server || true
    [[ -z $SCRATCH ]] || rm -rf "$SCRATCH"
    exit "$rc"
}

# ---- steps: one call each, timed, its answer checked

plinth() { "$BIN/plinth" --server "127.0.0.1:$PORT" "$@"; }

# rows COMMAND...: its rows as CSV without the header.
rows() { plinth --output csv "$@" | sed 1d; }

wrong() {
    printf '%sWRONG%s %s\n' "$RED" "$RESET" "$1" >&2
    printf '  expected: %s\n  got:      %s\n' "$(head -c 400 <<<"$2")" "$(head -c 400 <<<"$3")" >&2
    die "the answer to '$1' is wrong (server log: $SERVER_LOG)"
}

# print_step TITLE MICROSECONDS OUTPUT
print_step() {
    local shown lines
    lines=$(grep -c '' <<<"$3" || true)
    shown=$(head -n 1 <<<"$3" | tr -s " " | cut -c 1-48)
    [[ $lines -le 1 ]] || shown="$lines rows: $shown, ..."
    printf '    %-44s %6d.%d ms   %s%s%s\n' "$1" $(($2 / 1000)) $(($2 % 1000 / 100)) "$DIM" "$shown" "$RESET"
}

# step TITLE EXPECTED COMMAND...: run it; it must succeed and its output be EXPECTED (`*`: anything).
step() { step_code "$1" 0 "${@:2}"; }

# step_code TITLE CODE EXPECTED COMMAND...: the same for a command that must end with CODE.
step_code() {
    local title=$1 code=$2 expected=$3 start got rc=0 micros
    shift 3
    start=$(date +%s%N)
    got=$("$@" 2>"$SCRATCH/stderr") || rc=$?
    micros=$((($(date +%s%N) - start) / 1000))
    [[ $rc -eq $code ]] || wrong "$title" "exit code $code" "exit code $rc: $got $(cat "$SCRATCH/stderr")"
    [[ $expected == '*' || $got == "$expected" ]] || wrong "$title" "$expected" "$got"
    [[ $code -eq 0 ]] || got+="${got:+ }$(cat "$SCRATCH/stderr")"
    STEPS=$((STEPS + 1))
    print_step "$title" "$micros" "$got"
}

# ---- what it shows

# The key set as plain CSV in key order, to work out with awk and sort what must be answered.
unpack_key_set() {
    zstd -dcq "$KEY_SET" | sed 1d | LC_ALL=C sort -t , -k 1,1 >"$SCRATCH/words.csv"
    ROWS=$(wc -l <"$SCRATCH/words.csv")
}

# words CONDITION OUTPUT: of the words for which the awk condition holds. $1 word, $2 pronunciation, $3 rhyme, $4 syllables.
words() { LC_ALL=C awk -F , -v OFS=, "$1 { print $2 }" "$SCRATCH/words.csv"; }

# by_index: puts rows `index value,key[,value]` in the order of the index.
by_index() { LC_ALL=C sort -t , -k 1,1 -k 2,2; }

load_key_set() {
    say "importing $ROWS words, each with its pronunciation and the secondary indexes rhyme and syllables"
    plinth kv import "$KEY_SET" || die "the import failed (server log: $SERVER_LOG)"
}

show_key_calls() {
    say "keys"
    step "get read" "$(words '$1 == "read"' '$2')" plinth kv get read
    step "set example:plinth, with two index values" '*' \
        plinth kv set example:plinth "P L IH1 N TH" --index "rhyme=IH N TH" --index syllables=01
    step "get example:plinth" "P L IH1 N TH" plinth kv get example:plinth
    step_code "get example:nothing" 3 '*' plinth kv get example:nothing
    step_code "set example:plinth if absent" 4 '*' plinth kv set example:plinth other --if-absent
    step "compare-and-set: value as expected" 'true,true,P L IH1 N TH' rows kv compare-and-set example:plinth \
        --value "P L IH1 N TH" --set "P L IH2 N TH" --index "rhyme=IH N TH"
    step_code "compare-and-set: value not as expected" 4 'false,true,P L IH2 N TH' rows kv compare-and-set example:plinth \
        --value "P L IH1 N TH" --set "P L IH0 N TH"
    printf '%s\n' '{"op":"set","key":"example:column","value":"K AA1 L AH0 M","rhyme":"AA L AH M","syllables":"02"}' \
        '{"op":"set","key":"example:base","value":"B EY1 S","rhyme":"EY S"}' \
        '{"op":"delete","key":"example:plinth"}' >"$SCRATCH/batch.jsonl"
    step "batch: two sets and a delete, atomic" '*' plinth kv batch "$SCRATCH/batch.jsonl"
    step "scan the prefix example:" $'example:base,B EY1 S\nexample:column,K AA1 L AH0 M' rows kv scan --prefix example:
    step "by-index rhyme = AA L AH M" "$(words '$3 == "AA L AH M"' '$3, $1, $2' | cat - <(
        echo 'AA L AH M,example:column,K AA1 L AH0 M') | by_index)" rows kv by-index rhyme --value "AA L AH M" --values
    step "delete example:base" '*' plinth kv delete example:base
    step "delete example:column" '*' plinth kv delete example:column
    step_code "get example:column" 3 '*' plinth kv get example:column
}

show_reads() {
    step "by-index rhyme = EY SH AH N" "$(words '$3 == "EY SH AH N"' '$3, $1' | by_index)" \
        rows kv by-index rhyme --value "EY SH AH N"
    step "by-index rhyme from EY SH on (prefix)" "$(words 'index($3, "EY SH") == 1' '$3, $1, $2' | by_index)" \
        rows kv by-index rhyme --prefix "EY SH" --values
    step "by-index 7 to 9 syllables (range)" "$(words '$4 >= "07" && $4 < "10"' '$4, $1' | by_index)" \
        rows kv by-index syllables --lower 07 --upper 10
    step "by-index most syllables first, 3" "$(words '$4 >= "08"' '$4, $1' | by_index | tac | head -n 3)" \
        rows kv by-index syllables --reverse --limit 3
    step "scan the prefix data" "$(words 'index($1, "data") == 1' '$1, $2')" rows kv scan --prefix data
    step "scan from log to loh" "$(words '$1 >= "log" && $1 < "loh"' '$1, $2')" rows kv scan --lower log --upper loh
    step "scan backwards from zebra, 5" "$(words '$1 < "zebra"' '$1, $2' | tac | head -n 5)" \
        rows kv scan --upper zebra --reverse --limit 5
    step "scan all keys" "$(words 1 '$1')" rows kv scan --keys-only
}

# ---- the table

# The flights in the order of the table's key, without header. Columns: 1 year, 2 month, 3 day, 4 dep_time, 5 dep_delay,
# 6 arr_time, 7 arr_delay, 8 carrier, 9 tailnum, 10 flight, 11 origin, 12 dest, 13 air_time, 14 distance, 15 hour, 16 minute.
unpack_flights() {
    zstd -dcq "$FLIGHTS" | sed 1d | LC_ALL=C sort -t , -k 1,1n -k 2,2n -k 3,3n -k 8,8 -k 10,10n -k 11,11 >"$SCRATCH/flights.csv"
}

# flights CONDITION OUTPUT: of the flights for which the awk condition holds, in key order.
flights() { LC_ALL=C awk -F , -v OFS=, "$1 { print $2 }" "$SCRATCH/flights.csv"; }

load_flights() {
    say "the table of flights: $(wc -l <"$SCRATCH/flights.csv") rows of 16 columns, 8 of them with nulls"
    plinth --quiet table drop flights 2>/dev/null || true
    step "table create" '*' plinth table create flights "
        year int16, month int8, day int8, dep_time int16, dep_delay int16, arr_time int16, arr_delay int16,
        carrier string, tailnum string, flight int32, origin string, dest string, air_time int16, distance int16,
        hour int8, minute int8, primary key (year, month, day, carrier, flight, origin)"
    step "index create by_tail, sorted" '*' plinth index create flights by_tail --kind sorted --columns tailnum
    step "index create by_dest, bitmap" '*' plinth index create flights by_dest --kind bitmap --columns dest
    plinth import flights "$FLIGHTS" || die "the import failed (server log: $SERVER_LOG)"
    step "index create by_delay, from the rows there are" '*' \
        plinth index create flights by_delay --kind sorted --columns arr_delay
}

show_table_reads() {
    local first='year,month,day,carrier,flight,origin'
    step "row by primary key" "$(flights '$1==2013 && $2==3 && $3==14 && $8=="UA" && $10==1545' '$12, $5, $9')" \
        rows row flights 2013 3 14 UA 1545 EWR --columns dest,dep_delay,tailnum
    step_code "row that is not there" 3 '*' plinth row flights 2013 2 30 UA 1 EWR
    step "find by index: flights of N14228" "$(flights '$9=="N14228"' '$1, $2, $3, $8, $10, $11')" \
        rows find flights by_tail N14228 --columns "$first"
    step "find by index: arr_delay from 900 on" "$(flights '$7 >= 900' '$7, $8, $10' | LC_ALL=C sort -t , -k 1,1n -s)" \
        rows find flights by_delay --lower 900 --columns arr_delay,carrier,flight
    step "count of cancelled flights" "$(flights '$4==""' 1 | wc -l)" rows scan flights --count --where 'dep_time IS NULL'
    step "scan: a filter, a projection, in key order" \
        "$(flights '$11=="JFK" && $5 > 120 && ($12=="LAX" || $12=="SFO")' '$2, $3, $8, $10, $12, $5')" \
        rows scan flights --ordered --columns month,day,carrier,flight,dest,dep_delay \
        --where "origin = 'JFK' AND dep_delay > 120 AND dest IN ('LAX', 'SFO')"
    step "scan: few distinct values, by bitmap" "$(flights '$12=="ANC"' '$2, $3, $8, $10')" \
        rows scan flights --ordered --columns month,day,carrier,flight --where "dest = 'ANC'"
    step "aggregates by origin" "$(flights 1 '$11, $14, $5' | LC_ALL=C awk -F , -v OFS=, '
        { n[$1]++; s[$1] += $2; if ($3 != "" && (!($1 in m) || $3 + 0 > m[$1])) m[$1] = $3 + 0 }
        END { for (o in n) print o, n[o], s[o], m[o] }' | LC_ALL=C sort)" \
        rows scan flights --aggregate 'count, sum(distance), max(dep_delay)' --group-by origin
    step "last flights of the year, backwards" "$(flights 1 '$2, $3, $8, $10, $11' | tac | head -n 5)" \
        rows scan flights --ordered --reverse --limit 5 --columns month,day,carrier,flight,origin
    step "explain" '*' plinth scan flights --explain --where "tailnum = 'N14228' AND month = 3"
}

show_table() {
    load_flights
    say "rows, from memory"
    show_table_reads
    step "flush" '*' plinth flush
    step "compact" '*' plinth compact
    step "verify" '*' plinth verify
    say "the same rows, from segments"
    show_table_reads
    step "export" '*' plinth export flights "$SCRATCH/rows.csv" --order key
    step "the export is what was imported" '' diff "$SCRATCH/flights.csv" <(sed 1d "$SCRATCH/rows.csv")
}

show_calls() {
    show_key_calls
    say "reads, from memory"
    show_reads
    say "administration"
    step "status" '*' plinth status
    step "flush" '*' plinth flush
    step "compact" '*' plinth compact
    step "verify" '*' plinth verify
    say "the same reads, from segments"
    show_reads
    step "export" '*' plinth kv export "$SCRATCH/export.csv"
    step "the export is what was imported" '' diff "$SCRATCH/words.csv" <(sed 1d "$SCRATCH/export.csv")
    show_table
    say "$STEPS answers checked, all right"
}

# ---- staying up

print_how_to_talk() {
    local cli=$BIN/plinth
    [[ $PORT -eq 50051 ]] || cli="$cli --server 127.0.0.1:$PORT"
    cat <<TEXT

${BOLD}plinthd is up.${RESET} Data: $DATA_DIR, log: $SERVER_LOG

  command line   $cli kv get read
                 $cli kv by-index rhyme --value 'EY SH AH N' --limit 10
                 $cli scan flights --where "dep_delay > 600" --limit 10
                 $cli --help
  grpcurl        grpcurl -plaintext 127.0.0.1:$PORT list
                 grpcurl -plaintext -d '{"key":"cmVhZA=="}' 127.0.0.1:$PORT plinth.v1.KeyValue/Get
  HTTP           curl http://127.0.0.1:$HTTP_PORT/healthz    (also /readyz, /metrics)

Ctrl-C drains and stops it.
TEXT
}

stay_up() {
    local rc=0
    trap 'STOPPING=1' INT TERM
    STOPPING=0
    wait "$SERVER" || rc=$?
    if [[ $STOPPING -eq 0 ]]; then
        SERVER=
        tail -n 20 "$SERVER_LOG" >&2
        die "plinthd ended by itself with code $rc"
    fi
    say "draining"
}

finish() {
    local rc=0
    stop_server || rc=$?
    [[ $rc -eq 0 ]] || die "plinthd ended with code $rc; its log: $SERVER_LOG"
    note "plinthd drained and stopped"
}

main() {
    parse_options "$@"
    require_free_port --port "$PORT"
    require_free_port --http-port "$HTTP_PORT"
    [[ $INSTALL -eq 0 ]] || "$ROOT/scripts/install_deps.sh" build
    say "building"
    mkdir -p "$ROOT/build"
    "$ROOT/scripts/build.sh" release >"$ROOT/build/run_local-build.log" 2>&1 || {
        show_build_failure "$ROOT/build/run_local-build.log" >&2
        die "the build failed: $ROOT/build/run_local-build.log"
    }
    SCRATCH=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    unpack_key_set
    unpack_flights
    start_server
    load_key_set
    show_calls
    if [[ $ONCE -eq 0 ]]; then
        print_how_to_talk
        stay_up
    fi
    finish
}

main "$@"
