"""The folder `build` has one writer at a time."""

import threading

from analysis.build.project import Project


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
