#!/usr/bin/env bash
# make_level_5.sh BIN_DIR: makes level_5.tar.gz beside itself, with everything of feature level 5 in it. For the record:
# the file is not made again, as it says what that version wrote.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'kill -9 "${server:-0}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
"$bin/plinthd" --data-dir data --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --ports-file ports.json 2>log &
server=$!
while [[ ! -s ports.json ]]; do sleep 0.1; done
PLINTH_SERVER=127.0.0.1:$(jq .grpc ports.json)
export PLINTH_SERVER PLINTH_STATE_DIR=$work/state
plinth() { "$bin/plinth" "$@" >>out; }

# Keys: a range that is deleted, keys that expire.
plinth kv set cat "K AE1 T" --index rhyme="AE T"
plinth kv set lease/long open --ttl '36500 days'
plinth kv set lease/short open --ttl '1 second'
for i in {10..39}; do printf '{"key":"session/%d","value":"open"}\n' "$i"; done | plinth kv batch -
plinth flush
plinth snapshot keep before --with-log
plinth kv delete-range --prefix session/2

# A table: functions and elements in indexes, one unique; rows in merged segments, then alterations.
plinth table create birds 'name string, legs int8, weight float32, wing int16, tags list<string>, seen date, primary key (name)'
{
    echo 'name,legs,weight,wing,tags,seen'
    for i in {100..399}; do
        echo "Bird$i,$((i % 5)),$((i % 90)).5,$((i % 13)),\"{t$((i % 7)),all}\",2026-01-$((i % 20 + 10))"
    done
} | plinth import birds - --format csv
plinth index create birds by_legs --columns legs
plinth index create birds by_lower --columns 'lower(name)'
plinth index create birds by_tag --columns tags
plinth index create birds covering --columns legs --include weight
plinth index create birds one_name --columns 'upper(name)' --unique
plinth compact
plinth snapshot keep first
plinth table alter add-column birds "colour string not null default 'grey'"
plinth table alter widen-column birds wing int64
plinth table alter rename-column birds tags labels
plinth table alter drop-column birds seen
plinth index rebuild birds by_legs

# Transactions over rows, and jobs that are paused.
plinth table create stock 'item int64, pieces int64, price int64, primary key (item)'
for i in {1..50}; do echo "$i,$((i * 10)),7"; done | sed '1i item,pieces,price' | plinth import stock - --format csv
plinth rows update stock --set price=8 --where 'item BETWEEN 11 AND 20'
plinth rows delete stock --where 'item > 40'
plinth jobs pause retention

# Rows that expire: odd ones long ago, even ones in a thousand years, in segments.
plinth table create visits 'id int64, until timestamp(s), primary key (id)' --expire until
for i in {1..40}; do echo "$i,$((i % 2 ? 2020 : 2999))-01-01T00:00:00"; done | sed '1i id,until' | plinth import visits - --format csv
plinth flush
plinth jobs run checkpoint

# A value that lies in the store.
printf '{"key":"value","value":"%s"}\n' "$(head -c 300000 /dev/zero | tr '\0' v)" | plinth kv batch -
plinth flush

# What only the log has.
plinth rows update stock --set-from pieces=price --where 'item = 1'
plinth kv delete-range --prefix session/30
plinth kv set tail unflushed
kill -9 "$server"
wait "$server" 2>/dev/null || true
rm -f data/log/next-*.tmp # room for the log's next file: nothing but zeros
tar --sort=name --owner=0 --group=0 --numeric-owner -czf "$here/level_5.tar.gz" data
