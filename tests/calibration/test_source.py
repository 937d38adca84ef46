"""Data in: every form gives the same samples, batches are what the model takes, and bad samples are named."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from PIL import Image

from graphopt.calibration.preprocessing import keep_preprocessing, parse_preprocessing
from graphopt.calibration.source import Samples, open_samples
from graphopt.errors import CalibrationError
from tests.networks import network

Array = npt.NDArray[np.generic]

FREE = "g (float[N,3,4] x) => (float[N,3,4] y) { y = Relu (x) }"
TWO = "g (float[N,3] x, int64[N,2] ids) => (float[N,3] y) { y = Relu (x) }"
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((7, 3, 4)).astype(np.float32)
IDS = np.arange(14).reshape(7, 2)
PICTURES = RNG.integers(0, 256, (5, 6, 8, 3), np.uint8)
PICTURE_MODEL = "g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu (x) }"


def rows(samples: Samples, name: str = "x") -> Array:
    """Return the samples alone, one below the other, without what fills the last batch."""
    return np.concatenate([batch[name][: len(batch.names)] for batch in samples])


def names(samples: Samples) -> list[str]:
    return [name for batch in samples for name in batch.names]


def _npy(folder: Path) -> object:
    np.save(folder / "x.npy", ROWS)
    return folder / "x.npy"


def _npz(folder: Path) -> object:
    np.savez(folder / "x.npz", x=ROWS, labels=np.arange(3))
    return str(folder / "x.npz")


def _compressed(folder: Path) -> object:
    np.savez_compressed(folder / "x.npz", x=ROWS)
    return folder / "x.npz"


def _other_name(folder: Path) -> object:
    np.savez(folder / "x.npz", whatever=ROWS)
    return folder / "x.npz"


class _Loader:
    def __iter__(self) -> Iterator[dict[str, Array]]:
        return ({"x": row} for row in ROWS)


FORMS: dict[str, Callable[[Path], object]] = {
    "npy": _npy,
    "npz": _npz,
    "compressed npz": _compressed,
    "npz with one array of another name": _other_name,
    "mapping": lambda _: {"x": ROWS},
    "list of dicts": lambda _: [{"x": row} for row in ROWS],
    "with the batch axis": lambda _: [{"x": row[None]} for row in ROWS],
    "batches": lambda _: [{"x": ROWS[:4]}, {"x": ROWS[4:]}],
    "array": lambda _: ROWS,
    "loader": lambda _: _Loader(),
    "extra keys": lambda _: [{"x": row, "label": 1} for row in ROWS],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [None, 1, 3])
def test_every_form_gives_the_same_samples_again_and_again(form: str, width: int | None, tmp_path: Path) -> None:
    samples = open_samples(FORMS[form](tmp_path), network(FREE), width=width)  # type: ignore[arg-type]
    for _ in range(2):
        assert np.array_equal(rows(samples), ROWS)
    assert {len(batch["x"]) for batch in samples} <= {width or 7, 7 % (width or 7)}
    assert samples.count in {7, None, 2}


@pytest.mark.parametrize("form", FORMS)
def test_a_part_is_a_part(form: str, tmp_path: Path) -> None:
    if form == "batches":
        pytest.skip("parts are of what the data are made of, batches here")
    samples = open_samples(FORMS[form](tmp_path), network(FREE))  # type: ignore[arg-type]
    assert np.array_equal(rows(samples.part(2, 5)), ROWS[2:5])
    assert np.array_equal(rows(samples.part(2, None).part(1, 3)), ROWS[3:5])
    assert np.array_equal(rows(samples.part(0, 100)), ROWS)
    assert names(samples.part(2, 4)) == names(samples)[2:4]


def test_several_inputs_go_side_by_side(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", ids=IDS, x=ROWS[:, 0, :3])
    samples = open_samples(tmp_path / "two.npz", network(TWO), width=4)
    assert np.array_equal(rows(samples, "ids"), IDS)
    assert np.array_equal(rows(samples), ROWS[:, 0, :3])


def test_a_generator_is_read_once_and_refused_the_second_time() -> None:
    samples = open_samples(({"x": row} for row in ROWS), network(FREE))
    assert samples.count is None
    assert np.array_equal(rows(samples), ROWS)
    with pytest.raises(CalibrationError, match="come from an iterator that is spent; give a list"):
        rows(samples)


def test_a_fixed_batch_is_filled_with_the_last_sample() -> None:
    samples = open_samples({"x": ROWS}, network(FREE.replace("N", "4")), width=2)
    first, last = samples
    assert first["x"].shape == last["x"].shape == (4, 3, 4)
    assert (len(first.names), len(last.names)) == (4, 3)
    assert np.array_equal(last["x"][3], ROWS[6])
    assert np.array_equal(rows(samples), ROWS)


def test_samples_of_different_shapes_are_not_gathered_together() -> None:
    model = network("g (float[N,L] x) => (float[N,L] y) { y = Relu (x) }")
    data = [{"x": np.full(size, size, np.float32)} for size in (2, 2, 3, 2)]
    assert [batch["x"].shape for batch in open_samples(data, model, width=8)] == [(2, 2), (1, 3), (1, 2)]


def test_where_samples_may_touch_each_other_each_goes_alone() -> None:
    mixing = network("g (float[N,4] x) => (float[N,4] y) { m = ReduceMean <keepdims = 1> (x)  y = Sub (x, m) }")
    data = {"x": np.zeros((3, 4), np.float32)}
    assert [len(batch.names) for batch in open_samples(data, mixing)] == [1, 1, 1]
    assert [len(batch.names) for batch in open_samples(data, mixing, width=3)] == [3]


def test_inputs_without_a_common_batch_are_fed_as_they_are() -> None:
    model = network("g (float[N,4] x, float t) => (float[N,4] y) { y = Mul (x, t) }")
    data = [{"x": np.ones(4, np.float32), "t": np.float32(2)}, {"x": np.ones((5, 4), np.float32), "t": np.float32(3)}]
    first, second = open_samples(data, model)
    assert (first["x"].shape, second["x"].shape, second["t"].shape) == ((1, 4), (5, 4), ())


def test_small_samples_make_wide_batches_and_large_ones_go_alone() -> None:
    model = network("g (float[N,L] x) => (float[N,L] y) { y = Relu (x) }")
    for size, width in ((1, 64), (16_384, 4), (1_000_000, 1)):
        data = {"x": np.broadcast_to(np.zeros(1, np.float32), (65, size))}
        assert len(next(iter(open_samples(data, model))).names) == width


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed, np.save])
def test_memory_does_not_grow_with_the_file(save: Callable[..., None], tmp_path: Path) -> None:
    """Peaks of what Python allocates, of 8 and of 100 samples of 256 kB each."""
    model = network("g (float[N,65536] x) => (float[N,65536] y) { y = Relu (x) }")
    peaks = []
    for count in (8, 100):
        path = tmp_path / ("x.npy" if save is np.save else "x.npz")
        data = np.zeros((count, 65536), np.float32)
        save(path, data) if save is np.save else save(path, x=data)
        del data
        samples = open_samples(path, model, width=2)
        tracemalloc.start()
        assert sum(len(batch.names) for batch in samples) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 50_000


def folder(path: Path) -> Path:
    (path / "cats").mkdir()
    for index, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(path / ("cats" if index == 1 else "") / f"{index}.png")
    (path / "readme.txt").write_text("no picture")
    return path


def test_a_folder_of_pictures_is_read_by_name(tmp_path: Path) -> None:
    samples = open_samples(folder(tmp_path), network(PICTURE_MODEL), parse_preprocessing("preprocess{scale=1/255}"))
    assert samples.count == 5
    expected = PICTURES[[0, 2, 3, 4, 1]].transpose(0, 3, 1, 2).astype(np.float32) / 255
    assert np.array_equal(rows(samples), expected)
    assert [Path(name.strip("'")).name for name in names(samples)] == ["0.png", "2.png", "3.png", "4.png", "1.png"]
    assert np.array_equal(rows(samples.part(1, 3)), expected[1:3])


def test_the_model_itself_says_what_it_takes(tmp_path: Path) -> None:
    model = network(PICTURE_MODEL)
    keep_preprocessing(model, parse_preprocessing("preprocess{crop=4}"))
    assert rows(open_samples(folder(tmp_path), model)).shape == (5, 3, 4, 4)
    given = parse_preprocessing("preprocess{crop=2}")
    assert rows(open_samples(tmp_path, model, given)).shape == (5, 3, 2, 2)


def test_arrays_of_bytes_are_pictures_where_the_model_takes_floats() -> None:
    given = parse_preprocessing("preprocess{scale=1/255}")
    found = rows(open_samples({"x": PICTURES}, network(PICTURE_MODEL), given))
    assert np.array_equal(found, PICTURES.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    floats = rows(open_samples({"x": np.zeros((2, 3, 5, 5), np.float32)}, network(PICTURE_MODEL), given))
    assert floats.shape == (2, 3, 5, 5)


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = open_samples(folder(tmp_path), network(PICTURE_MODEL), parse_preprocessing("preprocess"))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(CalibrationError, match=r"pip install 'graphopt\[images\]'"):
        rows(samples)


def bad(change: Callable[[Array], object]) -> list[dict[str, object]]:
    data: list[dict[str, object]] = [{"x": row.copy()} for row in ROWS]
    changed = change(ROWS[3].copy())
    data[3] = changed if isinstance(changed, dict) else {"x": changed}
    return data


def _with(value: float) -> Callable[[Array], Array]:
    def change(row: Array) -> Array:
        row[1, 2] = value
        return row

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_with(np.nan), "sample 3: input 'x' holds a NaN or an infinity"),
        (_with(-np.inf), "sample 3: input 'x' holds a NaN or an infinity"),
        (lambda row: row.astype(np.float64), "sample 3: input 'x' must be float32, got float64; convert it with"),
        (lambda row: row[:, :3], "sample 3: input 'x' has shape [1, 3, 3], but dimension 2 must be 4"),
        (lambda row: row[0], "sample 3: input 'x' has 1 dimension"),
        (lambda row: row[None, None], "sample 3: input 'x' has 4 dimensions"),
        (lambda row: {"y": row}, "sample 3 has nothing for the input 'x'; it has y"),
    ],
)
def test_a_bad_sample_is_named_with_its_input(change: Callable[[Array], object], words: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        rows(open_samples(bad(change), network(FREE)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_row_of_a_batch_and_of_a_file_is_named(tmp_path: Path) -> None:
    data = ROWS.copy()
    data[5, 0, 0] = np.nan
    with pytest.raises(CalibrationError, match="row 1 of sample 1: input 'x' holds a NaN"):
        rows(open_samples([{"x": data[:4]}, {"x": data[4:]}], network(FREE)))
    np.save(tmp_path / "x.npy", data)
    with pytest.raises(CalibrationError, match=r"sample 5 of '.*x.npy': input 'x' holds a NaN"):
        rows(open_samples(tmp_path / "x.npy", network(FREE)))


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path) / "3.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CalibrationError, match=r"3.png' cannot be read as a picture \(.*\); remove or replace it"):
        rows(open_samples(tmp_path, network(PICTURE_MODEL), parse_preprocessing("preprocess")))


def test_a_picture_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"0.png': the crop of 7 × 7 exceeds"):
        rows(open_samples(folder(tmp_path), network(PICTURE_MODEL), parse_preprocessing("preprocess{crop=7}")))


def _damaged(path: Path) -> Path:
    np.savez_compressed(path / "x.npz", x=RNG.standard_normal((7, 3, 4)).astype(np.float32))
    data = bytearray((path / "x.npz").read_bytes())
    data[200:240] = bytes(40)
    (path / "x.npz").write_bytes(data)
    return path / "x.npz"


def _cut(path: Path) -> Path:
    np.save(path / "x.npy", ROWS)
    (path / "x.npy").write_bytes((path / "x.npy").read_bytes()[:-20])
    return path / "x.npy"


def _saved(array: Array) -> Callable[[Path], Path]:
    def save(path: Path) -> Path:
        np.save(path / "x.npy", array, allow_pickle=True)
        return path / "x.npy"

    return save


def _archive(**arrays_by_name: Array) -> Callable[[Path], Path]:
    def save(path: Path) -> Path:
        np.savez(path / "x.npz", **arrays_by_name)
        return path / "x.npz"

    return save


def _text(path: Path) -> Path:
    (path / "x.csv").write_text("1,2,3")
    return path / "x.csv"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path / "none.npz", "cannot read '{}/none.npz': No such file"),
        (lambda path: path, "how the pictures in '{}' become inputs is unknown; say it, as in preprocess{{"),
        (_damaged, "'{}/x.npz' holds no samples that can be read"),
        (_cut, "'{}/x.npy' holds no samples that can be read (it ends before the last sample)"),
        (_text, "'{}/x.csv' holds no samples that can be read"),
        (_saved(np.array([{}, 1], object)), "it holds objects, not numbers"),
        (_saved(np.asfortranarray(ROWS[:, :, 0])), "in Fortran's order; save numpy.ascontiguousarray of it"),
        (_saved(np.float32(3)), "has no axis of samples"),
        (_archive(a=ROWS, b=ROWS), "'{}/x.npz' has no array for the input 'x', but a, b"),
        (lambda _: {"x": ROWS[:0]}, "there are no samples in the data"),
        (lambda _: [], "there are no samples in the data"),
        (lambda _: [(ROWS, 1)], "sample 0 is of the type tuple; give arrays by input: x"),
        (lambda _: 3, "data of the type int cannot be read"),
    ],
)
def test_data_that_cannot_be_used_are_refused_with_the_mend(
    make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CalibrationError) as caught:
        rows(open_samples(make(tmp_path), network(FREE)))  # type: ignore[arg-type]
    assert words.format(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"x": ROWS[:, 0, :3], "ids": IDS[:5]}, "there are 7 for 'x', 5 for 'ids'; give as many samples for each"),
        ([{"x": ROWS[:2, 0, :3], "ids": IDS[:3]}], "sample 0 has 2 rows for 'x' and 3 rows for 'ids'"),
        ([ROWS[0, 0, :3]], "sample 0 is of the type ndarray; give arrays by input: x, ids"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused(data: object, words: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        rows(open_samples(data, network(TWO)))  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_files_for_several_inputs_have_an_array_for_each(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=ROWS[:, 0, :3], ids=IDS[:5])
    with pytest.raises(CalibrationError, match="has 7 samples for 'x' and 5 for 'ids'; give as many for each input"):
        open_samples(tmp_path / "x.npz", network(TWO))
    np.save(tmp_path / "x.npy", ROWS)
    with pytest.raises(CalibrationError, match="holds one array, and the model has the inputs x, ids; give a .npz"):
        open_samples(tmp_path / "x.npy", network(TWO))
    with pytest.raises(CalibrationError, match="is a folder of pictures, and the model has 2 inputs"):
        open_samples(tmp_path, network(TWO))


def test_a_folder_without_pictures_says_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"there is no picture in .*\.jpg"):
        open_samples(tmp_path, network(PICTURE_MODEL), parse_preprocessing("preprocess"))


def test_a_batch_has_a_sample_at_least() -> None:
    with pytest.raises(CalibrationError, match="a batch of 0 samples is none"):
        open_samples({"x": ROWS}, network(FREE), width=0)


def test_a_model_without_inputs_takes_no_samples() -> None:
    graph = ir.Graph([], [], nodes=[], name="empty", opset_imports={"": 17})
    with pytest.raises(CalibrationError, match="takes no inputs"):
        open_samples([], ir.Model(graph, ir_version=10))
