import logging
import pickle

import pytest

from modelscope_vitadapter.config.reader import (
    ConfigDict,
    Unreadable,
    read_config,
    unreadable_error,
)
from modelscope_vitadapter.errors import ConfigError, ConfigNotFoundError


def test_full_size_config_is_read(golden):
    config = read_config(golden / "full_size_mmcv_config.py")
    assert len(config.CLASSES) == len(config.PALETTE) == 171
    assert config.model.backbone.interaction_indexes == [[0, 5], [6, 11], [12, 17], [18, 23]]
    assert config.model.decode_head.loss_cls.class_weight == [1.0] * 171 + [0.1]
    assert config.model.test_cfg == {"mode": "slide", "crop_size": (896, 896), "stride": (512, 512)}
    multi_scale = config.data.test.pipeline[1]
    assert multi_scale.img_scale == (3584, 896)
    assert multi_scale.transforms[3].mean == [123.675, 116.28, 103.53]


@pytest.mark.parametrize("name", ["full_size_mmcv_config.py", "base/mmcv_config.py"])
def test_golden_configs_equal_executed_ones(golden, name):
    from mmengine.config import Config

    config = read_config(str(golden / name))
    executed = Config.fromfile(golden / name, lazy_import=False).to_dict()
    assert {name: executed[name] for name in config} == config


def test_only_needed_names_are_kept(read):
    config = read("a = 2\nb = a + 1\nunused = 5\nmodel = dict(depth=b)\nlr = 0.1\n")
    assert config == {"a": 2, "b": 3, "model": {"depth": 3}}


def test_result_has_attributes_and_misses_loudly(read):
    config = read("model = dict(a=[dict(b=(dict(c=1),))])")
    assert isinstance(config, ConfigDict)
    assert config.model.a[0].b[0].c == 1
    with pytest.raises(AttributeError, match="CLASSES"):
        _ = config.CLASSES
    with pytest.raises(KeyError, match="CLASSES"):
        _ = config["CLASSES"]


def test_test_pipeline_fills_missing_data(read):
    assert read("test_pipeline = [dict(type='A')]").data.test.pipeline == [{"type": "A"}]
    config = read("test_pipeline = [1]\ndata = dict(samples_per_gpu=2)")
    assert config.data == {"samples_per_gpu": 2, "test": {"pipeline": [1]}}
    config = read("test_pipeline = [1]\ndata = dict(test=dict(pipeline=[2]))")
    assert config.data.test.pipeline == [2]
    config = read("test_pipeline = [1]\ndata = load()")
    assert isinstance(config.data, Unreadable)
    config = read("test_pipeline = [1]\ndata = dict(test=load())")
    assert isinstance(config.data.test, Unreadable)


def test_training_entries_may_hold_anything(read):
    config = read(
        "import torch\n"
        "model = dict(depth=1, train_cfg=dict(a=torch.rand(3), b=2), init_cfg=lambda: 0,\n"
        "    pretrained=open('x').read(), loss=[f(1)])\n"
    )
    assert config.model.depth == 1
    assert config.model.train_cfg.b == 2
    for value in (config.model.train_cfg.a, config.model.init_cfg, config.model.loss):
        error = unreadable_error(value)
        assert isinstance(error, ConfigError)
    assert "line 3" in str(unreadable_error(config.model.pretrained))
    assert "`open('x').read()`" in str(unreadable_error(config.model.pretrained))


def test_unreadable_shows_itself_and_isnt_taken_for_a_value(read):
    config = read("model = dict(a=f())")
    mark = config.model.a
    assert "f()" in repr(config)
    assert pickle.loads(pickle.dumps(mark)) == mark
    for use in (bool, list, lambda value: value[0]):
        with pytest.raises(ConfigError, match="`f\\(\\)`"):
            use(mark)
    assert unreadable_error(3) is None


@pytest.mark.parametrize(
    "text",
    [
        "def classes():\n    return []\nCLASSES = classes()",
        "from classes import CLASSES",
        "import CLASSES",
        "import a.b as CLASSES",
        "CLASSES = []\nfor i in range(3):\n    CLASSES = CLASSES + [i]",
        "CLASSES = []\nfor i in range(3):\n    CLASSES += [i]",
        "CLASSES = []\nCLASSES.append('a')",
        "CLASSES = []\nif True:\n    CLASSES.append('a')",
        "CLASSES = []\nx = [CLASSES.append(i) for i in range(3)]",
        "CLASSES = []\nx = (CLASSES := ['a'])",
        "CLASSES = []\nx = [0 for i in [1] if (CLASSES := [i])]",
        "CLASSES = []\n(CLASSES := ['a'])",
        "CLASSES = []\nwith open('x') as CLASSES:\n    pass",
        "try:\n    CLASSES = []\nexcept Exception:\n    pass",
        "try:\n    pass\nexcept Exception as CLASSES:\n    pass",
        "match 3:\n    case CLASSES:\n        pass",
        "match [3]:\n    case [*CLASSES]:\n        pass",
        "match dict(a=1):\n    case {**CLASSES}:\n        pass",
        "class CLASSES:\n    pass",
        "def CLASSES():\n    pass",
        "async def CLASSES():\n    pass",
        "CLASSES = []\ndef change():\n    global CLASSES\n    CLASSES = ['a']\nchange()",
        "CLASSES = []\ndef change():\n    CLASSES.append(1)\nchange()",
        "CLASSES = []\nchange = lambda: CLASSES.append(1)\nchange()",
        "CLASSES = []\nclass A:\n    CLASSES.append(1)",
        "CLASSES = []\nclass A:\n    x = CLASSES\n    x[0] = 1",
        "CLASSES = []\n@change(CLASSES)\ndef f():\n    pass",
        "CLASSES = []\n@CLASSES.append\ndef f():\n    pass",
        "CLASSES = []\nregister(CLASSES)",
        "CLASSES = []\nx = CLASSES.pop()",
        "CLASSES = []\nfrom everything import *",
        "while True:\n    CLASSES = []",
        "CLASSES: list\nCLASSES = f()",
        "CLASSES, x = f()",
        "CLASSES = 3\nCLASSES += f()",
        "CLASSES = [1]\nCLASSES[f()] = 1",
        "CLASSES = [1]\nCLASSES += 5",
        "CLASSES = 5\nCLASSES.x.y = 1",
        "CLASSES = [1]\nCLASSES[5] = 1",
        "CLASSES = [1]\ndel CLASSES[5]",
        "CLASSES = [1]\nCLASSES.x = 1",
        "CLASSES = (1, 2)\nCLASSES[0] = 1",
        "CLASSES = 5\nCLASSES[0] = 1",
        "CLASSES = [1]\nCLASSES[0:1] = f()",
        "CLASSES = [1]\nCLASSES[0][0] = 1",
        "x = 3\nCLASSES = [x]\ndel x\ny = x\nCLASSES = [y, f()]",
    ],
)
def test_needed_name_bound_or_changed_otherwise_is_refused(read, text):
    with pytest.raises(ConfigError) as raised:
        read(text + "\nmodel = dict()\n")
    message = str(raised.value)
    assert "mmcv_config.py, line " in message
    assert "`" in message
    assert "trust_remote_code=True" in message


def test_refusal_names_file_line_text_and_remedy(write):
    path = write("a = 1\nmodel = build_model(\n    depth=3)\n")
    with pytest.raises(ConfigError) as raised:
        read_config(path)
    assert f"{path}, line 2: this call is not evaluated: `build_model( …`" in str(raised.value)
    assert "dict(...)" in str(raised.value)


def test_refused_text_is_shortened(read):
    with pytest.raises(ConfigError) as raised:
        read("model = f(" + "'层', " * 300 + ")")
    assert len(str(raised.value)) < 800
    assert "…`" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "import os\nfrom mmcv import *\n",
        "lr = [0] * 10**9\n",
        "__import__('os').system('exit 1')\n",
        "def train(model):\n    model.pop('a')\n",
        "for i in range(10):\n    print(i)\n",
        "print('x')\n",
        "class Hook(Base, metaclass=Meta):\n    x = 1\n",
        "with open('x') as f:\n    text = f.read()\n",
        "assert False\n",
        "raise SystemExit\n",
        "optimizer = build(lr=1)\noptimizer.lr = 2\ndel optimizer.lr\noptimizer += 1\n",
        "x = 1 / 0\n",
        "async def f():\n    async with a as b:\n        await c\n",
        "while True:\n    pass\n",
        "x: int\n",
        "x = undefined\n",
    ],
)
def test_other_statements_never_matter(read, text):
    needed = "CLASSES = ['a']\nPALETTE = [[1, 2, 3]]\nmodel = dict(depth=len(CLASSES))\n"
    expected = {"CLASSES": ["a"], "PALETTE": [[1, 2, 3]], "model": {"depth": 1}}
    assert read(text + needed) == expected
    if "import *" not in text:
        assert read(needed + text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "print(model, len(CLASSES))",
        "assert isinstance(CLASSES, list)",
        "n = CLASSES.index('a')",
        "s = ', '.join(CLASSES)",
        "for name in CLASSES:\n    print(name)",
        "copied = copy.deepcopy(model)",
        "x = sorted(CLASSES)",
        "f = lambda: CLASSES.append(1)",
        "y = g(num)",
        "seen = []\nseen.append(num)",
        "meta = dict(CLASSES=num)\nmeta.update(x=1)",
    ],
)
def test_looking_at_needed_names_changes_nothing(read, text):
    config = read(f"num = 3\nCLASSES = ['a']\nmodel = dict(n=num)\n{text}\n")
    assert config.CLASSES == ["a"]
    assert config.model == {"n": 3}


def test_missing_file(tmp_path):
    for trust in (False, True):
        with pytest.raises(ConfigNotFoundError, match=r"mmcv_config\.py"):
            read_config(tmp_path / "mmcv_config.py", trust_remote_code=trust)
    with pytest.raises(FileNotFoundError):
        read_config(tmp_path / "mmcv_config.py")


def test_directory_and_unusable_paths_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="regular file"):
        read_config(tmp_path)
    with pytest.raises(ConfigError):
        read_config(str(tmp_path / ("x" * 5000)))
    with pytest.raises(ConfigError):
        read_config("a\0b")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("CLASSES = ['天空']".encode(), "天空"),
        ("CLASSES = ['天空']".encode("utf-8-sig"), "天空"),
        ("# -*- coding: gbk -*-\nCLASSES = ['天空']".encode("gbk"), "天空"),
        ("# coding: latin-1\nCLASSES = ['é']".encode("latin-1"), "é"),
        (b"CLASSES = [\r\n'a'\r\n]\r\nx = 1\r\n", "a"),
        (b"CLASSES = [\r'a'\r]\r", "a"),
        (b"CLASSES = ['a', 'caf\\xe9'] \\\n + []", "a"),
    ],
)
def test_encodings(tmp_path, data, expected):
    path = tmp_path / "mmcv_config.py"
    path.write_bytes(data)
    assert read_config(path).CLASSES[0] == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("CLASSES = ['天空']".encode("gbk"), "decoded"),
        ("CLASSES = ['é']".encode("utf-16"), "null bytes|decoded"),
        (b"# coding: punycode\nCLASSES = []", "punycode"),
        (b"# coding: nonsense\nCLASSES = []", "nonsense"),
        (b"\xef\xbb\xbf# coding: gbk\nCLASSES = []", "decoded"),
        (b"# coding: gbk\nCLASSES = ['\xff']", "decoded"),
        (b"CLASSES = []\0", "null bytes"),
        (b"CLASSES = [", "not valid Python"),
        (b"CLASSES = [1 2]", "not valid Python.*`CLASSES = \\[1 2\\]`"),
        (b"  CLASSES = []\n x", "not valid Python"),
        (b"CLASSES = '''", "not valid Python"),
    ],
)
def test_unreadable_text_is_refused(tmp_path, data, reason):
    path = tmp_path / "mmcv_config.py"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=reason):
        read_config(path)


def test_trust_executes_only_what_is_refused(write, tmp_path, caplog):
    mark = tmp_path / "executed"
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    with caplog.at_level(logging.WARNING, logger="modelscope.vitadapter"):
        config = read_config(write(code + "model = dict(a=1)"), trust_remote_code=True)
    assert config.model.a == 1
    assert not mark.exists()
    assert not caplog.records

    path = write(code + "model = dict(a=int('7'.zfill(3)))\nmodel.update(b=2)\ntest_pipeline = [1]")
    with pytest.raises(ConfigError, match="trust_remote_code=True"):
        read_config(path)
    assert not mark.exists()
    with caplog.at_level(logging.WARNING, logger="modelscope.vitadapter"):
        config = read_config(path, trust_remote_code=True)
    assert mark.exists()
    assert isinstance(config.model, ConfigDict)
    assert config == {
        "model": {"a": 7, "b": 2},
        "test_pipeline": [1],
        "data": {"test": {"pipeline": [1]}},
    }
    assert str(path) in caplog.text


def test_trust_reports_both_failures(write):
    with pytest.raises(ConfigError, match=r"`undefined\(\)`.*NameError"):
        read_config(write("model = undefined()"), trust_remote_code=True)


def test_parser_failures_are_refusals(write, monkeypatch):
    path = write("model = dict()")

    def fail(*args, **kwargs):
        raise error

    for error in (RecursionError("deep"), MemoryError("much"), ValueError("odd")):
        monkeypatch.setattr("ast.parse", fail)
        with pytest.raises(ConfigError, match=type(error).__name__):
            read_config(path)
    monkeypatch.undo()
    for error in (RecursionError("deep"), MemoryError("much")):
        monkeypatch.setattr("modelscope_vitadapter.config.base_files.summarise", fail)
        with pytest.raises(ConfigError, match=type(error).__name__):
            read_config(path)


def test_files_that_cannot_be_read_are_refused(write, monkeypatch):
    path = write("model = dict()")

    def fail(*args, **kwargs):
        raise PermissionError("no")

    monkeypatch.setattr("pathlib.Path.open", fail)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(path)
