"""Every table of the folder of real data: shape, names, types and kinds."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from fabula.core.errors import DataError
from fabula.tables import TableEncoding, infer_schema, read_table, scan_table

pytestmark = pytest.mark.data

# File, shape, the first names, and kinds of some columns.
FILES: dict[str, tuple[tuple[int, int], list[str], dict[str, str]]] = {
    "adult/adult.csv": (
        (32_561, 15),
        ["age", "workclass", "fnlwgt"],
        {
            "age": "continuous",
            "workclass": "category",
            "fnlwgt": "continuous",
            "education-num": "category",
            "sex": "category",
            "capital-gain": "continuous",
            "native-country": "category",
            "income": "category",
        },
    ),
    "shoppers/online_shoppers_intention.csv": (
        (12_330, 18),
        ["Administrative", "Administrative_Duration"],
        {
            "Administrative_Duration": "continuous",
            "BounceRates": "continuous",
            "Month": "category",
            "Browser": "category",
            "Weekend": "boolean",
            "Revenue": "boolean",
        },
    ),
    "sms-spam/sms.tsv": (
        (5_574, 2),
        ["column_1", "column_2"],
        {"column_1": "category", "column_2": "text"},
    ),
    "nltcs/nltcs.train.data": ((16_181, 16), ["column_1"], {"column_16": "boolean"}),
    "nltcs/nltcs.valid.data": ((2_157, 16), ["column_1"], {"column_16": "boolean"}),
    "nltcs/nltcs.test.data": ((3_236, 16), ["column_1"], {"column_16": "boolean"}),
    "dna/dna.train.data": ((1_600, 180), ["column_1"], {"column_180": "boolean"}),
    "dna/dna.valid.data": ((400, 180), ["column_1"], {"column_180": "boolean"}),
    "dna/dna.test.data": ((1_186, 180), ["column_1"], {"column_180": "boolean"}),
    "plants/plants.train.data": ((17_412, 69), ["column_1"], {"column_2": "boolean"}),
    "plants/plants.valid.data": ((2_321, 69), ["column_1"], {"column_2": "boolean"}),
    "plants/plants.test.data": ((3_482, 69), ["column_1"], {"column_2": "boolean"}),
    "mclust/diabetes.csv": (
        (145, 4),
        ["class", "glucose", "insulin", "sspg"],
        {"class": "category", "glucose": "continuous", "insulin": "continuous"},
    ),
    "mclust/diabetes_corrected.csv": (
        (145, 4),
        ["class", "fpg", "glucose", "insulin"],
        {"class": "category", "fpg": "continuous"},
    ),
    "mclust/acidity.csv": ((155, 1), ["acidity"], {"acidity": "continuous"}),
    "mclust/galaxies.csv": ((82, 1), ["velocity"], {"velocity": "continuous"}),
    "mclust/faithful.csv": (
        (272, 2),
        ["eruptions", "waiting"],
        {"eruptions": "continuous", "waiting": "continuous"},
    ),
    "mclust/banknote.csv": (
        (200, 7),
        ["Status", "Length", "Left"],
        {"Status": "category", "Length": "continuous", "Diagonal": "continuous"},
    ),
    "depmix/speed.csv": (
        (439, 4),
        ["rt", "corr", "Pacc", "prev"],
        {"rt": "continuous", "corr": "category", "Pacc": "continuous"},
    ),
    "names/names.txt": ((32_033, 1), ["column_1"], {}),
    "spoken-digits/manifest.csv": (
        (2_000, 6),
        ["file", "digit", "speaker", "index"],
        {"file": "identifier", "digit": "category", "speaker": "category", "sha256": "identifier"},
    ),
    "proteins/gb1_four_mutations.csv.gz": (
        (149_361, 2),
        ["variant", "fitness"],
        {"variant": "identifier", "fitness": "continuous"},
    ),
    "proteins/tfbind8.csv.gz": ((65_536, 2), ["sequence", "score"], {"score": "continuous"}),
    "molecules/delaney-processed.csv": (
        (1_128, 10),
        ["Compound ID", "ESOL predicted log solubility in mols per litre"],
        {"Compound ID": "identifier", "Molecular Weight": "continuous", "smiles": "identifier"},
    ),
    "molecules/moses_test_10k.smi.gz": ((10_000, 1), ["column_1"], {"column_1": "identifier"}),
    "perovskites/tableS1.csv": ((576, 17), ["ABX3", "exp_label"], {"rA (Ang)": "continuous"}),
    "perovskites/tableS3.csv": ((2_021, 19), ["compound", "A"], {"B1": "category"}),
    "perovskites/perov5_val.csv": ((3_787, 6), ["material_id"], {"material_id": "identifier"}),
    "perovskites/electronegativities.csv": ((109, 2), ["element", "electronegativity"], {}),
    "perovskites/icsd_A2BBX6.csv": ((918, 19), ["A2BBX6", "tau"], {"tau": "continuous"}),
    "stereology/keiding1972.csv": ((99, 5), ["patient", "bin_left"], {"unit": "constant"}),
    "stereology/wicksell1925.csv": ((18, 5), ["bin_left", "bin_width"], {}),
    "stereology/rothman2023_ET10.csv": ((64, 5), ["bin_left"], {"unit": "constant"}),
    "stereology/rothman2023_ET11.csv": ((68, 5), ["bin_left"], {"unit": "constant"}),
    "stereology/truth.csv": ((6, 13), ["set", "status"], {}),
    "adna/damage_rates.csv": ((3_888, 7), ["library", "end", "pos"], {"substitution": "category"}),
    "adna/sizefreq.csv": ((157, 2), ["length", "frequency"], {"frequency": "continuous"}),
    "adna/double-5.dat": ((81, 13), ["column_1", "A->C", "A->G"], {}),
    "adna/single-3.dat": ((81, 13), ["column_1", "A->C", "A->G"], {}),
    "posteriordb/kidiq-kidscore_interaction_reference.csv": ((5, 10), ["parameter", "draws"], {}),
}


@pytest.mark.parametrize("file", FILES)
def test_every_table_is_read_and_understood(data_folder: Path, file: str) -> None:
    shape, names, kinds = FILES[file]
    table = read_table(data_folder / file)
    assert table.shape == shape
    assert table.columns[: len(names)] == names
    schema = infer_schema(table)
    assert {name: schema[name].kind for name in kinds} == kinds
    # Block by block it is the same table, of the same types.
    assert pl.concat(scan_table(data_folder / file, block_rows=1_000)).equals(table)


def test_no_table_was_forgotten(data_folder: Path) -> None:
    endings = (".csv", ".tsv", ".csv.gz", ".data")
    found = {
        str(path.relative_to(data_folder))
        for path in data_folder.rglob("*")
        if path.name.endswith(endings)
    }
    special = {"perovskites/shannon_radii.csv"}  # has a test of its own
    small = {name for name in found if name.startswith("posteriordb/")}
    assert found - special - small <= set(FILES)


def test_missing_values_of_adult(data_folder: Path) -> None:
    table = read_table(data_folder / "adult/adult.csv")
    missing = {name: n for name, n in table.null_count().row(0, named=True).items() if n}
    assert missing == {"workclass": 1_836, "occupation": 1_843, "native-country": 583}
    assert (table["income"] == ">50K").sum() == 7_841
    assert table.is_duplicated().sum() > 24


def test_shoppers_come_back_as_they_were_written(data_folder: Path) -> None:
    table = read_table(data_folder / "shoppers/online_shoppers_intention.csv")
    assert (table["Revenue"] == "TRUE").sum() == 1_908
    encoding = TableEncoding.fit(table)
    assert encoding.decode(encoding.encode(table)).equals(table)
    assert encoding.schema["Revenue"].levels == ("FALSE", "TRUE")


def test_adult_comes_back_as_it_was_written(data_folder: Path) -> None:
    table = read_table(data_folder / "adult/adult.csv")
    encoding = TableEncoding.fit(table)
    for frame in (table, table.to_pandas(), table.to_arrow()):
        x = encoding.encode(frame)
        assert encoding.decode(x).equals(table)


def test_messages_keep_their_quotes(data_folder: Path) -> None:
    table = read_table(data_folder / "sms-spam/sms.tsv")
    lines = (data_folder / "sms-spam/sms.tsv").read_text("utf-8").splitlines()
    for row, line in zip(table.iter_rows(), lines, strict=True):
        assert list(row) == [cell.strip() for cell in line.split("\t")]
    assert table["column_1"].value_counts(sort=True).rows() == [("ham", 4_827), ("spam", 747)]
    assert table["column_2"].n_unique() <= 5_171


def test_one_word_among_numbers_is_reported(data_folder: Path) -> None:
    table = read_table(data_folder / "perovskites/shannon_radii.csv")
    assert table.shape == (506, 10)
    with pytest.raises(DataError, match=r"'Rec.#', row 495 .*'ammonium' is not a number, but 97.6"):
        infer_schema(table)
    schema = infer_schema(table, kinds={"Rec.#": "identifier"})
    assert schema["Crystal Radius"].kind == "continuous"
