import pytest

from runner.errors import UserError
from runner.plan import placement


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"speed": 1}, "unknown placement setting 'speed'; known: device"),
        ({"jobs": 0}, "jobs = 0 must be a whole number of at least 1"),
        ({"jobs": 1.5}, "jobs = 1.5 must be a whole number"),
        ({"from_token_0": -1}, "from_token_0 = -1 must be a whole number of at least 0"),
        ({"jobs": 100_000}, "jobs = 100000 is more than any machine has"),
        ({"checkpoint_seconds": True}, "checkpoint_seconds = True must be a number of seconds"),
        ({"checkpoint_seconds": -2.0}, "checkpoint_seconds = -2.0 must be a number of seconds, at least 0"),
        ({"device": 1}, "device = 1 must be a text"),
        ({"compile": "yes"}, "compile = 'yes' must be true or false"),
        ({"precision": "int4"}, "precision 'int4' must be"),
    ],
)
def test_bad_settings_are_named(wishes, message):
    with pytest.raises(UserError, match=f"^smoke: .*{message}"):
        placement.checked(wishes, "smoke: ")


def test_what_an_arm_sets_back_is_a_setting():
    wishes = {"from_token_0": 0, "sample_tokens": 100_000, "checkpoint_seconds": 0}
    assert placement.checked(wishes) == wishes
