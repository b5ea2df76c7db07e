import numpy as np
import pytest
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

from modelscope_vitadapter import logs
from modelscope_vitadapter.visualization import draw, find_font, fonts

CHINESE = "红色的圆形"


@pytest.fixture
def no_fonts(monkeypatch):
    """A system that has no font but the one that comes with matplotlib."""
    monkeypatch.setattr(fonts, "system_fonts", tuple)
    monkeypatch.setattr(logs, "_warned", set())
    fonts._search.cache_clear()
    yield
    fonts._search.cache_clear()


def picture(classes, **options):
    image, ids = np.full((200, 300, 3), 90, np.uint8), np.zeros((200, 300), int)
    return draw(image, ids, classes, [[0, 0, 90]], **options)


def test_chinese_names_are_drawn_where_a_font_has_them():
    path = find_font(CHINESE)
    if path is None:
        pytest.skip("no font on this system has Chinese letters")
    assert {ord(letter) for letter in CHINESE} <= FT2Font(path).get_charmap().keys()
    one, two = (picture([name]) for name in (CHINESE, CHINESE[::-1]))
    assert one.size == two.size
    assert one != two  # letters, not boxes of one form


def test_a_plot_with_chinese_names_is_drawn_with_the_same_font(caplog):
    path = find_font(CHINESE)
    if path is None:
        pytest.skip("no font on this system has Chinese letters")
    families = fonts.plot_families([CHINESE, "person"])
    assert families == fonts.plot_families([CHINESE])
    assert [findfont(FontProperties(family=[one])) for one in families[1:]] == [path]
    assert not caplog.records


def test_without_a_font_the_id_is_drawn_and_that_is_said_once(no_fonts, caplog):
    assert picture([CHINESE]) == picture(["0"])
    assert picture([CHINESE], names=False) == picture(["0"], names=False)
    (record,) = caplog.records
    assert CHINESE in record.getMessage()
    assert "fonts-noto-cjk" in record.getMessage()
    assert "font=" in record.getMessage()


def test_latin_greek_and_cyrillic_need_no_font_of_the_system(no_fonts):
    assert find_font("straße Ωμέγα дорога 5 %").endswith("DejaVuSans.ttf")
    assert picture(["  two\nlines "]) == picture(["two lines"])


def test_a_given_font_is_taken_for_the_letters_that_it_has():
    mono = find_font("person").replace("DejaVuSans.ttf", "DejaVuSansMono.ttf")
    assert find_font("person", mono) == mono
    assert find_font(CHINESE, mono) == find_font(CHINESE)
    assert picture(["person"], font=mono) != picture(["person"])
