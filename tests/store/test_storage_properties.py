"""Whatever is described comes back equal, and no change of its data goes unnoticed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from popinv.errors import DataError
from popinv.store import storage

DTYPES = ("f8", "f4", "i8", "i4", "i2", "u1", "?")
# Units that xarray would take for times, if it were let.
UNITS = st.sampled_from(["1", "m", "hours", "s", "days since 2000-01-01", "µm²"])
NAMES = st.from_regex(r"[a-z][a-z0-9_.]{0,8}", fullmatch=True)
# zarr keeps text without null characters at its end, as NumPy does.
TEXT = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=6)
PLAIN = st.one_of(
    st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
# Names that mean something to xarray.
RESERVED = {"units", "long_name", "coordinates", "dtype", "calendar", "scale_factor", "add_offset"}
ATTRIBUTES = st.dictionaries(NAMES.filter(lambda name: name not in RESERVED), PLAIN, max_size=2)


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Draw a Dataset of described variables along a few dimensions, with a coordinate of text."""
    sizes = {"row": draw(st.integers(0, 4)), "column": draw(st.integers(1, 3))}
    variables = {}
    for name in draw(st.lists(NAMES.filter(lambda n: n not in sizes), max_size=3, unique=True)):
        dims = draw(st.sampled_from([(), ("row",), ("column", "row"), ("row", "column")]))
        shape = tuple(sizes[dim] for dim in dims)
        if draw(st.booleans()):
            values = draw(arrays.arrays(np.dtype(draw(st.sampled_from(DTYPES))), shape))
        else:
            values = draw(arrays.arrays(np.dtype("U6"), shape, elements=TEXT))
        described = {**draw(ATTRIBUTES), "long_name": draw(TEXT), "units": draw(UNITS)}
        variables[name] = xr.Variable(dims, values, described)
    labels = np.array([f"column {i}" for i in range(sizes["column"])], dtype=np.str_)
    label = xr.Variable("column", labels, {"long_name": "label", "units": "1"})
    return xr.Dataset(variables, coords={"column": label}, attrs=draw(ATTRIBUTES))


@contextmanager
def stored(dataset: xr.Dataset) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        save(dataset, folder / "x.zarr")
        yield folder / "x.zarr"
    finally:
        shutil.rmtree(folder)


def save(dataset: xr.Dataset, path: Path) -> None:
    storage.save(dataset, path, config={}, seed=1, created_by="test")


def assert_equal(actual: xr.Dataset, expected: xr.Dataset) -> None:
    assert set(actual.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        assert actual[name].dims == variable.dims
        if variable.dtype.kind == "U":
            assert actual[name].values.tolist() == variable.values.tolist()
        else:
            assert actual[name].dtype == variable.dtype
            # Bit for bit: NaN and the sign of zero count.
            assert actual[name].values.tobytes() == variable.values.tobytes()
        assert actual[name].attrs == variable.attrs
    assert expected.attrs.items() <= actual.attrs.items()


@settings(max_examples=25)
@given(datasets())
def test_any_described_dataset_comes_back_equal(dataset):
    with stored(dataset) as store:
        assert_equal(storage.load(store), dataset)


@settings(max_examples=25)
@given(datasets(), st.randoms(use_true_random=False))
def test_the_hash_does_not_depend_on_the_order_of_variables_and_attributes(dataset, random):
    names, attributes = list(dataset.data_vars), list(dataset.attrs)
    random.shuffle(names)
    random.shuffle(attributes)
    other = xr.Dataset(
        {name: dataset[name].variable for name in names},
        coords=dataset.coords,
        attrs={name: dataset.attrs[name] for name in attributes},
    )
    for name, variable in other.variables.items():
        variable.attrs = dict(reversed(dataset[name].attrs.items()))
    assert storage.content_sha256(other) == storage.content_sha256(dataset)


@settings(max_examples=40)
@given(
    values=arrays.arrays(
        st.sampled_from([np.dtype(d) for d in DTYPES if d != "?"]), st.tuples(st.integers(1, 4))
    ),
    data=st.data(),
)
def test_the_hash_changes_with_any_bit(values, data):
    def hash_of(content: np.ndarray) -> str:
        described = {"long_name": "y", "units": "1"}
        return storage.content_sha256(xr.Dataset({"y": xr.Variable("row", content, described)}))

    changed = values.copy()
    bits = changed.view(np.uint8)
    place = data.draw(st.integers(0, len(bits) - 1))
    bits[place] ^= 1 << data.draw(st.integers(0, 7))
    assert hash_of(changed) != hash_of(values)


def loaded(store: Path) -> tuple[xr.Dataset | None, str]:
    """Return the content of a store, or the message that it is refused with."""
    try:
        return storage.load(store), ""
    except DataError as error:
        return None, str(error)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Return a store with numbers, text and whole numbers, some of them zero."""
    described = {"long_name": "y", "units": "hours"}
    dataset = xr.Dataset(
        {
            "y": xr.Variable(("row", "column"), np.arange(12.0).reshape(4, 3), described),
            "code": xr.Variable("row", np.array([0, 0, 1, 0], dtype=np.int32), described),
        },
        coords={"column": xr.Variable("column", np.array(["a", "b", "c"]), described)},
        attrs={"converged": 1},
    )
    path = tmp_path_factory.mktemp("whole") / "x.zarr"
    save(dataset, path)
    return path


@pytest.mark.filterwarnings("ignore:Object at .* is not recognized")
@settings(max_examples=40)
@given(change=st.sampled_from(["flip a bit", "cut off", "remove"]), data=st.data())
def test_damage_anywhere_in_a_store_is_noticed(whole, change, data):
    expected = storage.load(whole)
    with tempfile.TemporaryDirectory() as folder:
        file = store = Path(folder, "x.zarr")
        shutil.copy(whole, store)
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if change == "flip a bit":
            content[place] ^= 1 << data.draw(st.integers(0, 7))
            file.write_bytes(content)
        elif change == "cut off":
            file.write_bytes(content[:place])
        else:
            file.unlink()
        dataset, message = loaded(store)
        if dataset is None:
            assert str(store) in message
            return
        # Some bits mean nothing, as in the head of a compressed chunk: then nothing has changed.
        assert_equal(dataset.drop_attrs(deep=False), expected.drop_attrs(deep=False))
        for name in ("config", "seed", "created_by", "converged", "content_sha256"):
            assert dataset.attrs[name] == expected.attrs[name]
