#!/usr/bin/env python3
"""Make examples/data/cmudict.csv.zst from the CMU Pronouncing Dictionary.

    scripts/make_example_data.py cmudict.dict[.zst] examples/data/cmudict.csv.zst

Each source line is `word PH0 PH1 ... [# comment]`. Each row of the CSV is

    key        the word, as in the source; a variant such as `read(2)` is a key of its own
    value      its pronunciation: ARPABET phonemes, the vowels with their stress digit
    rhyme      the phonemes from the last stressed vowel (digit 1 or 2) on, without digits;
               the whole pronunciation if no vowel is stressed
    syllables  the number of vowels, two digits so that byte order is number order

The output depends on the input alone: rows keep the source's order.
"""
import csv
import io
import subprocess
import sys


def read_text(path):
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")
    with open(path, encoding="utf-8") as f:
        return f.read()


def rhyme_of(phonemes):
    start = 0
    for i, phoneme in enumerate(phonemes):
        if phoneme[-1] in "12":
            start = i
    return " ".join(p.rstrip("012") for p in phonemes[start:])


def rows_of(text):
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("#", 1)[0].split()
        if not fields:
            continue
        word, phonemes = fields[0], fields[1:]
        if not phonemes:
            sys.exit(f"line {number}: {word!r} has no pronunciation")
        syllables = sum(p[-1].isdigit() for p in phonemes)
        yield [word, " ".join(phonemes), rhyme_of(phonemes), f"{syllables:02d}"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = sys.argv[1:]
    seen = set()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["key", "value", "rhyme", "syllables"])
    for row in rows_of(read_text(source)):
        if row[0] in seen:
            sys.exit(f"{source}: the key {row[0]!r} comes twice")
        seen.add(row[0])
        writer.writerow(row)
    subprocess.run(["zstd", "-19", "-qf", "-o", target, "-"], input=out.getvalue().encode("utf-8"), check=True)
    print(f"{target}: {len(seen)} rows")


if __name__ == "__main__":
    main()
