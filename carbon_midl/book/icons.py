"""Lighten the built book: of the theme's icons keep those that some page shows.

The theme brings all of Font Awesome, 1.8 MB and most of the weight of a page, three times over: a script with an
object for each icon family, ``name: [width, height, [aliases], code, path]``; a style sheet with a rule an icon; and
fonts, for icons that a style sheet shows by their code. A book shows a dozen. Those of another theme stay as they are.
"""

import re
from pathlib import Path

SCRIPT, STYLE = Path("_static/scripts/fontawesome.js"), Path("_static/styles/pydata-sphinx-theme.css")
FONTS = Path("_static/vendor/fontawesome/webfonts")
_ICON = re.compile(
    r'(?:"(?P<quoted>[a-z0-9-]+)"|(?P<plain>[a-z0-9]+)):\[\d+,\d+,\[(?P<aliases>[^\]]*)\],"[0-9a-f]+","[^"]*"\],?'
)
_RULE = re.compile(r'(?:\.fa-[a-z0-9-]+:before,?)+\{content:"[^"]*"\}')
_NAME = re.compile(r"\bfa-([a-z0-9-]+)")
_CODE = re.compile(r"[\"']\\([0-9a-f]{2,5}) ?[\"']")
# Characters for private use, which style sheets also hold as they are.
_OWN = re.compile("[\ue000-\uf8ff]")
_FONT_URL = re.compile(r'url\((?P<font>[^)]*?)\.woff2\) ?format\("woff2"\),url\((?P=font)\.ttf\) ?format\("truetype"\)')


def keep_shown_icons(html: Path) -> int:
    """Rewrite script, style sheet and fonts of the book in ``html``; returns how many icons the script has left."""
    script, style = html / SCRIPT, html / STYLE
    if not script.is_file() or not style.is_file():
        return 0
    shown = set()
    for path in (*html.rglob("*.html"), *html.rglob("*.js")):
        if path != script:
            shown |= set(_NAME.findall(_read(path)))
    kept = 0

    def if_shown(icon: re.Match[str]) -> str:
        nonlocal kept
        names = {icon["quoted"] or icon["plain"], *re.findall(r'"([a-z0-9-]+)"', icon["aliases"])}
        if not names & shown:
            return ""
        kept += 1
        return icon[0]

    script.write_text(_ICON.sub(if_shown, _read(script)), encoding="utf-8")
    rules = _RULE.sub(lambda rule: rule[0] if shown & set(_NAME.findall(rule[0])) else "", _read(style))
    # Uncompressed outlines of a few icons are smaller than all of them compressed.
    style.write_text(_FONT_URL.sub(r'url(\g<font>.woff) format("woff")', rules), encoding="utf-8")
    styles = "".join(_read(path) for path in html.rglob("*.css"))
    codes = {int(code, 16) for code in _CODE.findall(styles)} | {ord(character) for character in _OWN.findall(styles)}
    for font in (html / FONTS).glob("*.ttf"):
        _subset(font, codes)
    return kept


def _subset(font: Path, codes: set[int]) -> None:
    """Replace a font by one with the characters ``codes`` only."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    options = Options()
    options.flavor = "woff"
    with TTFont(font) as whole:
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=codes)
        subsetter.subset(whole)
        whole.flavor = "woff"
        whole.save(font.with_suffix(".woff"))
    font.unlink()
    font.with_suffix(".woff2").unlink(missing_ok=True)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
