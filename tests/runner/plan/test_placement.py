import pytest

from runner.errors import UserError
from runner.plan import placement


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"speed": 1}, "unknown placement setting 'speed'; known: device"),
        ({"jobs": 0}, "jobs = 0 must be a whole number of at least 1"),
        ({"jobs": 1.5}, "jobs = 1.5 must be a whole number"),
        ({"from_token_0": 0}, "from_token_0 = 0 must be a whole number of at least 1"),
        ({"compile": "yes"}, "compile = 'yes' must be true or false"),
        ({"precision": "int4"}, "precision 'int4' must be"),
    ],
)
def test_bad_settings_are_named(wishes, message):
    with pytest.raises(UserError, match=f"^smoke: .*{message}"):
        placement.checked(wishes, "smoke: ")
