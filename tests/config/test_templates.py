import ast
from pathlib import Path

import pytest

from modelscope_vitadapter.config.reader import read_config, unreadable_error
from modelscope_vitadapter.config.templates import Templates
from modelscope_vitadapter.errors import ConfigError


@pytest.mark.parametrize("spelling", ["'{}'", "{}", "f'{}'", "'''{}'''", "('' '{}')", "str({})"])
def test_file_templates(read, tmp_path, spelling):
    names = {
        "fileDirname": tmp_path.as_posix(),
        "fileBasename": "mmcv_config.py",
        "fileBasenameNoExtension": "mmcv_config",
        "fileExtname": ".py",
    }
    for name, value in names.items():
        for written in (f"{{{{ {name} }}}}", f"{{{{{name}}}}}", f"{{{{  {name}\t}}}}"):
            assert read(f"model = dict(a={spelling.format(written)})").model.a == value


def test_templates_inside_longer_text(read, tmp_path):
    config = read(
        "n = 3\nmodel = dict(a='x/{{ fileBasename }}-{{fileExtname}}',\n"
        "    b=f'{n}{{ fileExtname }}{{}}', c=f'{{{{ fileExtname }}}}', d='{{{fileExtname}}}',\n"
        "    {{ fileBasenameNoExtension }}=1, e='{{ unknown }}', f='_template0_0_')"
    )
    assert config.model == {
        "a": "x/mmcv_config.py-.py",
        "b": "3.py{}",
        "c": "{.py}",
        "d": "{.py}",
        "mmcv_config": 1,
        "e": "{{ unknown }}",
        "f": "_template0_0_",
    }


def test_directory_name_cannot_change_what_the_file_says(tmp_path):
    directory = tmp_path / "a', exec('1'), '"
    directory.mkdir()
    path = directory / "mmcv_config.py"
    path.write_text("model = dict(a='{{ fileDirname }}')")
    assert read_config(path).model.a == directory.as_posix()


def test_names_occur_nowhere_else():
    templates = Templates("_template0_ _template1_ {{ fileExtname }}", Path("a.py"))
    name = templates.text.split()[-1]
    assert name.startswith("_template2_")
    assert templates.file_values == {name: ".py"}
    assert templates.restore(f"x {name}") == "x {{ fileExtname }}"
    assert templates.split(f"x{name}{name}y") == ["x", name, name, "y"]
    assert ast.parse(templates.text.split()[-1])


def test_refusal_shows_the_template(read):
    with pytest.raises(ConfigError, match=r"`f\(\{\{ fileDirname \}\}\)`"):
        read("model = f({{ fileDirname }})")


def test_names_that_overlap_are_all_taken():
    text = "_template0_template1_ _template3_x _template02_ {{ fileExtname }}"
    assert Templates(text, Path("a.py")).text.split()[-1].startswith("_template4_")


def test_many_copies_of_a_path_are_paid_for(read, tmp_path):
    copies = "{{ fileDirname }}" * (2_000_000 // len(str(tmp_path)) // 100)
    lines = "\n".join([copies] * 100)
    config = read(f"model = dict(a='''{lines}''')")
    assert "characters" in str(unreadable_error(config.model.a))
