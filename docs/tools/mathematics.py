"""Mathematics of a page as MathML, made when the site is built: no script, no network."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
_ALIGNED = re.compile(r"\\(begin|end)\{aligned\}")
_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_FUNCTIONS = {"log", "ln", "exp", "sin", "cos", "min", "max", "arg", "lim", "sup", "inf"}
_WITH_LIMITS = {"∑", "∏", "min", "max", "lim", "sup", "inf", "lim\u2006sup", "lim\u2006inf"}
_LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
_PARTS = {
    **dict.fromkeys(("mfrac", "msub", "msup", "munder", "mover", "mroot"), 2),
    **dict.fromkeys(("msubsup", "munderover"), 3),
}
"""How many parts an element has; the converter writes it with fewer where LaTeX lacks an argument."""


ElementTree.register_namespace("", _NAMESPACE)


class LatexError(ValueError):
    """LaTeX that cannot be converted."""


def to_mathml(latex: str, *, block: bool = False) -> str:
    r"""Return an expression as MathML.

    Raises
    ------
    LatexError : the expression, and what is wrong with it

    >>> to_mathml("x")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>x</mi></mrow></math>'
    >>> to_mathml(r"\fraction{1}{2}")
    Traceback (most recent call last):
    docs.tools.mathematics.LatexError: $\fraction{1}{2}$: \fraction is not known
    """
    text = " ".join(latex.split())
    try:
        made: str = convert(_ALIGNED.sub(r"\\\1{align*}", text), display="block" if block else "inline")
    except Exception as error:  # each mistake has a class of its own, some are IndexError
        raise LatexError(f"${text}$: {type(error).__name__} {error}".strip()) from error
    try:
        root = ElementTree.fromstring(made)
    except ElementTree.ParseError:
        raise LatexError(f"${text}$: an & stands outside of cases, aligned or a matrix") from None
    if problem := next(filter(None, map(_problem, root.iter())), ""):
        raise LatexError(f"${text}$: {problem}")
    _set_as_tex_does(root, block=block)
    return ElementTree.tostring(root, encoding="unicode")


def _name(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(f"{{{_NAMESPACE}}}")


def _problem(element: ElementTree.Element) -> str:
    """Say what the converter has let pass; "" for nothing."""
    name, text = _name(element), element.text or ""
    if name in _PARTS and len(element) != _PARTS[name]:
        return "an argument is missing"
    if name != "mtext" and text.startswith("\\"):
        return f"{text} is not known"
    return f"a {text} has no counterpart" if name == "mi" and text in {"{", "}"} else ""


def _set_as_tex_does(root: ElementTree.Element, *, block: bool) -> None:
    """Put limits above and below in a displayed equation, also within brackets; set space around names of functions."""
    for element in root.iter():
        text, name = element.text or "", _name(element)
        first = (element[0].text or "") if len(element) else ""
        if block and name in _LIMITS and first in _WITH_LIMITS:
            element.tag = f"{{{_NAMESPACE}}}{_LIMITS[name]}"
        if name in {"mi", "mo"} and text in _FUNCTIONS:
            element.tag = f"{{{_NAMESPACE}}}mo"
            element.attrib |= {"lspace": "0.167em", "rspace": "0.167em"}
        elif name == "mo" and text == "|":
            element.attrib |= {"lspace": "0.05em", "rspace": "0.05em"}


def with_mathml(page: str) -> str:
    r"""Return a page in HTML whose mathematics is MathML.

    Raises
    ------
    LatexError : the first expression that cannot be converted

    >>> with_mathml('<span class="arithmatex">\\(x\\)</span>').count("<mi>x</mi>")
    1
    """
    page = _INLINE.sub(lambda found: f'<span class="arithmatex">{to_mathml(html.unescape(found[1]))}</span>', page)
    return _BLOCK.sub(
        lambda found: f'<div class="arithmatex">{to_mathml(html.unescape(found[1]), block=True)}</div>', page
    )
