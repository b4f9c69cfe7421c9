"""Mathematics between dollar signs, turned into MathML that a browser shows without a script."""

import html
import re

from runner.errors import UserError

# What may hold a dollar sign that means nothing comes first: fences, code, HTML.
TOKEN = re.compile(
    r"""
    (?P<fence>^[ ]{0,3}(?P<ticks>`{3,}|~{3,})[^\n]*\n.*?(?:^[ ]{0,3}(?P=ticks)[`~]*[ \t]*$|\Z))
    | (?P<code>(?<!`)(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`))
    | (?P<html><!--.*?-->|</?[A-Za-z][^>]*>)
    | (?P<escaped>\\\$)
    | \$\$(?P<display>.+?)\$\$
    | \$(?P<inline>(?=[^\s$])(?:\\.|[^$\n\\]|\n(?!\s*\n))*?(?<=\S))\$(?!\d)
    """,
    re.M | re.S | re.X,
)


def convert(text: str) -> str:
    """`text` with `$…$` and `$$…$$` outside code as MathML; `\\$` is a dollar sign."""

    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        if match["display"] is not None:
            return f'\n\n<div class="math">{mathml(match["display"].strip(), "block")}</div>\n\n'
        if match["inline"] is not None:
            # The span keeps a formula that opens a line inside its paragraph: `math` itself counts as a block.
            return f'<span class="math">{mathml(match["inline"], "inline")}</span>'
        return match[0]

    return TOKEN.sub(replace, text) if "$" in text else text


def mathml(latex: str, display: str) -> str:
    """One formula. Signs that Markdown would take for its own are written as entities."""
    from latex2mathml.converter import convert as to_mathml

    latex = " ".join(latex.split())
    bare = re.sub(r"\\[\\{}]", "", latex)
    try:
        made = to_mathml(latex, display=display)
        unknown = re.search(r">[^<]*(\\[A-Za-z]+)", made)  # the converter lets pass what it does not know
        if unknown or bare.count("{") != bare.count("}"):
            raise ValueError(f"unknown command {unknown[1]}" if unknown else "its braces do not match")
    except Exception as error:
        raise UserError(f"cannot read the formula ${latex}$: {str(error) or type(error).__name__}") from None
    made = re.sub(r">([^<]+)<", lambda m: f">{_entities(html.unescape(m[1]))}<", made)
    return made.replace("<math ", f'<math alttext="{_entities(latex)}" ', 1)


def _entities(text: str) -> str:
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in text)
