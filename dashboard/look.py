"""How the pages look: the mark, and the little style that the theme cannot say."""

MARK = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<path d="M4 5v22h24" fill="none" stroke="#8a8f98" stroke-width="2.5" stroke-linecap="round"/>
<path d="M8 24h5v-8h6v-6h9" fill="none" stroke="#2a8fd0" stroke-width="3" stroke-linejoin="round"/>
<circle cx="13" cy="16" r="3.2" fill="#e69f00"/></svg>"""
WORDMARK = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 168 32">
<path d="M4 5v22h24" fill="none" stroke="#8a8f98" stroke-width="2.5" stroke-linecap="round"/>
<path d="M8 24h5v-8h6v-6h9" fill="none" stroke="#2a8fd0" stroke-width="3" stroke-linejoin="round"/>
<circle cx="13" cy="16" r="3.2" fill="#e69f00"/>
<text x="38" y="23" font-family="system-ui, sans-serif" font-size="21" font-weight="650" fill="#2a8fd0">Subsecond</text>
</svg>"""

STYLE = """
.stMainBlockContainer { max-width: 84rem; padding-top: 4rem; }
@media (max-width: 640px) {
  .js-plotly-plot .textpoint { display: none; }
  .stMainBlockContainer { padding-left: 1rem; padding-right: 1rem; }
}
"""
READABLE = {
    "light": ".stCode .token.parameter { color: #00639c; }",
    "dark": '[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"] p { color: #12161b; }',
}
"""What has a contrast below 4.5 as Streamlit colours it: options in a command; white on the light blue of a button."""


def style(*, dark: bool) -> str:
    """Return the style of a light or dark page."""
    return f"<style>{STYLE}{READABLE['dark' if dark else 'light']}</style>"
