"""Devices and data: the bundled digits and MNIST from local files."""

from __future__ import annotations

import gzip
import importlib.util
import math
import os
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

_IDX_DTYPES = {8: torch.uint8, 9: torch.int8, 11: torch.int16, 12: torch.int32, 13: torch.float32, 14: torch.float64}


def pick_device() -> torch.device:
    """The device the notebooks use: ``RADBOOK_DEVICE`` if it is set, otherwise the GPU when there is one, else the CPU.

    Raises:
        ValueError: ``RADBOOK_DEVICE`` names a device that torch does not know or cannot use here.
    """
    name = os.environ.get("RADBOOK_DEVICE")
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"RADBOOK_DEVICE={name!r} cannot be used ({reason}); try 'cpu', 'cuda' or unset it") from error


def digits(*, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
    """The 1797 handwritten digits of 8 x 8 pixels bundled with scikit-learn (Alpaydin and Kaynak, 1998).

    Args:
        dtype: of the images.
        device: of both tensors.

    Returns:
        Images of shape (1797, 64), grey values in [0, 1], and labels of shape (1797,), int64.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the bundled digits come with scikit-learn: pip install scikit-learn") from error
    images, labels = load_digits(return_X_y=True)
    return (
        torch.as_tensor(images / 16, dtype=dtype, device=device),
        torch.as_tensor(labels, dtype=torch.int64, device=device),
    )


def train_test_split(
    inputs: Tensor, labels: Tensor, *, share: float = 0.8, generator: torch.Generator | None = None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Split samples at random into a training and a test part.

    Args:
        inputs: samples, shape (N, ...).
        labels: shape (N, ...).
        share: share of the training part, in (0, 1); it gets round(share * N) samples.
        generator: source of the permutation.

    Returns:
        (training inputs, training labels), (test inputs, test labels).

    Raises:
        ValueError: lengths differ, share is outside (0, 1), or a part would be empty.
    """
    if len(inputs) != len(labels):
        raise ValueError(f"{len(inputs)} inputs but {len(labels)} labels")
    if not 0 < share < 1 or not 0 < round(share * len(inputs)) < len(inputs):
        raise ValueError(f"share={share} of {len(inputs)} samples leaves a part empty; it must lie in (0, 1)")
    source = generator.device if generator is not None else None
    order = torch.randperm(len(inputs), generator=generator, device=source).to(inputs.device)
    first, second = order.split([round(share * len(inputs)), len(inputs) - round(share * len(inputs))])
    return (inputs[first], labels[first]), (inputs[second], labels[second])


def read_idx(path: str | Path) -> Tensor:
    """Read an IDX file, the format MNIST is distributed in, plain or gzipped.

    Args:
        path: the file; a name that ends in ``.gz`` is decompressed.

    Returns:
        The array, with the shape and dtype the file declares.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not IDX, or is shorter or longer than its header says.
    """
    path = Path(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a complete gzip file: {error}") from error
    dtype = _IDX_DTYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    if dtype is None or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path} is not an IDX file: it starts with the bytes {content[:4].hex(' ')!r}")
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(f"{path} has {len(content)} bytes, its header {shape} asks for {expected}: download it again")
    if math.prod(shape) == 0:
        return torch.empty(shape, dtype=dtype)
    raw = torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).view(-1, dtype.itemsize)
    return raw.flip(1).contiguous().view(dtype).view(shape)


def mnist(
    root: str | Path | None = None,
    *,
    train: bool = True,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """MNIST from local IDX files or, when they are absent and torchvision is installed, through torchvision.

    Args:
        root: folder with the four IDX files (``train-images-idx3-ubyte`` and so on, ``.gz`` or not), or with
            torchvision's ``MNIST/raw`` inside; None takes ``RADBOOK_DATA`` or else ``data``. torchvision downloads
            to it.
        train: the 60,000 training samples, or the 10,000 test samples.
        dtype: of the images.
        device: of both tensors.

    Returns:
        Images of shape (N, 784), grey values in [0, 1], and labels of shape (N,), int64.

    Raises:
        FileNotFoundError: neither the files nor torchvision are there; the message says what to do.
        ValueError: a file is damaged, or images and labels differ in number.
    """
    root = Path(root or os.environ.get("RADBOOK_DATA", "data"))
    kind = "train" if train else "t10k"
    files = [_find_idx(root, f"{kind}-{part}") for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    if None not in files:
        images, labels = (read_idx(file) for file in files if file)
    elif importlib.util.find_spec("torchvision"):
        from torchvision.datasets import MNIST  # pyright: ignore[reportMissingImports]

        dataset = MNIST(str(root), train=train, download=True)
        images, labels = dataset.data, dataset.targets
    else:
        raise FileNotFoundError(
            f"MNIST: no {kind}-images-idx3-ubyte and {kind}-labels-idx1-ubyte (plain or .gz) in {root.resolve()} or "
            "its MNIST/raw, and torchvision is not installed. Put the files there, set RADBOOK_DATA to their folder, "
            "or pip install torchvision, which downloads them."
        )
    if len(images) != len(labels):
        raise ValueError(f"MNIST in {root}: {len(images)} images but {len(labels)} labels")
    return (
        images.to(device=device, dtype=dtype).flatten(1) / 255,
        labels.to(device=device, dtype=torch.int64),
    )


def _find_idx(root: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")
    for folder in (root, root / "MNIST" / "raw"):
        for file in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
            if (folder / file).is_file():
                return folder / file
    return None
