"""What README and docs say: their code runs, their commands exist, both languages say the same."""

import re
import shutil

import pytest

from modelscope_vitadapter.datasets.layouts.registry import LAYOUTS
from modelscope_vitadapter.datasets.options import DATA_OPTIONS
from modelscope_vitadapter.inference.results import OUTPUTS
from modelscope_vitadapter.logs import QUIET_VARIABLE
from tests.hub.environment import DEAD_ENDPOINT, REPOSITORY, run_python
from tests.hub.server import VITADAPTER_ID, StandInHub

READMES = ["README.md", "README.zh-CN.md"]
USAGES = ["docs/usage.md", "docs/usage.zh-CN.md"]
DOCUMENTS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in (REPOSITORY, REPOSITORY / "docs", REPOSITORY / "benchmarks")
    for path in folder.glob("*.md")
)


def text_of(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(name, language):
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text_of(name), flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", code, flags=re.M) for indent, code in found]


def without_comments(code):
    return re.sub(r" *#.*", "", code)


def test_python_code_runs_online_and_offline(installed, tmp_path):
    """The Chinese documents have the same code, see below."""
    (first,), (offline,) = blocks(READMES[0], "python"), blocks(USAGES[0], "python")
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


@pytest.mark.parametrize("pair", [READMES, USAGES])
def test_both_languages_have_the_same_code_and_tables(pair):
    for language in ("python", "bash", "bibtex"):
        english, chinese = ([without_comments(code) for code in blocks(n, language)] for n in pair)
        assert chinese == english
    rows = [re.findall(r"^\| (`[a-z_`, ]+`) \|", text_of(name), flags=re.M) for name in pair]
    assert rows[0] == rows[1]
    assert len({text_of(name).count("\n## ") for name in pair}) == 1


def test_options_are_in_the_table():
    for name in USAGES:
        assert all(f"`{option}`" in text_of(name) for option in ("adapter_form", "mask_dtype"))
        assert QUIET_VARIABLE in text_of(name)
        assert all(f"'{output}'" in text_of(name) for output in OUTPUTS)


@pytest.mark.parametrize("name", READMES)
def test_readme_is_short_and_nothing_is_left_to_fill_in(name):
    assert len(blocks(name, "python")[0].splitlines()) == 5
    assert len(text_of(name).splitlines()) <= 150
    assert "MODELSCOPE_VITADAPTER=0" in text_of(name)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_make_targets_exist(name):
    text = text_of(name)
    assert not re.search(r"@[A-Z]+@|TODO", text)
    makefile = text_of("Makefile")
    for target in re.findall(r"^make ([a-z-]+)", text, flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert ((REPOSITORY / name).parent / target).exists(), target


def test_the_page_of_data_has_every_layout_and_option():
    text = text_of("docs/data.md")
    for name, layout in LAYOUTS.items():
        assert f"| `{name}` | {layout.LOOK} |" in text
    table = text[text.index("| on the command line") :]
    for name in DATA_OPTIONS - {"classes"}:
        assert f"`--{name.replace('_', '-')}" in table
