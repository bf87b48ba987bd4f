"""One MinHash deduplication with a library that has no job of its own: minhash_job.py datasketch|rensa FOLDER OUT

Run by `peers.py` with the library's own interpreter, so it imports nothing of this project. Reads FOLDER/*.jsonl, writes the
documents that are kept to OUT: the usual loop over documents, 128 permutations of word 5-grams, threshold 0.8.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

PERMUTATIONS = 128
THRESHOLD = 0.8
WORDS = 5


def main() -> None:
    library, folder, out = sys.argv[1:]
    is_new = {"datasketch": with_datasketch, "rensa": with_rensa}[library]()
    with Path(out).open("w", encoding="utf-8") as kept:
        for path in sorted(Path(folder).glob("*.jsonl")):
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    record = json.loads(line)
                    if is_new(record["id"], shingles(record["text"])):
                        kept.write(line)


def shingles(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[at : at + WORDS]) for at in range(max(1, len(words) - WORDS + 1))]


def with_datasketch() -> Callable[[str, list[str]], bool]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)

    def is_new(key: str, tokens: list[str]) -> bool:
        signature = MinHash(num_perm=PERMUTATIONS)
        signature.update_batch([token.encode() for token in tokens])
        if index.query(signature):
            return False
        index.insert(key, signature)
        return True

    return is_new


def with_rensa() -> Callable[[str, list[str]], bool]:
    from rensa import RMinHash, RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=PERMUTATIONS, use_lsh=True)

    def is_new(key: str, tokens: list[str]) -> bool:
        signature = RMinHash(num_perm=PERMUTATIONS, seed=42)
        signature.update(tokens)
        return bool(index.add(key, signature))

    return is_new


if __name__ == "__main__":
    main()
