"""What the two READMEs say: their code runs, their commands exist, both say the same."""

import re
import shutil

import pytest

from modelscope_vitadapter.inference.results import OUTPUTS
from modelscope_vitadapter.logs import QUIET_VARIABLE
from tests.hub.environment import DEAD_ENDPOINT, REPOSITORY, run_python
from tests.hub.server import VITADAPTER_ID, StandInHub

READMES = ["README.md", "README.zh-CN.md"]
TEXTS = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in READMES}


def blocks(name, language):
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", TEXTS[name], flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", code, flags=re.M) for indent, code in found]


def without_comments(code):
    return re.sub(r" *#.*", "", code)


@pytest.mark.parametrize("name", READMES)
def test_python_code_runs(name, installed, tmp_path):
    first, _, _, offline = blocks(name, "python")  # the others: `test_newcomer`
    shutil.copy(REPOSITORY / "examples" / "scene.png", tmp_path / "photo.jpg")
    home = tmp_path / "home"
    shown = "\nprint(result['labels'], len(result['masks']), result['scores'][0])\n"
    with StandInHub(models={VITADAPTER_ID: REPOSITORY / "examples" / "tiny_model"}) as hub:
        environment = installed.variables(home, MODELSCOPE_ENDPOINT=hub.url)
        online = run_python(
            "-c", first + shown, environment=environment, cwd=tmp_path, python=installed.python
        )
    assert online.stdout.startswith("['cross', 'ring', 'star', 'triangle', 'square', 'circle'")
    imports = "".join(line + "\n" for line in first.splitlines() if line.startswith("from "))
    environment = installed.variables(home, MODELSCOPE_ENDPOINT=DEAD_ENDPOINT)
    again = run_python(
        "-c",
        imports + offline + "result = segmentor('photo.jpg')" + shown,
        environment=environment,
        cwd=tmp_path,
        python=installed.python,
    )
    assert again.stdout == online.stdout


def test_both_have_the_same_code_and_tables():
    for language in ("python", "bash", "bibtex"):
        chinese, english = (
            [without_comments(code) for code in blocks(name, language)] for name in READMES
        )
        assert chinese == english
        assert english
    rows = [re.findall(r"^\| (`[a-z_`, ]+`) \|", TEXTS[name], flags=re.M) for name in READMES]
    assert rows[0] == rows[1]
    assert "`adapter_form`" in rows[0]
    assert len({TEXTS[name].count("\n## ") for name in READMES}) == 1


@pytest.mark.parametrize("name", READMES)
def test_five_lines_and_nothing_left_to_fill_in(name):
    assert len(blocks(name, "python")[0].splitlines()) == 5
    assert not re.search(r"@[A-Z]+@|TODO", TEXTS[name])


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for document in [*READMES, "CONTRIBUTING.md"]:
        text = (REPOSITORY / document).read_text(encoding="utf-8")
        for target in re.findall(r"^make ([a-z-]+)", text, flags=re.M):
            assert re.search(rf"^{target}:", makefile, flags=re.M), target


@pytest.mark.parametrize("name", READMES)
def test_switches_and_links(name):
    text = TEXTS[name]
    assert QUIET_VARIABLE in text
    assert "MODELSCOPE_VITADAPTER=0" in text
    assert all(f"'{output}'" in text for output in OUTPUTS)
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (REPOSITORY / target).exists(), target
