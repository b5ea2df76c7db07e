import numpy as np
import pytest
from modelscope.models import Model
from modelscope.pipelines import pipeline

from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.datasets.reading import read_labelled
from modelscope_vitadapter.errors import ConfigNotFoundError, DataSetError
from modelscope_vitadapter.evaluation.evaluate import evaluate
from modelscope_vitadapter.evaluation.figures import figures
from modelscope_vitadapter.evaluation.models import opened_model
from tests.evaluation.makers import CLASSES, TINY_MODEL, drawn_scenes

PICTURES = 4


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes(tmp_path_factory.mktemp("scenes"), PICTURES)


@pytest.fixture(scope="module")
def segmentor():
    return pipeline("image-segmentation", model=str(TINY_MODEL), device="cpu")


@pytest.fixture(scope="module")
def expected(scenes, segmentor):
    """Counts, picture by picture through the pipeline."""
    counts = np.zeros((7, 7), np.int64)
    pictures = open_labelled(scenes)
    for index in range(len(pictures)):
        read = read_labelled(pictures[index], pictures.label_ids, 7)
        found = segmentor(read.image, output="class_map")["class_map"]
        np.add.at(counts, (read.classes.ravel(), found.ravel()), 1)
    return counts


def test_a_directory_gives_the_figures_of_its_pipeline(scenes, expected):
    found = evaluate(TINY_MODEL, scenes, device="cpu", progress=False)
    np.testing.assert_array_equal(found.counts, expected)
    assert found.figures.mIoU == figures(expected).mIoU > 0.3
    assert found.classes == CLASSES
    assert found.pictures == PICTURES
    assert found.model == str(TINY_MODEL)
    assert found.data == f"{scenes.name}/val"
    assert found.published is None
    assert found.settings == {"device": "cpu", "torch_dtype": "float32", "processes": "1"}


def test_a_pipeline_and_a_model_object_give_the_same(scenes, expected, segmentor):
    assert (evaluate(segmentor, scenes, progress=False).counts == expected).all()
    model = Model.from_pretrained(str(TINY_MODEL))
    model.train()
    assert (evaluate(model, scenes, progress=False).counts == expected).all()
    assert model.training
    model.eval()
    evaluate(model, scenes, progress=False, limit=1)
    assert not model.training


def test_options_go_to_the_data_set_and_to_the_pipeline(scenes):
    pairs = (scenes / "images", scenes / "labels")
    found = evaluate(
        str(TINY_MODEL),
        pairs,
        split="val",
        limit=1,
        device="cpu",
        torch_dtype="bfloat16",
        progress=False,
    )
    assert found.pictures == 1
    assert found.settings["torch_dtype"] == "bfloat16"


def test_it_goes_on_from_its_state(scenes, segmentor, expected, tmp_path):
    state, told = tmp_path / "state", []

    def stop(done, total, matrix):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(segmentor, scenes, state=state, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["state.part0"]
    with pytest.raises(DataSetError, match="another evaluation"):
        evaluate(segmentor, scenes, state=state, progress=False, limit=2)
    found = evaluate(segmentor, scenes, state=state, progress=lambda *one: told.append(one[:2]))
    assert told == [(3, 4), (4, 4)]
    np.testing.assert_array_equal(found.counts, expected)
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_another_model(segmentor):
    import torch

    identities = []
    weight = segmentor.model.model.decode_head.cls_embed.bias
    before = float(weight[0])
    for value in (before, before + 1e-3, before):
        with torch.no_grad():
            weight[0] = value
        with opened_model(segmentor) as opened:
            identities.append(opened.identity)
    assert identities[0] == identities[2] != identities[1]


def test_problems_are_found_before_the_model_runs_where_asked_for(tmp_path, segmentor):
    root = drawn_scenes(tmp_path, 3)
    for number in (1, 2):
        (root / "images" / "val" / f"{number:03d}.png").write_bytes(b"no picture")
    told = []
    with pytest.raises(DataSetError, match=r"2 of 3 labelled pictures(.|\n)*001(.|\n)*002"):
        evaluate(segmentor, root, check=True, progress=lambda *one: told.append(one))
    assert told == []


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (CLASSES[:-1], "names 6 classes, the model has 7"),
        ((*CLASSES[1:], CLASSES[0]), "another order"),
    ],
)
def test_classes_that_cannot_be_the_models_are_refused(scenes, segmentor, names, says):
    with pytest.raises(DataSetError, match=says):
        evaluate(segmentor, scenes, classes=names, progress=False)


def test_other_names_are_only_a_warning(scenes, segmentor, caplog):
    names = ("Back ground", "disc", *CLASSES[2:])
    evaluate(segmentor, scenes, classes=names, limit=1, progress=False)
    assert "1 of 7 classes have other names" in caplog.text
    assert "'disc' and 'circle'" in caplog.text


def test_what_cannot_be_evaluated(scenes, segmentor, tmp_path):
    with pytest.raises(ConfigNotFoundError, match="does not exist"):
        evaluate(tmp_path / "nothing", scenes)
    with pytest.raises(DataSetError, match="limit=0"):
        evaluate(segmentor, scenes, limit=0)

    class Empty:
        label_ids = None

        def __len__(self):
            return 0

        def __getitem__(self, index):
            raise IndexError(index)

    with pytest.raises(DataSetError, match="empty"):
        evaluate(segmentor, Empty())


def test_a_pipeline_of_something_else_is_refused(scenes):
    from modelscope.pipelines.base import Pipeline

    class Other(Pipeline):
        def __init__(self):
            self.model = object()

        def postprocess(self, inputs, **params):
            return inputs

    with pytest.raises(TypeError, match="Other with a object"):
        evaluate(Other(), scenes)
