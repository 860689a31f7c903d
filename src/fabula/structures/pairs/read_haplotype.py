"""How probable a sequencing read is if it comes from a haplotype, as genotype callers ask.

The model is a pair hidden Markov model whose gaps open and go on with probabilities given by the
qualities of each base of the read. In the notation of a read of bases k = 1 … n and a haplotype
of bases j = 1 … H, with base error e, insertion i, deletion d and gap continuation c of base k:

- row 0 holds D = 1/H in every column, so that the read may begin anywhere, and later rows begin
  with 0 in column 0;
- M(k, j) = emission · ((1 - i - d) M(k-1, j-1) + (1 - c)(I(k-1, j-1) + D(k-1, j-1)));
- I(k, j) = i M(k-1, j) + c I(k-1, j) for bases of the read alone;
- D(k, j) = d M(k, j-1) + c D(k, j-1) for bases of the haplotype alone;
- the emission is 1 - e where the bases agree or either is unknown, and e/3 elsewhere;
- the likelihood is the sum of M and I over the last row.

It is that of the GATK HaplotypeCaller (Poplin et al. 2018, bioRxiv 201178).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError
from fabula.core.threads import ordered_map
from fabula.sequences.alphabets import DNA
from fabula.sequences.records import Record

__all__ = ["read_haplotype_log10"]

_PAIRS_AT_A_TIME = 2048


def read_haplotype_log10(
    reads: Sequence[str | Record | ArrayLike],
    base_qualities: float | Sequence[ArrayLike | bytes] | None,
    insertion_qualities: float | Sequence[ArrayLike | bytes],
    deletion_qualities: float | Sequence[ArrayLike | bytes],
    gap_qualities: float | Sequence[ArrayLike | bytes],
    haplotypes: Sequence[str | Record | ArrayLike],
    *,
    matched: bool = False,
) -> FloatArray:
    """Log10 likelihood of reads given haplotypes.

    Parameters
    ----------
    reads, haplotypes : lists of texts, records or arrays
        DNA, in which N agrees with every base; or codes of bases, 0 to 3, and 4 for an unknown.
        Records are those of `read_sequences` and its like.
    base_qualities, insertion_qualities, deletion_qualities, gap_qualities
        Phred-scaled quality q of each base of each read: probability 10^(-q/10) that the base is
        wrong, that an insertion or a deletion begins, and that a gap goes on. A list of arrays (or
        of `bytes`, as records of FASTQ files have them); a single number in place of an array
        holds for a whole read, and one in place of the list for all. None in place of the base
        qualities takes those of the reads, which must be records of FASTQ files then.
    matched : bool
        Score read i with haplotype i, instead of every read with every haplotype.

    Returns
    -------
    (n reads, n haplotypes) array, or (n,) where matched

    Raises
    ------
    DataError
        A read or a haplotype is empty, a letter or code is no base, a list of qualities does not
        fit its read, or an insertion and a deletion together are more probable than 1.

    Examples
    --------
    >>> found = read_haplotype_log10(["ACGT"], 30, 45, 45, 10, ["TTACGTTT", "TTAGGTTT"])
    >>> found.round(2).tolist()
    [[-0.95, -4.43]]
    """
    from fabula.kernels.pairs.read_haplotype import Reads, read_likelihoods

    bases, read_offsets = _letters(reads, "read")
    if base_qualities is None:
        base_qualities = _own_qualities(reads)
    letters, offsets = _letters(haplotypes, "haplotype")
    if matched and len(reads) != len(haplotypes):
        raise UsageError(
            f"Matched lists must be equally long, not {len(reads)} reads and {len(haplotypes)} "
            "haplotypes."
        )
    qualities = [base_qualities, insertion_qualities, deletion_qualities, gap_qualities]
    names = ["base", "insertion", "deletion", "gap"]
    wrong, insertion, deletion, gap = (
        _rates(q, read_offsets, name) for q, name in zip(qualities, names, strict=True)
    )
    _check_gaps(insertion + deletion, read_offsets)
    n, m = len(reads), len(haplotypes)
    which_read = np.arange(n) if matched else np.repeat(np.arange(n), m)
    which_haplotype = np.arange(n) if matched else np.tile(np.arange(m), n)
    out = np.empty(len(which_read))
    lengths, widths = np.diff(read_offsets)[which_read], np.diff(offsets)[which_haplotype]
    order = np.lexsort((widths, lengths))
    stacked = Reads(bases, wrong, insertion, deletion, gap, read_offsets)

    def some(first: int) -> None:
        part = order[first : first + _PAIRS_AT_A_TIME]
        read_likelihoods(stacked, letters, offsets, which_read, which_haplotype, part, out)

    for _ in ordered_map(some, range(0, len(order), _PAIRS_AT_A_TIME)):
        pass
    return out if matched else out.reshape(n, m)


def _letters(
    sequences: Sequence[str | Record | ArrayLike], name: str
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    if isinstance(sequences, str | Record):
        raise UsageError(f"The {name}s must be a list; a single one is [{name}].")
    arrays = []
    for number, sequence in enumerate(sequences, 1):
        where = f"the {name} {number}"
        if isinstance(sequence, Record):
            where, sequence = f"{where}, {sequence.name!r}", sequence.sequence
        arrays.append(_codes(sequence, where))
    for number, array in enumerate(arrays, 1):
        if not len(array):
            raise DataError(f"The {name} {number} (counted from 1) is empty.")
        if array.max() > 4:
            place = int(np.argmax(array > 4))
            raise DataError(
                f"The {name} {number} has the code {array[place]} at base {place + 1} (both "
                "counted from 1); bases are 0 to 3, and 4 where unknown."
            )
    offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.intp)
    return np.concatenate([np.empty(0, dtype=np.uint8), *arrays]), offsets


def _codes(sequence: Any, where: str) -> NDArray[np.uint8]:
    if isinstance(sequence, str):
        return DNA.encode(sequence, where)
    try:
        codes = np.asarray(sequence)
        whole = codes.dtype.kind in "iu" or bool(np.all(codes == np.floor(codes)))
    except TypeError:
        whole = False
    if not whole or (codes.size and (codes.min() < 0 or codes.max() > 255)):
        raise UsageError(
            f"{where[0].upper()}{where[1:]} must be a text, a record, or codes of bases, 0 to 3 "
            f"and 4 where unknown, not {type(sequence).__name__}."
        )
    return codes.astype(np.uint8).ravel()


def _own_qualities(reads: Sequence[Any]) -> list[bytes]:
    """The base qualities of records."""
    out = []
    for number, read in enumerate(reads, 1):
        qualities = getattr(read, "qualities", None)
        if qualities is None:
            raise UsageError(
                f"Read {number} (counted from 1) brings no base qualities: give base_qualities, or "
                "records of a FASTQ file."
            )
        out.append(qualities)
    return out


def _rates(qualities: Any, offsets: NDArray[np.intp], name: str) -> FloatArray:
    lengths = np.diff(offsets)
    if isinstance(qualities, int | float | np.number):
        qualities = [qualities] * len(lengths)
    if isinstance(qualities, str | bytes) or not isinstance(qualities, Sequence | np.ndarray):
        raise UsageError(
            f"The {name} qualities must be a number or a list with one entry for each read, not "
            f"{qualities!r}."
        )
    if len(qualities) != len(lengths):
        raise DataError(
            f"There are {len(qualities)} lists of {name} qualities for {len(lengths)} reads."
        )
    parts: list[Any] = [np.empty(0)]
    for number, (quality, length) in enumerate(zip(qualities, lengths, strict=True), 1):
        if isinstance(quality, bytes):
            quality = np.frombuffer(quality, dtype=np.uint8)
        try:
            array = np.asarray(quality, dtype=np.float64)
        except (TypeError, ValueError):
            raise UsageError(
                f"The {name} qualities of read {number} (counted from 1) must be numbers; those "
                "written as characters of a FASTQ file are the codes of the characters less 33."
            ) from None
        if array.ndim and array.shape != (length,):
            raise DataError(
                f"Read {number} (counted from 1) has {length} bases and {array.size} {name} "
                "qualities."
            )
        if not np.all(array >= 0):
            raise DataError(
                f"A {name} quality of read {number} (counted from 1) is negative or missing."
            )
        parts.append(np.broadcast_to(array, (length,)))
    return np.asarray(10.0 ** (np.concatenate(parts) / -10.0))


def _check_gaps(opening: FloatArray, offsets: NDArray[np.intp]) -> None:
    if len(opening) and opening.max() > 1.0:
        place = int(np.argmax(opening))
        read = int(np.searchsorted(offsets, place, side="right"))
        raise DataError(
            f"At base {place - offsets[read - 1] + 1} of read {read} (both counted from 1) an "
            "insertion and a deletion together have a probability above 1: give higher qualities."
        )
