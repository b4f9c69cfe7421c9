"""The folder `build` has one writer at a time."""

import threading

import pytest

from analysis.build.project import Project, read
from runner.errors import UserError


def test_a_file_that_is_no_utf8_is_named_with_its_line(tmp_path):
    path = tmp_path / "about.md"
    path.write_bytes("eins\nzwölf\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"^posts/about\.md:2: no UTF-8 text: save it as UTF-8$"):
        read(path, "posts/about.md")
    path.write_text("zwölf", encoding="utf-8")
    assert read(path, "posts/about.md") == "zwölf"


def test_a_second_command_waits_for_the_first_and_says_so(tmp_path):
    project, said, order = Project(tmp_path), [], []

    def second():
        with project.alone(said.append):
            order.append("second")

    with project.alone(said.append):
        waiting = threading.Thread(target=second)
        waiting.start()
        while not said:
            waiting.join(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    (line,) = said
    assert "build is held by process" in line
    assert line.endswith(": waits for it")
