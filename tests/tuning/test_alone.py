"""One search at a time in a storage, and a journal that was cut is mended."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from benchmark.config import UserError
from benchmark.tuned import TUNING
from benchmark.tuning.study import STORAGE, alone


def test_a_second_search_waits_for_the_first(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with alone(tmp_path):
            order.append("second")

    with alone(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("left", [b'{"op_code": 1, "wo', b"{", b'{"op_code": 1}'])
def test_a_last_line_that_was_never_finished_goes(tmp_path: Path, left: bytes) -> None:
    journal = tmp_path / TUNING / STORAGE
    journal.parent.mkdir()
    journal.write_bytes(b'{"op_code": 0}\n' + left)
    with alone(tmp_path):
        assert journal.read_bytes() == b'{"op_code": 0}\n'


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    journal = tmp_path / TUNING / STORAGE
    journal.parent.mkdir()
    journal.write_bytes(b'{"op_code": 0}\n{"op_co\n{"op_code": 2}\n')
    with pytest.raises(UserError, match="line 2, is damaged"), alone(tmp_path):
        pass
