import markdown
import pytest

from analysis.site.mathml import convert
from runner.errors import UserError


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5, or $10 abroad.",
        "Code `$x$` and ``a $y$ b``.",
        "```sh\necho $A $B\n```\n",
        "<a title='$x$'>",
        "no mathematics",
        "~~~\n$$x$$\n~~~",
    ],
)
def test_what_is_no_mathematics_stays(text):
    assert convert(text) == text


def test_a_dollar_sign_can_be_escaped():
    assert convert(r"\$x\$") == "$x$"


def test_inline_and_display():
    inline, display = convert("where $a_i < b$ holds"), convert("so\n$$\nx^2\n$$\nholds")
    assert inline.startswith('where <span class="math"><math alttext="a&#95;i &#60; b"')
    assert inline.endswith("</math></span> holds")
    assert '\n\n<div class="math"><math' in display
    assert 'display="block"' in display


def test_markdown_leaves_a_formula_alone():
    html = markdown.markdown(convert("$a * b * c_i [x](y)$ opens *this* line, $r_1$ and $r_2$ follow."))
    assert html.startswith('<p><span class="math"><math')
    assert html.count("<em>") == 1
    assert "<a" not in html.replace("<a ", "<a") or "href" not in html


def test_a_formula_may_span_two_lines_but_no_paragraphs():
    assert "<math" in convert("$a +\nb$")
    assert convert("a $b\n\nc$ d") == "a $b\n\nc$ d"


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (r"\frac{1", "its braces do not match"),
        (r"\foo{x}", r"unknown command \\foo"),
        (r"\left( x", "Right"),
        (r"x_", "Subscript"),
    ],
)
def test_a_bad_formula_is_named(formula, said):
    with pytest.raises(UserError, match=f"cannot read the formula .*: .*{said}"):
        convert(f"${formula}$")


def test_escaped_braces_count_for_nothing():
    assert "<math" in convert(r"$\{x$")
