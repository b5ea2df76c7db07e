"""The picture that is measured: the small photo of the tests, enlarged, or one that is given."""

from pathlib import Path

PHOTO = Path(__file__).resolve().parents[1] / "tests/golden/base/china.png"


def write_photo(path: Path, size: tuple[int, int] | None, source: Path | None = None) -> str:
    """Writes a picture as PNG.

    Args:
        path: where to.
        size: `(height, width)` of the picture; None leaves it as it is.
        source: another picture than the tests' photo.

    Returns:
        What the picture is, for the report.
    """
    import cv2

    photo = source or PHOTO
    image = cv2.imread(str(photo))
    if image is None:
        raise ValueError(f"{photo} can't be read as a picture: give a PNG or JPEG file")
    height, width = image.shape[:2]
    made = "as it is"
    if size is not None and size != (height, width):
        made = f"resized from {height} x {width}"
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return f"{photo.name}, {image.shape[0]} x {image.shape[1]}, {made}"
