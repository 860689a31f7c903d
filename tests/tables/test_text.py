from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.tables import TextOptions
from fabula.tables.frames import as_cells
from fabula.tables.text import WordCounter, count_words, texts_of, write_bag


def words(text: str, **options: object) -> list[str]:
    counter = WordCounter("x", TextOptions(min_documents=1, **options))  # type: ignore[arg-type]
    counter.add([text])
    return sorted(counter.vocabulary())


def test_what_a_word_is() -> None:
    assert words("Don't WIN £1,000 now!!! :-)") == sorted(
        ["don't", "win", "£", "0", ",", "000", "now", "!!!", ":-)"]
    )
    assert words("Don't", lowercase=False) == ["Don't"]
    assert words("call 0845", shape_of_numbers=False) == ["0845", "call"]
    assert words("a b c", ngrams=(1, 2)) == ["a", "a b", "b", "b c", "c"]
    assert words("Größe naïve 東京") == sorted(["größe", "naïve", "東京"])
    assert words("a-b c", pattern=r"[a-z]-[a-z]") == ["a-b"]


def test_frequent_words_enter_the_vocabulary() -> None:
    counter = WordCounter("x", TextOptions(min_documents=2))
    counter.add(["a a a b", "b c"])
    counter.add(["c d", ""])  # a second block of rows
    counter.add([])
    assert counter.vocabulary() == ("b", "c")
    limited = WordCounter("x", TextOptions(min_documents=1, max_words=2))
    limited.add(["z y", "z y", "z x"])
    assert limited.vocabulary() == ("y", "z")
    with pytest.raises(DataError, match="no word stands in 2 or more rows"):
        WordCounter("x", TextOptions()).vocabulary()


def test_words_are_counted() -> None:
    counts = count_words(["b a b", "", "c"], ("a", "b"), TextOptions())
    np.testing.assert_array_equal(counts.toarray(), [[1, 2], [0, 0], [0, 0]])
    assert counts.dtype == np.float64
    bag = write_bag("x", counts, ("a", "b"))
    assert bag.to_list() == ["a b b", "", ""]


def test_missing_text_is_empty() -> None:
    assert texts_of(as_cells(["a", None], "x")) == ["a", ""]
    with pytest.raises(DataError, match="expected text"):
        texts_of(as_cells([1, 2], "x"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "("}, "pattern"),
        ({"pattern": "(a)(b)"}, "2 groups"),
        ({"ngrams": (2, 1)}, "ngrams"),
        ({"ngrams": (0, 1)}, "ngrams"),
        ({"min_documents": 0}, "min_documents"),
        ({"max_words": 0}, "max_words"),
    ],
)
def test_options_have_to_make_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TextOptions(**options)  # type: ignore[arg-type]


def test_options_survive_json() -> None:
    for options in (TextOptions(), TextOptions(max_words=5, ngrams=(1, 3), lowercase=False)):
        assert TextOptions.from_dict(options.to_dict()) == options


@pytest.mark.data
def test_a_naive_spam_filter_works_on_these_words(data_folder: Path) -> None:
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.naive_bayes import MultinomialNB

    from fabula.tables import TableEncoding, read_table

    messages = read_table(data_folder / "sms-spam" / "sms.tsv")
    encoding = TableEncoding.fit(messages.select("column_2"))
    labels = TableEncoding.fit(messages.select("column_1"))
    x, y = encoding.encode(messages), labels.encode_column("column_1", messages["column_1"])
    # The vocabulary knows all messages here: this checks that the words carry the signal.
    groups = messages["column_2"].rank("dense").to_numpy()
    scores = cross_val_score(MultinomialNB(alpha=0.3), x, y, groups=groups, cv=GroupKFold(10))
    assert scores.mean() > 0.98
