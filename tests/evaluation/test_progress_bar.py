import numpy as np

from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix
from modelscope_vitadapter.evaluation.processes import Processes
from modelscope_vitadapter.evaluation.progress_bar import ProgressBar


def shown(capsys, processes=None, first=0):
    matrix = ConfusionMatrix(2, np.array([[3, 1], [0, 4]]))
    with ProgressBar(processes) as bar:
        for done in range(first, 4):
            bar(done, 3, matrix)
    return capsys.readouterr()


def test_bar_shows_count_time_left_and_running_miou(capsys):
    found = shown(capsys)
    assert found.out == ""
    assert "3/3" in found.err
    assert "mIoU 77.50" in found.err
    assert "aAcc 87.50" in found.err
    assert "<" in found.err  # elapsed<remaining


def test_bar_goes_on_where_an_earlier_run_was(capsys):
    assert "| 2/3 [00:00<?" in shown(capsys, first=2).err


def test_of_several_processes_the_first_shows_its_share(capsys):
    assert "process 0 of 2, its share" in shown(capsys, Processes(0, 2)).err
    assert shown(capsys, Processes(1, 2)).err == ""
