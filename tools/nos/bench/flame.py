"""A flame graph: call stacks as boxes, as wide as what they cost; one SVG file
that needs nothing else."""
import zlib
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT, LEFT, TOP = 1200, 17, 10, 56
NARROWEST = 0.3  # of a pixel: what is drawn
LETTER = 6.6  # pixels


class Box:
    """A function below its callers, and what it costs with all that it calls."""

    def __init__(self, name, is_kernel):
        self.name = name
        self.is_kernel = is_kernel
        self.own = 0.0
        self.total = 0.0
        self.children = {}

    def child(self, name, is_kernel):
        return self.children.setdefault((name, is_kernel), Box(name, is_kernel))

    def sum(self):
        self.total = self.own + sum(child.sum() for child in self.children.values())
        return self.total

    def depth(self):
        return 1 + max((child.depth() for child in self.children.values()), default=0)


def colour(box):
    """Kernel functions are warm, those of programs green; a name keeps its shade."""
    shade = zlib.crc32(box.name.encode()) % 60
    if box.is_kernel:
        return f"rgb({205 + shade % 50},{90 + shade * 2},{40 + shade // 2})"
    return f"rgb({90 + shade},{190 + shade % 40},{100 + shade})"


def draw(box, left, scale, level, whole, unit, out):
    width = box.total * scale
    if width < NARROWEST:
        return
    top = TOP + level * HEIGHT
    side = "kernel" if box.is_kernel else "user"
    title = (f"{box.name} ({side}): {box.total:,.1f} {unit}, {100 * box.total / whole:.1f} %; "
             f"itself {box.own:,.1f}")
    letters = int((width - 6) / LETTER)
    text = box.name if len(box.name) <= letters else box.name[:max(letters - 1, 0)] + "…"
    label = f'<text x="{left + 3:.1f}" y="{top + 12}">{escape(text)}</text>' if letters >= 3 else ""
    out.append(f'<g><title>{escape(title)}</title><rect x="{left:.1f}" y="{top}" '
               f'width="{max(width - 0.3, 0.2):.1f}" height="{HEIGHT - 1}" '
               f'fill={quoteattr(colour(box))} rx="1"/>{label}</g>')
    for child in sorted(box.children.values(), key=lambda c: (-c.is_kernel, c.name)):
        draw(child, left, scale, level + 1, whole, unit, out)
        left += child.total * scale


def svg(root, title, subtitle, unit="instructions"):
    """The picture of all below root, callers above what they call."""
    whole = root.sum() or 1
    height = TOP + root.depth() * HEIGHT + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           f'width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">',
           '<style>rect{stroke:#fff;stroke-width:.3}g:hover rect{stroke:#000;stroke-width:1}'
           'text{pointer-events:none}</style>',
           '<rect width="100%" height="100%" fill="#fcfcf8"/>',
           f'<text x="{LEFT}" y="22" font-size="16">{escape(title)}</text>',
           f'<text x="{LEFT}" y="42" fill="#555">{escape(subtitle)}</text>']
    left, scale = float(LEFT), (WIDTH - 2 * LEFT) / whole
    for child in sorted(root.children.values(), key=lambda c: (-c.is_kernel, c.name)):
        draw(child, left, scale, 0, whole, unit, out)
        left += child.total * scale
    return "\n".join([*out, "</svg>\n"])
