import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.dataset import Sample
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.segmenter import Segmenter
from modelscope_vitadapter.training.evaluating import draw_samples, evaluate_segmenter
from tests.training.tiny_model import write_model


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    colours = {"PALETTE": [[50 * k + 20, 200 - 30 * k, 90] for k in range(5)]}
    return Segmenter.load(write_model(tmp_path_factory.mktemp("evaluating") / "model", colours))


class Answered(list):
    """Images of one size whose labels are the model's own answers, but for a border of ignored."""

    label_ids = LabelIds()

    def __init__(self, segmenter, size=(50, 70), count=3):
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(count)]
        for image, answer in zip(images, segmenter.segment(images), strict=True):
            label = answer.class_map.numpy().astype(np.uint8)
            label[:5] = 255
            self.append(Sample("", image, label, ""))


def test_a_model_that_is_always_right_has_the_best_metrics(segmenter):
    dataset = Answered(segmenter)
    assert evaluate_segmenter(segmenter, dataset) == {"mIoU": 1.0, "aAcc": 1.0, "mAcc": 1.0}
    for sample in dataset:
        sample.label[5:] = (sample.label[5:] + 1) % 5
    assert evaluate_segmenter(segmenter, dataset)["aAcc"] == 0.0


def test_samples_show_image_labels_and_answer_side_by_side(segmenter, tmp_path):
    dataset = Answered(segmenter)
    drawn = draw_samples(segmenter, dataset, 2, tmp_path / "samples")
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["0.png", "1.png"]
    for number, image in enumerate(drawn):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "samples" / f"{number}.png")), image)
        original, labels, answer = np.split(image, 3, axis=1)
        assert np.array_equal(original, dataset[number].image[..., ::-1])
        assert np.array_equal(labels[:5], original[:5])  # ignored
        assert np.array_equal(labels[5:], answer[5:])
        colours = np.array(segmenter.config.palette)[dataset[number].label[5:]]
        assert np.array_equal(answer[5:], np.rint(0.4 * original[5:] + 0.6 * colours))
