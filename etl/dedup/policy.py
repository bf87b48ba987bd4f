"""What the duplicates step may do, read from dedup.yaml and checked whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import polars as pl
import pyarrow as pa

from etl.config import bounded, read_section, read_yaml

FILE: Final = "dedup.yaml"


@dataclass(frozen=True, slots=True)
class SentencePolicy:
    """Duplicate sentences.

    mode: remove, or annotate (the text stays). scope: corpus, or document for repeats inside one document only.
    min_words: of a sentence that goes because another document has it. min_words_in_document: because the same one has.
    protect_quotes: a quotation that another document has too stays. protect_refrains: a sentence shorter than
    refrain_max_words that one document has three times or more stays. max_share: of a document's characters; above it
    the document's sentences are annotated, not removed. near: near-duplicates too, when they are at least
    near_similarity_min alike and the guard finds no difference in meaning: inside one document, and where scope is corpus
    and near_across is set, across documents of one run. near_history: and of earlier runs that had it set too.
    """

    mode: Literal["remove", "annotate"] = "remove"
    scope: Literal["corpus", "document"] = "corpus"
    min_words: int = bounded(8, 1, 1000)
    min_words_in_document: int = bounded(5, 1, 1000)
    protect_quotes: bool = True
    protect_refrains: bool = True
    refrain_max_words: int = bounded(10, 1, 1000)
    max_share: float = bounded(0.5, 0.0, 1.0)
    near: bool = True
    near_across: bool = True
    near_history: bool = True
    near_similarity_min: float = bounded(0.85, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class DocumentPolicy:
    """Duplicate documents.

    mode: remove, or annotate. near: near-duplicates too, of at least near_min_words words, when containment_min of
    the shorter one's shingles are in the other, numbers_min of the numbers and names_min of the names agree, and the
    shorter is length_ratio_min of the longer. Below containment_sure, rest_containment_min of what is outside the
    sentences that both have must be shared too (within a fifth below it, outside those that common_sentence documents
    have). In texts under short_words words one number that disagrees counts, else two. excerpts: keep or remove a
    shorter one of which excerpt_containment_min is in the longer.
    """

    mode: Literal["remove", "annotate"] = "remove"
    near: bool = True
    near_min_words: int = bounded(20, 4, 100_000)
    containment_min: float = bounded(0.36, 0.1, 1.0)
    containment_sure: float = bounded(0.75, 0.1, 1.0)
    common_sentence: int = bounded(5, 2, 1_000_000)
    rest_containment_min: float = bounded(0.25, 0.0, 1.0)
    numbers_min: float = bounded(0.75, 0.0, 1.0)
    short_words: int = bounded(120, 0, 100_000)
    names_min: float = bounded(0.5, 0.0, 1.0)
    length_ratio_min: float = bounded(0.45, 0.1, 1.0)
    excerpts: Literal["keep", "remove"] = "keep"
    excerpt_containment_min: float = bounded(0.7, 0.1, 1.0)


@dataclass(frozen=True, slots=True)
class DedupPolicy:
    """Both units' policies."""

    sentence_dedup: SentencePolicy = SentencePolicy()
    document_dedup: DocumentPolicy = DocumentPolicy()

    def params(self, skip: Collection[str] = ()) -> pa.Table:
        """The one-row table `params` of the SQL files; skip: steps that are off."""
        row: dict[str, object] = {
            "sentences_on": "sentence_dedup" not in skip,
            "documents_on": "document_dedup" not in skip,
        }
        row |= {f"sentence_{name}": value for name, value in asdict(self.sentence_dedup).items()}
        row |= {f"document_{name}": value for name, value in asdict(self.document_dedup).items()}
        table: pa.Table = pl.DataFrame([row]).to_arrow()
        return table


def read_policy(values: Mapping[str, Any], *, file: str = FILE) -> DedupPolicy:
    """The policy that dedup.yaml's values describe; keys left out keep their default. Raises ConfigError with every fault."""
    return read_section(DedupPolicy, values, file=file)


def parse_policy(text: str, *, file: str = FILE) -> DedupPolicy:
    """The policy that the text of a dedup.yaml describes."""
    return read_policy(read_yaml(text, file=file), file=file)
