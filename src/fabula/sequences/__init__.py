"""Sequences: letters, text and sound, read from files and written to them."""

from __future__ import annotations

from fabula.sequences.alignment import Alignment
from fabula.sequences.alphabets import DNA, PROTEIN, RNA, Alphabet, alphabet_named
from fabula.sequences.fasta import (
    Record,
    read_fasta,
    read_fastq,
    read_sequences,
    scan_sequences,
    write_fasta,
    write_fastq,
)
from fabula.sequences.rotation import Rotation, best_rotation, rotate, rotate_to
from fabula.sequences.sound import normalised_together, read_wav, sound_features
from fabula.sequences.sound_folder import SoundFolder, read_sound_folder
from fabula.sequences.text import read_lines, read_text

__all__ = [
    "DNA",
    "PROTEIN",
    "RNA",
    "Alignment",
    "Alphabet",
    "Record",
    "Rotation",
    "SoundFolder",
    "alphabet_named",
    "best_rotation",
    "normalised_together",
    "read_fasta",
    "read_fastq",
    "read_lines",
    "read_sequences",
    "read_sound_folder",
    "read_text",
    "read_wav",
    "rotate",
    "rotate_to",
    "scan_sequences",
    "sound_features",
    "write_fasta",
    "write_fastq",
]
