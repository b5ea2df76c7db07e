import copy
import re
import shutil

import numpy as np
import pytest
import torch
from modelscope.models import Model
from modelscope.pipelines import pipeline
from PIL import Image

from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import ConfigNotFoundError, DataSetError
from modelscope_vitadapter.evaluation.evaluate import evaluate
from modelscope_vitadapter.segmenter import Segmenter, model_identity
from tests.evaluation.makers import CLASSES, TINY_MODEL, drawn_scenes

IMAGES = 4


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes(tmp_path_factory.mktemp("scenes"), IMAGES)


@pytest.fixture(scope="module")
def pipeline_of_model():
    return pipeline("image-segmentation", model=str(TINY_MODEL), device="cpu")


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.load(TINY_MODEL)


@pytest.fixture(scope="module")
def expected(scenes, pipeline_of_model):
    """Counts, image by image through the pipeline."""
    counts = np.zeros((7, 7), np.int64)
    dataset = open_dataset(scenes)
    for index in range(len(dataset)):
        read = read_sample(dataset[index], dataset.label_ids, 7)
        found = pipeline_of_model(read.image, output="class_map")["class_map"]
        np.add.at(counts, (read.classes.ravel(), found.ravel()), 1)
    return counts


def test_a_directory_gives_the_metrics_of_its_pipeline(scenes, expected):
    found = evaluate(TINY_MODEL, scenes, device="cpu", progress=False)
    np.testing.assert_array_equal(found.counts, expected)
    assert found.figures is found.metrics
    assert found.metrics.mIoU > 0.3
    assert (found.classes, found.pictures, found.published) == (CLASSES, IMAGES, None)
    assert (found.model, found.data) == (str(TINY_MODEL), f"{scenes.name}/val")
    assert found.settings == {"device": "cpu", "torch_dtype": "float32", "processes": "1"}


def test_objects_give_the_same_and_keep_their_mode(scenes, expected, pipeline_of_model):
    found = evaluate(pipeline_of_model, scenes, progress=False)
    assert (found.counts == expected).all()
    assert found.model == str(TINY_MODEL)
    model = Model.from_pretrained(str(TINY_MODEL))
    for training in (True, False):
        model.train(training)
        for one in (model, model.segmenter):
            assert (evaluate(one, scenes, progress=False).counts == expected).all()
            assert model.training is model.model.training is training
    model.model = copy.deepcopy(model.model)  # replaced, as by a quantised one
    model.model.register_forward_hook(lambda network, given, answer: (answer[0] * 0, answer[1]))
    assert (evaluate(model, scenes, progress=False).counts != expected).any()


def test_options_go_to_the_dataset_and_to_the_model(scenes, segmenter):
    folders = (scenes / "images", scenes / "labels")
    of_model = {"device": "cpu", "torch_dtype": "bfloat16", "window_batch_size": 2}
    found = evaluate(str(TINY_MODEL), folders, split="val", limit=1, progress=False, **of_model)
    assert found.pictures == 1
    assert found.settings["torch_dtype"] == "bfloat16"
    with pytest.raises(TypeError, match="torch_dtype: expected only with the id or directory"):
        evaluate(segmenter, scenes, torch_dtype="bfloat16", progress=False)
    with pytest.raises(TypeError, match="typo"):
        evaluate(TINY_MODEL, scenes, typo=1)


def test_it_goes_on_from_its_state(scenes, segmenter, expected, tmp_path, monkeypatch):
    segment = Segmenter.segment

    def stopped(self, images):
        for number, one in enumerate(segment(self, images)):
            if number == 3:
                raise KeyboardInterrupt
            yield one

    state = tmp_path / "state"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Segmenter, "segment", stopped)
        evaluate(segmenter, scenes, state=state, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["state.part0"]
    for other in ({"limit": 2}, {"adapter_form": "authors"}):
        with pytest.raises(DataSetError, match="another evaluation"):
            evaluate(TINY_MODEL, scenes, state=state, progress=False, device="cpu", **other)
    found = evaluate(TINY_MODEL, scenes, device="cpu", state=state, progress=False)
    np.testing.assert_array_equal(found.counts, expected)
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_another_model(segmenter):
    identities = []
    weight = segmenter.network.decode_head.cls_embed.bias
    before = float(weight[0].detach())
    for value in (before, before + 1e-3, before):
        with torch.no_grad():
            weight[0] = value
        identities.append(model_identity(segmenter))
    assert identities[0] == identities[2] != identities[1]


def test_problems_are_found_before_the_model_runs_where_asked_for(tmp_path, segmenter, capsys):
    root = drawn_scenes(tmp_path, 3)
    for number in (1, 2):
        (root / "images" / "val" / f"{number:03d}.png").write_bytes(b"no picture")
    with pytest.raises(DataSetError, match=r"2 of 3 labelled images(.|\n)*001(.|\n)*002"):
        evaluate(segmenter, root, check=True)
    assert capsys.readouterr().err == ""


def test_classes_that_cannot_be_the_models_are_refused(scenes, segmenter, caplog):
    turned = (*CLASSES[1:], CLASSES[0])
    for names, says in ((CLASSES[:-1], "6 classes, the model has 7"), (turned, "another order")):
        with pytest.raises(DataSetError, match=says):
            evaluate(segmenter, scenes, classes=names, progress=False)
    evaluate(segmenter, scenes, classes=("Back ground", "disc", *CLASSES[2:]), progress=False)
    assert "1 of 7 classes have other names" in caplog.text


@pytest.mark.parametrize("given", [None, "reduce-zero"])
def test_what_is_said_of_classes_in_another_order_leads_on(scenes, segmenter, caplog, given):
    """The model's metrics come out where it is followed."""
    pairs = []
    for image, label in open_dataset(scenes).pairs:
        ids = len(CLASSES) - 1 - np.asarray(Image.open(label))
        pairs.append((image, ids + (given == "reduce-zero")))
    options = {"classes": CLASSES[::-1], "progress": False, "limit": 2}
    with pytest.raises(DataSetError, match="another order") as caught:
        evaluate(segmenter, pairs, **options, label_ids=given)
    (hint,) = re.findall(r"label_ids='(\S+)'", str(caught.value))
    found = evaluate(segmenter, pairs, **options, label_ids=hint)
    expected = evaluate(segmenter, scenes, progress=False, limit=2)
    assert found.counts.tolist() == expected.counts.tolist()
    caplog.clear()
    evaluate(segmenter, [(pairs[0][0], np.full((64, 80), 5))], exclude_classes=6, progress=False)
    assert "is it for other classes" not in caplog.text  # the last that is counted is there


def test_what_cannot_be_evaluated(scenes, segmenter, tmp_path):
    class Empty(list):
        label_ids = None

    for model, data, options, error, says in (
        (tmp_path / "nothing", scenes, {}, ConfigNotFoundError, "does not exist"),
        (segmenter, scenes, {"limit": 0}, ValueError, "limit=0"),
        (5, scenes, {}, TypeError, "int can't be evaluated"),
        (TINY_MODEL, scenes, {"device": "nonsense"}, ValueError, "device='nonsense'"),
        (segmenter, Empty(), {}, DataSetError, "empty"),
    ):
        with pytest.raises(error, match=says):
            evaluate(model, data, **options)


def test_a_dataset_of_fewer_classes_than_the_model_is_told(scenes, segmenter, tmp_path, caplog):
    """Found by a user: three classes were reported under the names of the model's seven."""
    copied = shutil.copytree(scenes, tmp_path / "scenes")
    (copied / "classes.txt").unlink()
    for path in copied.glob("labels/val/*.png"):
        Image.fromarray(np.minimum(np.asarray(Image.open(path)), 2)).save(path)
    evaluate(segmenter, copied, progress=False)
    assert "no class beyond id 2, so 3 of them, and the model has 7" in caplog.text
    caplog.clear()
    evaluate(segmenter, scenes, limit=1, progress=False)
    assert "beyond" not in caplog.text


def test_ids_that_cannot_be_meant_are_warned_of(segmenter, caplog):
    image = np.zeros((40, 40, 3), np.uint8)
    labels = np.where(np.arange(1600).reshape(40, 40) > 900, 255, 0)
    evaluate(segmenter, [(image, labels)], progress=False)
    assert "label_ids='0:0,255:1'" in caplog.text


def test_excluded_classes_have_no_metrics(scenes, segmenter):
    whole = evaluate(segmenter, scenes, progress=False)
    found = evaluate(segmenter, scenes, exclude_classes="background", progress=False)
    assert found.excluded == (0,)
    assert found.counts[0].sum() == 0
    assert (found.counts[1:] == whole.counts[1:]).all()
    assert np.isnan(found.metrics.IoU[0])
    assert found.metrics.mIoU == np.nanmean(found.metrics.IoU[1:])
    assert found.as_dict()["excluded"] == ["background"]


def test_one_warning_of_images_that_exif_turns(segmenter, tmp_path, caplog):
    exif = Image.Exif()
    exif[0x0112] = 3
    pairs = []
    for number in range(2):
        path = tmp_path / f"{number}.jpg"
        Image.new("RGB", (40, 40)).save(path, exif=exif)
        pairs.append((str(path), np.zeros((40, 40), np.uint8)))
    evaluate(segmenter, pairs, progress=False)
    assert caplog.text.count("exif='ignore'") == 1
    evaluate(segmenter, pairs, exif="ignore", progress=False)
    assert caplog.text.count("exif='ignore'") == 1
